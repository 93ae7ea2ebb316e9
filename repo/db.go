package repo

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"restante/rendezvous"
)

// Options says which database to open, and how.
type Options struct {
	// URL names the database: the path of a SQLite file, with or without "sqlite:" before
	// it, or postgres://… A missing file is created; a missing directory or PostgreSQL database is not.
	URL string
	// Connections is the size of the connection pool of a PostgreSQL database; 0 is [DefaultConnections].
	Connections int
	// Pooled is true if an external pooler may give each transaction another connection to
	// PostgreSQL, so that no state may stay on a connection from one transaction to the next.
	Pooled bool
	// Now is the clock; nil is time.Now for SQLite, and the database's clock for PostgreSQL.
	Now func() time.Time
	// Retried counts the transactions that lost against others and ran again; nil counts nothing.
	Retried *atomic.Int64
	// Batched is called after each commit that several updates may share, with how many did; nil is not called. Only
	// updates of SQLite share commits.
	Batched func(updates int)
	// Lost counts the topics of which other processes could not be notified, and Missed how often notifications of
	// others may have been missed; nil counts nothing.
	Lost, Missed *atomic.Int64
	// Patience is how long a statement, and a View, may take; 0 is what is good for a server.
	Patience time.Duration
	// ToRead is true if nothing is written, and the schema stays as it is. [OpenToRead] sets it.
	ToRead bool
	// CompareRemembered is for tests: before each commit to a SQLite file, all that is remembered of its rows is compared
	// with the rows, and a difference is a panic.
	CompareRemembered bool
	// Log gets the failures that no caller gets as an error; nil is slog.Default.
	Log *slog.Logger
}

// DB is a [rendezvous.Store] in a SQLite file or a PostgreSQL database. All methods are safe for concurrent use.
type DB struct {
	engine  *engine
	options Options
	hook    statementHook
	now     func(*conn) time.Time // the time of the connection's open transaction
	log     *slog.Logger
	pool    *connPool
	writer  updater
	closing chan struct{}

	viewLimit time.Duration // normally the constant; tests shorten it

	close func() error
}

var _ rendezvous.Store = (*DB)(nil)

// updater runs the transactions that may write.
type updater interface {
	update(ctx context.Context, f func(*tx) error) error
	// stop waits, after closing is closed, until no transaction runs.
	stop() error
}

// engine is an open database of one kind.
type engine struct {
	dialect *dialect
	// write and read are pools; connections are taken out of them for good.
	write, read *sqlx.DB
	// openReader opens a connection to read with.
	openReader func(context.Context, *statementHook) (*conn, error)
	// connections is the size of the connection pool.
	connections int
	// newUpdater starts the writer.
	newUpdater func(*DB) updater
	// checkFiles fails while the database's files are not at their paths.
	checkFiles func() error
	// unlock releases the lock that keeps other servers out.
	unlock func() error
	// name is where the database is, without secrets.
	name string
	// newTransport connects to other processes on the database; nil if there can be none.
	newTransport func(*slog.Logger) (notifyTransport, error)
	// openError returns the OpenError for an error of opening it.
	openError func(error) error
}

// Open opens a database, brings its schema up to date and checks that it can be written to.
// If it fails it returns an [*OpenError], unless ctx ended.
func Open(ctx context.Context, o Options) (*DB, error) {
	o = complete(o)
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

// complete replaces the options that are not given.
func complete(o Options) Options {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Batched == nil {
		o.Batched = func(int) {}
	}
	for _, count := range []**atomic.Int64{&o.Retried, &o.Lost, &o.Missed} {
		if *count == nil {
			*count = new(atomic.Int64)
		}
	}
	return o
}

// OpenToRead opens a database to read what is in it, beside a server that runs or in place of one that does not. It
// changes nothing, not even the schema. Update and Probe fail. If it fails it returns an [*OpenError], unless ctx ended.
func OpenToRead(ctx context.Context, o Options) (*DB, error) {
	o = complete(o)
	o.ToRead = true
	e, err := openEngine(ctx, o)
	if err != nil {
		return nil, err
	}
	return newDB(e, o), nil
}

// readOnly is the writer of a database that is opened to read.
type readOnly struct{}

func (readOnly) update(context.Context, func(*tx) error) error { return errReadOnlyTx }
func (readOnly) stop() error                                   { return nil }

func newReadOnly(*DB) updater { return readOnly{} }

// connectionString matches what PostgreSQL's programs accept instead of a URL. It is no path of a file: it may
// contain a password, which would then be logged.
var connectionString = regexp.MustCompile(`(?i)(^|\s)(host|hostaddr|port|user|password|passfile|dbname|service|sslmode)\s*=`)

// withoutScheme matches a URL with a password whose scheme was forgotten.
var withoutScheme = regexp.MustCompile(`^(//)?[^/@]+:[^@]*@[^/]+/`)

func openEngine(ctx context.Context, o Options) (*engine, error) {
	path := strings.TrimPrefix(o.URL, "sqlite:")
	switch kind, _, isURL := strings.Cut(path, "://"); {
	case isURL && (kind == "postgres" || kind == "postgresql"):
		return openPostgres(ctx, o)
	case path == o.URL && connectionString.MatchString(path):
		return nil, &OpenError{
			Path: "host=…", Problem: "this is a connection string, and not a URL",
			Hint: "write it like postgres://user:password@host:5432/restante?sslmode=require",
		}
	case !isURL && path == o.URL && filepath.VolumeName(path) == "" && withoutScheme.MatchString(path):
		return nil, &OpenError{
			Path: "…", Problem: "the scheme of this URL is missing",
			Hint: "write it like postgres://user:password@host:5432/restante?sslmode=require, or ./ before the path of a file",
		}
	case !isURL && o.ToRead:
		return openSQLiteToRead(ctx, path)
	case !isURL:
		return openSQLite(ctx, path, o.Log)
	default:
		return nil, &OpenError{
			Path: kind + "://…", Problem: "this kind of database is not supported",
			Hint: "give the path of a SQLite file, or postgres://…",
		}
	}
}

// newDB returns a DB on an engine and starts its writer.
func newDB(e *engine, o Options) *DB {
	db := &DB{engine: e, options: o, log: o.Log, closing: make(chan struct{}), viewLimit: max(viewLimit, o.Patience)}
	clock := o.Now
	if clock == nil && e.dialect.newPipeline == nil {
		clock = time.Now
	}
	db.now = func(c *conn) time.Time {
		if clock == nil {
			return c.startedAt
		}
		return toMillis(clock()).time()
	}
	db.pool = newConnPool(e.connections, db.closing, e.dialect.isFull, func(ctx context.Context) (*conn, error) {
		return e.openReader(ctx, &db.hook)
	})
	db.writer = e.newUpdater(db)
	db.close = sync.OnceValue(db.shutdown)
	return db
}

// Name returns where the database is: a path, or a URL without user and password.
func (db *DB) Name() string { return db.engine.name }

// Notifier returns a connection to the other processes on the database; nil with SQLite, where there are none.
func (db *DB) Notifier() (*Notifier, error) {
	if db.engine.newTransport == nil {
		return nil, nil //nolint:nilnil // SQLite needs none
	}
	w, err := db.engine.newTransport(db.log)
	if err != nil {
		return nil, db.engine.openError(err)
	}
	return newNotifier(w, db.options), nil
}

// Close waits for the running transactions, refuses the queued ones, and closes the
// database. Closing it again does nothing.
func (db *DB) Close() error { return db.close() }

func (db *DB) shutdown() error {
	close(db.closing)
	db.pool.close() // first: a reader keeps SQLite's log from being emptied
	var errs []error
	for _, part := range []func() error{db.engine.read.Close, db.writer.stop, db.engine.write.Close, db.engine.unlock} {
		if err := part(); err != nil && !db.engine.dialect.isConnLost(err) { // a lost connection is closed
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Update runs f in a transaction, and again if the transaction lost against another. When it returns
// nil, the AfterCommit functions have run; they run one after the other and must not use the store.
// It returns ErrUnavailable, ErrOutcomeUnknown, a [*PanicError], f's error or that of ctx.
func (db *DB) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	return db.writer.update(ctx, func(t *tx) error { return f(t) })
}

// Probe writes and commits some bytes without meaning, as many as a large request has, and
// deletes them again. It shows whether the storage can be written to. After a failure that may be that of a connection, it
// has no connection of before used again. It fails while the database refuses a statement that it refused before.
func (db *DB) Probe(ctx context.Context) error {
	db.pool.renew()
	refused := db.pool.refusal()
	if err := db.writer.update(ctx, func(t *tx) error {
		if err := t.probe(true); err != nil || len(refused) == 0 {
			return err
		}
		return t.execute(func() error { return t.conn.explain(refused) })
	}); err != nil {
		return err
	}
	db.pool.refusalEnded()
	return db.writer.update(ctx, func(t *tx) error { return t.probe(false) })
}

// View runs f on one snapshot, which f cannot change. It returns a panic of f as a [*PanicError], and
// ErrUnavailable if f goes on reading for more than a minute: an old snapshot keeps SQLite's log from being emptied.
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
	t := &tx{conn: c, now: db.now(c), readOnly: true, deadline: time.Now().Add(db.viewLimit)}
	if err := t.run(func(t *tx) error { return f(t) }); err != nil {
		return err
	}
	if err := c.ensureSent(); err != nil { // f read nothing, but is told whether it could have
		return err
	}
	t.ended(nil, db.log)
	return nil
}
