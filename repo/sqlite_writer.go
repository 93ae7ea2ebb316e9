package repo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"time"

	"restante/rendezvous"
)

const (
	// batchSize is the largest number of updates that share a commit.
	batchSize = 128
	// batchTime is how long a batch takes in updates: it bounds how long the first one waits for the others.
	batchTime = 10 * time.Millisecond
	// lockPatience is how long updates wait while another program has locked the database.
	lockPatience = 30 * time.Second
)

// sqliteWriter does all the writing, on one goroutine and one connection.
type sqliteWriter struct {
	dialect    *dialect
	openConn   func(context.Context) (*conn, error) // opens a connection that can write
	checkFiles func() error                         // fails while the database's files are not at their paths
	now        func(*conn) time.Time
	batched    func(updates int) // called after each commit
	log        *slog.Logger

	lockPatience  time.Duration // normally the constant; tests shorten it
	stampInterval time.Duration // likewise
	batchTime     time.Duration // normally the constant; tests lengthen it
	compare       bool          // tests: compare what is remembered with what is stored before each commit
	logPath       string        // the file's write-ahead log
	logWarned     bool          // the log's size is reported already

	queue   chan *job
	closing chan struct{} // closed: begin no more transactions
	stopped chan struct{} // closed: no transaction runs any more

	conn      *conn     // used by the writer's goroutine only; nil until it is needed
	worker    *worker   // likewise
	lastStamp time.Time // likewise: the last time that was stored; zero if that is not known
}

// newSQLiteWriter returns a writer and starts its goroutine.
func newSQLiteWriter(db *DB, logPath string, open func(context.Context, *statementHook) (*conn, error)) *sqliteWriter {
	w := &sqliteWriter{
		dialect:    db.engine.dialect,
		openConn:   func(ctx context.Context) (*conn, error) { return open(ctx, &db.hook) },
		checkFiles: db.engine.checkFiles,
		now:        db.now,
		batched:    db.options.Batched,
		log:        db.log,

		lockPatience:  lockPatience,
		stampInterval: stampInterval,
		batchTime:     batchTime,
		compare:       db.options.CompareRemembered,
		logPath:       logPath,
		queue:         make(chan *job, batchSize),
		closing:       db.closing,
		stopped:       make(chan struct{}),
	}
	go w.run()
	return w
}

// stop waits until the writer has ended, and empties the file's write-ahead log.
func (w *sqliteWriter) stop() error {
	<-w.stopped
	if w.worker != nil {
		close(w.worker.tasks)
	}
	if w.conn == nil {
		return nil
	}
	defer w.conn.discard()
	if w.conn.broken {
		return nil // SQLite does it when the file is opened next
	}
	_, err := w.conn.raw.ExecContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}

// job is one Update: a member of the batch that it runs in.
type job struct {
	ctx  context.Context
	fn   func(*tx) error
	done chan struct{} // closed when err is set

	tx  *tx // its last run
	err error
}

// update queues f and waits for its outcome, or until ctx ends.
func (w *sqliteWriter) update(ctx context.Context, f func(*tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j := &job{ctx: ctx, fn: f, done: make(chan struct{})}
	select {
	case w.queue <- j:
		rendezvous.Queued(ctx)
	case <-ctx.Done():
		return ctx.Err()
	case <-w.stopped:
		return errClosed
	}
	select {
	case <-j.done:
		return j.err
	case <-ctx.Done():
		return ctx.Err()
	case <-w.stopped:
	}
	select {
	case <-j.done: // it ended just before the writer stopped
		return j.err
	default: // it will never run
		return errClosed
	}
}

// run is the writer's goroutine.
func (w *sqliteWriter) run() {
	defer close(w.stopped)
	var logCheck <-chan time.Time // nil unless the log may have grown
	for {
		select {
		case <-w.closing:
			return
		default: // closing goes before queued updates
		}
		select {
		case <-w.closing:
		case j := <-w.queue:
			w.batch(j)
			if logCheck == nil {
				logCheck = time.After(logCheckInterval)
			}
		case <-logCheck:
			if logCheck = nil; w.trimLog() {
				logCheck = time.After(logCheckInterval)
			}
		}
	}
}

// batch runs first and the updates queued behind it, and returns their results to their callers.
func (w *sqliteWriter) batch(first *job) {
	members, err := w.transact(w.queued(first), false)
	if errors.Is(err, errMemberFailed) {
		_, err = w.transact(slices.Values(members), true)
	}
	switch {
	case err == nil:
	case len(members) == 0: // the transaction did not begin: every queued update fails the same way
		for j := first; j != nil; j = w.next() {
			members = append(members, j)
		}
		fallthrough
	case len(members) == 1 || errors.Is(err, rendezvous.ErrOutcomeUnknown):
		for _, j := range members {
			j.err = err
		}
	default: // nothing is kept: each runs again alone, so that none fails because of another
		for _, j := range members {
			if _, err := w.transact(slices.Values([]*job{j}), false); err != nil {
				j.err = err
			}
		}
	}
	for _, j := range members {
		w.finish(j)
	}
}

// queued yields first and the updates queued behind it while the batch may grow. It drops updates
// whose callers no longer wait.
func (w *sqliteWriter) queued(first *job) iter.Seq[*job] {
	return func(yield func(*job) bool) {
		began := time.Now()
		size := 0
		for j := first; j != nil; j = w.next() {
			if j.ctx.Err() != nil {
				continue
			}
			if size++; !yield(j) || size == batchSize || time.Since(began) >= w.batchTime {
				return
			}
		}
	}
}

// next returns the next queued update, or nil if there is none.
func (w *sqliteWriter) next() *job {
	select {
	case j := <-w.queue:
		return j
	default:
		return nil
	}
}

// errMemberFailed ends a transaction in which a member failed whose changes cannot be undone without those of others.
var errMemberFailed = errors.New("a member failed that ran without a savepoint")

// transact runs jobs in one transaction and commits it. An error means that no change of the returned members is kept.
// Few members fail, so savepoints, which are two statements for each member, are left out at first: then a member that
// fails after it has changed something ends the transaction with errMemberFailed, and the members are to run again with
// savepoints.
//
// It runs them on another goroutine: a function that ends its goroutine, as a test's FailNow does,
// must not end the writer.
func (w *sqliteWriter) transact(jobs iter.Seq[*job], savepoints bool) (members []*job, err error) {
	if w.worker == nil {
		w.worker = newWorker()
	}
	err = w.worker.run(func() error { return w.runBatch(jobs, savepoints, &members) })
	if errors.Is(err, errGoexit) {
		w.worker = nil
	}
	return members, err
}

func (w *sqliteWriter) runBatch(jobs iter.Seq[*job], savepoints bool, members *[]*job) error {
	c, err := w.begin()
	if c != nil {
		defer c.rollback() // does nothing after a commit
	}
	if err != nil {
		return err
	}
	kept, changed := false, false
	for j := range jobs {
		*members = append(*members, j)
		if err := w.runMember(c, j, kept, savepoints && kept); err != nil {
			return err
		}
		kept = kept || j.err == nil
		changed = changed || j.err == nil && j.tx.changed
	}
	if len(*members) == 0 {
		return nil // no caller waits any more
	}
	if changed {
		if err := w.stamp(c); err != nil {
			return err
		}
	}
	if err := c.writeUnwritten(); err != nil {
		return err
	}
	if w.compare {
		if err := c.compare(); err != nil {
			panic(err) // in a batch, an error would be forgotten with what is remembered
		}
	}
	if err := c.commit(); err != nil {
		w.lastStamp = time.Time{}
		return w.dialect.commitError(err)
	}
	if err := w.checkFiles(); err != nil {
		return outcomeUnknownError(err) // the changes may be in a file that is lost
	}
	w.batched(len(*members))
	return nil
}

// stamp stores the time of the modification, unless one was stored a moment ago: that is a page of the file, and the
// stored time may lag behind by as much.
func (w *sqliteWriter) stamp(c *conn) error {
	now := w.now(c)
	if !stampDue(now, w.lastStamp, w.stampInterval) {
		return nil
	}
	if err := c.stamp(now); err != nil {
		return err
	}
	w.lastStamp = now
	return nil
}

// begin opens a transaction, on a new connection if the last one broke.
func (w *sqliteWriter) begin() (*conn, error) {
	if err := w.checkFiles(); err != nil {
		return nil, err
	}
	if w.conn != nil && w.conn.broken {
		w.conn.discard()
		w.conn = nil
	}
	if w.conn == nil {
		c, err := w.openConn(context.Background())
		if err != nil {
			return nil, err
		}
		w.conn = c
	}
	if err := w.beginUnlocked(w.conn); err != nil {
		return nil, err
	}
	return w.conn, w.conn.forgetIfChanged()
}

// beginUnlocked begins a transaction. While another program has locked the database, it tries again, up to
// lockPatience: updates wait for a backup and do not fail because of it.
func (w *sqliteWriter) beginUnlocked(c *conn) error {
	began := time.Now()
	for attempt := 1; ; attempt++ {
		err := c.begin(w.dialect.beginWrite)
		switch {
		case !isSQLiteBusy(err):
			if attempt > 1 {
				w.log.Info("the database is no longer locked by another program", "waited", time.Since(began).Round(time.Millisecond))
			}
			return err
		case time.Since(began) >= w.lockPatience:
			return fmt.Errorf("%w: %w", rendezvous.ErrBusy, err)
		case attempt == 1:
			w.log.Warn("another program has locked the database; what changes something waits", "atMost", w.lockPatience)
		}
		select {
		case <-w.closing:
			return err
		default:
		}
	}
}

// runMember runs one job, in a savepoint or without one. A job that failed without one is undone with the whole
// transaction if that has no changes of others to keep; then another transaction begins. A job that failed before it
// changed anything has nothing to undo. An error means that the transaction is lost.
func (w *sqliteWriter) runMember(c *conn, j *job, kept, savepoint bool) error {
	if savepoint {
		if err := c.savepoint(); err != nil {
			return err
		}
	}
	j.tx = &tx{conn: c, now: w.now(c)}
	j.err = j.tx.run(j.fn)
	switch {
	case !c.inTx:
		return cmp.Or(j.err, errTxEnded)
	case savepoint && j.err != nil:
		if err := c.rollbackToSavepoint(); err != nil {
			return err
		}
		return c.releaseSavepoint()
	case savepoint:
		return c.releaseSavepoint()
	case j.err == nil || j.tx.isUntouched():
		return nil
	case kept:
		return errMemberFailed
	}
	c.rollback()
	if c.broken {
		return errTxEnded
	}
	return w.beginUnlocked(c)
}

// finish runs what a job has left to run after its transaction, and returns its result to its caller.
func (w *sqliteWriter) finish(j *job) {
	if j.tx != nil {
		j.tx.ended(j.err, w.log)
	}
	close(j.done)
}
