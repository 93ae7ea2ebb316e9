package repo

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"restante/rendezvous"
)

// Options say which database to open, and how.
type Options struct {
	// URL names the database: the path of a SQLite file, with or without "sqlite:" before
	// it, or postgres://… A file that is not there is made; its directory, or a database, is not.
	URL string
	// Connections is how many a PostgreSQL database is asked for; 0 is [DefaultConnections].
	Connections int
	// Pooled says that a pooler between here and PostgreSQL may give each transaction
	// another connection, so that nothing is kept on one from a transaction to the next.
	Pooled bool
	// Now is the clock; nil is time.Now, and with PostgreSQL the clock of the database.
	Now func() time.Time
	// Retried counts the transactions that lost against others and were run again; nil counts nothing.
	Retried *atomic.Int64
	// Log hears of what no caller can be told; nil is slog.Default.
	Log *slog.Logger
}

// DB is the [rendezvous.Store] that Open opened.
type DB struct {
	engine  *engine
	hook    statementHook
	now     func(*conn) time.Time // of the transaction that is open
	log     *slog.Logger
	pool    *connPool
	writer  updater
	closing chan struct{}
	close   func() error
}

var _ rendezvous.Store = (*DB)(nil)

// updater runs the transactions that change something.
type updater interface {
	update(ctx context.Context, f func(*tx) error) error
	// stop returns when nothing runs any more, after closing was closed.
	stop() error
}

// engine is a database that was opened, with what only its kind knows of it.
type engine struct {
	dialect *dialect
	// write and read are pools of which connections are taken for good.
	write, read *sqlx.DB
	// readable takes a connection to read with.
	openReader func(context.Context, *statementHook) (*conn, error)
	// connections is how many there may be to read with.
	connections int
	// updater begins to write.
	newUpdater func(*DB) updater
	// check fails while the database is not where it was.
	checkFiles func() error
	// release gives up what kept others out.
	unlock func() error
	// name is what may be shown of where it is.
	name string
	// wire is a way to other processes on it; nil if there can be none.
	newTransport func(*slog.Logger) (notifyTransport, error)
	// problem is the OpenError for what kept it from being opened.
	openError func(error) error
}

// Open opens a database, brings its schema up to date and makes sure that it can be
// written to. What keeps it from that is an [*OpenError].
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Retried == nil {
		o.Retried = new(atomic.Int64)
	}
	e, err := openEngine(ctx, o)
	if err != nil {
		return nil, err
	}
	db := newDB(e, o)
	if err := db.writer.update(ctx, func(t *tx) error { return t.probe(false) }); err != nil {
		return nil, errors.Join(e.openError(err), db.Close())
	}
	return db, nil
}

func openEngine(ctx context.Context, o Options) (*engine, error) {
	path := strings.TrimPrefix(o.URL, "sqlite:")
	switch kind, _, isURL := strings.Cut(path, "://"); {
	case !isURL:
		return openSQLite(ctx, path)
	case kind == "postgres" || kind == "postgresql":
		return openPostgres(ctx, o)
	default:
		return nil, &OpenError{
			Path: kind + "://…", Problem: "this is not a kind of database that is known here",
			Hint: "give the path of a file, which SQLite will keep, or postgres://…",
		}
	}
}

// newDB starts the writer.
func newDB(e *engine, o Options) *DB {
	db := &DB{engine: e, log: o.Log, closing: make(chan struct{})}
	clock := o.Now
	if clock == nil && e.dialect.clockQuery == "" {
		clock = time.Now
	}
	db.now = func(c *conn) time.Time {
		if clock == nil {
			return c.startedAt
		}
		return toMillis(clock()).time()
	}
	db.pool = newConnPool(e.connections, db.closing, func(ctx context.Context) (*conn, error) {
		return e.openReader(ctx, &db.hook)
	})
	db.writer = e.newUpdater(db)
	db.close = sync.OnceValue(db.shutdown)
	return db
}

// Name is what may be shown of where the database is: a path, or a URL without its password.
func (db *DB) Name() string { return db.engine.name }

// Notifier is a way to the other processes on the database; nil with SQLite, where there are none.
func (db *DB) Notifier() (*Notifier, error) {
	if db.engine.newTransport == nil {
		return nil, nil //nolint:nilnil // there is none, and nothing is wrong with that
	}
	w, err := db.engine.newTransport(db.log)
	if err != nil {
		return nil, db.engine.openError(err)
	}
	return newNotifier(w, db.log), nil
}

// Close finishes the transactions that have begun, refuses those that wait,
// and closes the database. To close it again changes nothing.
func (db *DB) Close() error { return db.close() }

func (db *DB) shutdown() error {
	close(db.closing)
	db.pool.close() // first: whoever reads keeps SQLite's log from being emptied
	var errs []error
	for _, part := range []func() error{db.engine.read.Close, db.writer.stop, db.engine.write.Close, db.engine.unlock} {
		if err := part(); err != nil && !db.engine.dialect.isConnLost(err) { // what is lost is closed
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Update runs f in a transaction. AfterCommit functions have run when it returns nil;
// they run one after the other, before anything else is written, and must not use the store.
func (db *DB) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	return db.writer.update(ctx, func(t *tx) error { return f(t) })
}

// Probe writes and commits something without meaning, of the size of a large
// request, and removes it again.
func (db *DB) Probe(ctx context.Context) error {
	if err := db.writer.update(ctx, func(t *tx) error { return t.probe(true) }); err != nil {
		return err
	}
	return db.writer.update(ctx, func(t *tx) error { return t.probe(false) })
}

// View runs f on a snapshot. A panic of f is returned as a [*PanicError].
func (db *DB) View(ctx context.Context, f func(rendezvous.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c, err := db.pool.acquire(ctx)
	if err != nil {
		return err
	}
	defer func() { db.pool.release(c) }()
	if err := db.engine.checkFiles(); err != nil {
		return err
	}
	if err := db.pool.begin(&c, db.engine.dialect.beginRead); err != nil {
		return err
	}
	defer func() { c.rollback() }()
	t := &tx{conn: c, now: db.now(c), readOnly: true}
	if err := t.run(func(t *tx) error { return f(t) }); err != nil {
		return err
	}
	t.runAfterCommit(db.log)
	return nil
}
