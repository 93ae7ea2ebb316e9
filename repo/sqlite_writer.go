package repo

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"time"

	"restante/rendezvous"
)

const (
	// batchSize is how many members share a commit, at most.
	batchSize = 128
	// batchTime is for how long members are let in: it bounds how long the first one waits for the others.
	batchTime = 10 * time.Millisecond
)

// writer does all the writing, on one goroutine and one connection.
type sqliteWriter struct {
	dialect    *dialect
	openConn   func(context.Context) (*conn, error) // a connection that can write
	checkFiles func() error                         // fails while the database is not where it was
	now        func(*conn) time.Time
	log        *slog.Logger

	queue   chan *job
	closing chan struct{} // closed: begin nothing more
	stopped chan struct{} // closed: nothing runs any more

	conn   *conn   // the writer's goroutine's own; nil until it is needed
	worker *worker // likewise
}

// newWriter starts the writer.
func newSQLiteWriter(db *DB, open func(context.Context, *statementHook) (*conn, error)) *sqliteWriter {
	w := &sqliteWriter{
		dialect:    db.engine.dialect,
		openConn:   func(ctx context.Context) (*conn, error) { return open(ctx, &db.hook) },
		checkFiles: db.engine.checkFiles,
		now:        db.now,
		log:        db.log,
		queue:      make(chan *job, batchSize),
		closing:    db.closing,
		stopped:    make(chan struct{}),
	}
	go w.run()
	return w
}

// stop waits for the writer to end, and empties the log of the file.
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
		return nil // the next to open the file does it
	}
	_, err := w.conn.raw.ExecContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}

// op is one Update: a member of the batch that it runs in.
type job struct {
	ctx  context.Context
	fn   func(*tx) error
	done chan struct{} // closed when err says what became of it

	tx  *tx // its last run
	err error
}

// do queues f and waits for its outcome, or until ctx ends.
func (w *sqliteWriter) update(ctx context.Context, f func(*tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o := &job{ctx: ctx, fn: f, done: make(chan struct{})}
	select {
	case w.queue <- o:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.stopped:
		return errClosed
	}
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done():
		return ctx.Err()
	case <-w.stopped:
	}
	select {
	case <-o.done: // just before
		return o.err
	default: // and now it never will be
		return errClosed
	}
}

// run is the writer's goroutine.
func (w *sqliteWriter) run() {
	defer close(w.stopped)
	for {
		select {
		case <-w.closing:
			return
		default: // an end goes before whatever waits
		}
		select {
		case <-w.closing:
		case o := <-w.queue:
			w.batch(o)
		}
	}
}

// batch runs first and whoever waits behind it, and answers them.
func (w *sqliteWriter) batch(first *job) {
	members, err := w.transact(w.queued(first))
	switch {
	case err == nil:
	case len(members) == 0: // not even begun: so it is for all who wait
		for o := first; o != nil; o = w.next() {
			members = append(members, o)
		}
		fallthrough
	case len(members) == 1 || errors.Is(err, rendezvous.ErrOutcomeUnknown):
		for _, o := range members {
			o.err = err
		}
	default: // void: each alone, so that none suffers for another
		for _, o := range members {
			if _, err := w.transact(slices.Values([]*job{o})); err != nil {
				o.err = err
			}
		}
	}
	for _, o := range members {
		w.finish(o)
	}
}

// waiting is first and those behind it, while there are any and the batch may
// grow. Those whose callers left are dropped: nobody hears what becomes of them.
func (w *sqliteWriter) queued(first *job) iter.Seq[*job] {
	return func(yield func(*job) bool) {
		began := time.Now()
		size := 0
		for o := first; o != nil; o = w.next() {
			if o.ctx.Err() != nil {
				continue
			}
			if size++; !yield(o) || size == batchSize || time.Since(began) >= batchTime {
				return
			}
		}
	}
}

// next is one that waits already, or nil.
func (w *sqliteWriter) next() *job {
	select {
	case o := <-w.queue:
		return o
	default:
		return nil
	}
}

// transact runs ops in one transaction, each in a savepoint, and commits it. An
// error means that nothing is kept of any of those that it began.
//
// It does so on another goroutine: an op that ends its goroutine, as a test's FailNow does,
// must not end the writer.
func (w *sqliteWriter) transact(ops iter.Seq[*job]) (members []*job, err error) {
	if w.worker == nil {
		w.worker = newWorker()
	}
	err = w.worker.run(func() error { return w.runBatch(ops, &members) })
	if errors.Is(err, errGoexit) {
		w.worker = nil
	}
	return members, err
}

func (w *sqliteWriter) runBatch(ops iter.Seq[*job], members *[]*job) error {
	c, err := w.begin()
	if err != nil {
		return err
	}
	defer c.rollback() // unless it is committed
	kept, changed := false, false
	for o := range ops {
		*members = append(*members, o)
		if err := w.runMember(c, o, kept); err != nil {
			return err
		}
		kept = kept || o.err == nil
		changed = changed || o.err == nil && o.tx.changed
	}
	if len(*members) == 0 {
		return nil // all have left
	}
	if changed {
		if err := c.stamp(w.now(c)); err != nil {
			return err
		}
	}
	if err := c.commit(); err != nil {
		return w.dialect.commitError(err)
	}
	if err := w.checkFiles(); err != nil {
		return outcomeUnknownError(err) // it is kept in a file that nobody may find again
	}
	return nil
}

// begin opens a transaction, on another connection if the last one broke.
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
	return w.conn, w.conn.begin(w.dialect.beginWrite)
}

// member runs one op. While there is something of others to keep, that is in a savepoint;
// before, one that fails is undone with the whole transaction, and another is begun. An error
// means that the transaction is void.
func (w *sqliteWriter) runMember(c *conn, o *job, kept bool) error {
	if kept {
		if err := c.savepoint(); err != nil {
			return err
		}
	}
	o.tx = &tx{conn: c, now: w.now(c)}
	o.err = o.tx.run(o.fn)
	switch {
	case !c.inTx:
		return cmp.Or(o.err, errTxEnded)
	case !kept && o.err != nil:
		return c.restart(w.dialect.beginWrite)
	case !kept:
		return nil
	case o.err != nil:
		if err := c.rollbackToSavepoint(); err != nil {
			return err
		}
	}
	return c.releaseSavepoint()
}

// answer tells an op's caller, after what was to be done once it is committed.
func (w *sqliteWriter) finish(o *job) {
	if o.err == nil {
		o.tx.runAfterCommit(w.log)
	}
	close(o.done)
}
