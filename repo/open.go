package repo

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"restante/rendezvous"
)

// Options say which database to open, and how.
type Options struct {
	// URL names the database: the path of a SQLite file, with or without
	// "sqlite:" before it. A file that is not there is made; its directory is not.
	URL string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Log hears of what no caller can be told; nil is slog.Default.
	Log *slog.Logger
}

// DB is the [rendezvous.Store] that Open opened.
type DB struct {
	engine  *engine
	hook    hook
	now     func() time.Time
	log     *slog.Logger
	readers *readers
	writer  *writer
	closing chan struct{}
	close   func() error
}

var _ rendezvous.Store = (*DB)(nil)

// engine is a database that was opened, with what only its kind knows of it.
type engine struct {
	dialect *dialect
	// write and read are pools of which connections are taken for good.
	write, read *sqlx.DB
	// writable takes a connection to write with.
	writable func(context.Context, *hook) (*conn, error)
	// check fails while the database is not where it was.
	check func() error
	// parting is run on the last connection before it is closed.
	parting string
	// release gives up what kept others out.
	release func() error
}

// Open opens a database, brings its schema up to date and makes sure that it can be
// written to. What keeps it from that is an [*OpenError].
func Open(ctx context.Context, o Options) (*DB, error) {
	path := strings.TrimPrefix(o.URL, "sqlite:")
	if kind, _, ok := strings.Cut(path, "://"); ok {
		return nil, &OpenError{
			Path: kind + "://…", Problem: "this is not a kind of database that is known here",
			Hint: "give the path of a file, which SQLite will keep",
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	e, err := openSQLite(ctx, path)
	if err != nil {
		return nil, err
	}
	db := newDB(e, o)
	if err := db.writer.do(ctx, func(t *tx) error { return t.probe(false) }); err != nil {
		return nil, errors.Join(sqliteProblem(path, err), db.Close())
	}
	return db, nil
}

// newDB starts the writer.
func newDB(e *engine, o Options) *DB {
	now := func() time.Time { return toMillis(o.Now()).time() }
	db := &DB{engine: e, now: now, log: o.Log, closing: make(chan struct{})}
	db.readers = newReaders(max(4, 2*runtime.GOMAXPROCS(0)), db.closing, func(ctx context.Context) (*conn, error) {
		return connect(ctx, e.read, e.dialect, &db.hook)
	})
	db.writer = &writer{
		dialect: e.dialect,
		open:    func(ctx context.Context) (*conn, error) { return e.writable(ctx, &db.hook) },
		check:   e.check,
		now:     now,
		log:     o.Log,
		queue:   make(chan *op, batchSize),
		closing: db.closing,
		stopped: make(chan struct{}),
	}
	db.close = sync.OnceValue(db.shut)
	go db.writer.run()
	return db
}

// Close finishes the transactions that have begun, refuses those that wait,
// and closes the database. To close it again changes nothing.
func (db *DB) Close() error { return db.close() }

func (db *DB) shut() error {
	close(db.closing)
	<-db.writer.stopped
	db.readers.close()
	errs := []error{db.engine.read.Close()} // first: whoever reads keeps the log from being emptied
	if c := db.writer.conn; c != nil {
		_, err := c.raw.ExecContext(context.Background(), db.engine.parting)
		c.discard()
		errs = append(errs, err)
	}
	return errors.Join(append(errs, db.engine.write.Close(), db.engine.release())...)
}

// Update runs f in a transaction. AfterCommit functions have run when it returns nil;
// they run one after the other, before anything else is written, and must not use the store.
func (db *DB) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	return db.writer.do(ctx, func(t *tx) error { return f(t) })
}

// Probe writes and commits something without meaning, of the size of a large
// request, and removes it again.
func (db *DB) Probe(ctx context.Context) error {
	if err := db.writer.do(ctx, func(t *tx) error { return t.probe(true) }); err != nil {
		return err
	}
	return db.writer.do(ctx, func(t *tx) error { return t.probe(false) })
}

// View runs f on a snapshot. A panic of f is returned as a [*PanicError].
func (db *DB) View(ctx context.Context, f func(rendezvous.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c, err := db.readers.take(ctx)
	if err != nil {
		return err
	}
	defer db.readers.give(c)
	if err := db.engine.check(); err != nil {
		return err
	}
	if err := c.begin(db.engine.dialect.beginRead); err != nil {
		return err
	}
	defer c.rollback()
	t := &tx{conn: c, now: db.now(), readOnly: true}
	if err := t.run(func(t *tx) error { return f(t) }); err != nil {
		return err
	}
	t.committed(db.log)
	return nil
}
