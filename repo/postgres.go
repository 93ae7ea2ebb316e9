package repo

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/pressly/goose/v3"
	gooselock "github.com/pressly/goose/v3/lock"

	"restante/internal/workers"
	"restante/rendezvous"
)

const (
	// DefaultConnections is the default size of the connection pool of a PostgreSQL database. More
	// concurrent transactions are no faster; they wait in this process instead of in the database.
	DefaultConnections = 16

	// postgresClockQuery returns the current time, not the time when the transaction began.
	postgresClockQuery = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
	// postgresReadTimeout is how long the database may send nothing during a statement before it
	// counts as lost. It ends statements by itself before that.
	postgresReadTimeout = 5 * time.Second
	// postgresConnectTimeout is how long connecting may take.
	postgresConnectTimeout = 3 * time.Second
	// migrationReadTimeout is how long one step of a migration may take.
	migrationReadTimeout = time.Hour
)

// postgresSettings bounds how long a statement may take and may wait for a lock, in milliseconds.
var postgresSettings = [][2]string{
	{"statement_timeout", "4000"},
	{"lock_timeout", "3000"},
	{"idle_in_transaction_session_timeout", "30000"},
}

// postgresMigrationSettings are for the transaction of a migration, which also a pooler keeps on one connection. A
// migration takes its time, whatever the database or the user is set to. It waits for a lock for as long as a transaction
// of a server may be idle, and not longer: meanwhile others wait behind it.
const postgresMigrationSettings = `
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = 30000;
SET LOCAL idle_in_transaction_session_timeout = 60000;
`

func newPostgresDialect(pooled bool) *dialect {
	d := &dialect{
		gooseDialect:      goose.DialectPostgres,
		beginRead:         "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", // one snapshot
		beginWrite:        "BEGIN ISOLATION LEVEL READ COMMITTED",             // and locks: see docs/decisions/0012
		migrationLocker:   postgresMigrationLocker(pooled),
		concurrentWriters: true,
		rowID:             "ctid",
		newPipeline:       func() *pipeline { return newPipeline(!pooled) },
		isUnavailable:     isPostgresUnavailable,
		isUnwritable:      isPostgresUnwritable,
		isOutcomeUnknown:  isPostgresOutcomeUnknown,
		isRetriable:       isPostgresRetriable,
		retriesExhausted:  postgresRetriesExhausted,
		storageSize:       postgresSize,
		isConnLost:        isPostgresConnLost,
		isConnAtFault:     isPostgresConnAtFault,
		isFull:            isPostgresFull,
		onRollback:        func(*sqlx.Conn, func()) error { return nil }, // PostgreSQL never ends a transaction without an error
	}
	if pooled {
		var settings strings.Builder
		for _, s := range postgresSettings {
			settings.WriteString("; SET LOCAL " + s[0] + " = " + s[1])
		}
		d.beginRead += settings.String()
		d.beginWrite += settings.String()
	}
	d.schemaWords.Identity = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
	d.migrationSettings = postgresMigrationSettings
	d.schemaWords.Text = `TEXT COLLATE "C"` // sorted by bytes, as in SQLite and Go
	return d
}

// postgresMigrationLocker returns an advisory lock, which a connection holds, or a lock row for use with a pooler.
func postgresMigrationLocker(pooled bool) func() (goose.ProviderOption, error) {
	if pooled {
		return func() (goose.ProviderOption, error) {
			l, err := gooselock.NewPostgresTableLocker()
			return goose.WithLocker(l), err
		}
	}
	return func() (goose.ProviderOption, error) {
		l, err := gooselock.NewPostgresSessionLocker(gooselock.WithLockTimeout(1, 300))
		return goose.WithSessionLocker(l), err
	}
}

// openPostgres connects to a database and brings its schema up to date.
func openPostgres(ctx context.Context, o Options) (_ *engine, err error) {
	if isCutShort(o.URL) {
		return nil, postgresOpenError(o.URL, errCutPassword)
	}
	o.URL = withHostsAsParameters(o.URL)
	problem := func(err error) error { return postgresOpenError(o.URL, err) }
	address := o.URL
	if !o.Pooled {
		for _, s := range postgresSettings {
			if s[0] == "statement_timeout" && o.Patience > 0 {
				s[1] = strconv.FormatInt(o.Patience.Milliseconds(), 10)
			}
			if address, err = withParameter(address, s[0], s[1]); err != nil {
				return nil, problem(err)
			}
		}
	}
	pool, err := postgresPool(address, max(postgresReadTimeout, o.Patience+time.Second))
	if err != nil {
		return nil, problem(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(problem(err), pool.Close())
		}
	}()
	e := &engine{
		dialect: newPostgresDialect(o.Pooled), read: pool, write: pool, connections: o.Connections,
		checkFiles: func() error { return nil }, unlock: func() error { return nil }, openError: problem,
		name: redactedURL(o.URL), newTransport: func(log *slog.Logger) (notifyTransport, error) { return newPostgresTransport(o, log) },
	}
	if e.connections < 1 {
		e.connections = DefaultConnections
	}
	if err := checkEncoding(ctx, pool.DB); err != nil {
		return nil, err
	}
	if o.ToRead {
		err = checkSchema(ctx, pool.DB, e.dialect)
	} else {
		err = migratePostgres(ctx, o.URL, e.dialect, o.Pooled)
	}
	if err != nil {
		return nil, err
	}
	e.openReader = func(ctx context.Context, h *statementHook) (*conn, error) { return openConn(ctx, pool, e.dialect, h) }
	e.newUpdater = func(db *DB) updater {
		return &postgresWriter{workers: workers.NewPool(e.connections, db.closing), dialect: e.dialect, conns: db.pool, now: db.now, log: db.log, retried: o.Retried, stampInterval: stampInterval}
	}
	if o.ToRead {
		e.newUpdater = newReadOnly
	}
	return e, nil
}

// checkEncoding refuses a database that could not store what clients send, because its encoding has fewer characters than
// UTF-8. SQL_ASCII is none: PostgreSQL then takes text as it comes, which is UTF-8.
func checkEncoding(ctx context.Context, db *sql.DB) error {
	var encoding string
	if err := db.QueryRowContext(ctx, "SHOW server_encoding").Scan(&encoding); err != nil {
		return err
	}
	if encoding != "UTF8" && encoding != "SQL_ASCII" {
		return &OpenError{Problem: "its encoding is " + encoding, Hint: "create it with: createdb --encoding=UTF8 --template=template0 NAME"}
	}
	return nil
}

// postgresSize returns the size of the database. The server's log is not the database's.
func postgresSize(t *tx) (rendezvous.StorageSize, error) {
	bytes, err := queryOne[int64](t, `SELECT pg_database_size(current_database())`)
	return rendezvous.StorageSize{Database: bytes}, err
}

// migratePostgres brings the schema up to date, on connections of its own because a migration may take long.
func migratePostgres(ctx context.Context, address string, d *dialect, pooled bool) error {
	if pooled { // one round trip a statement, so that a pooler cannot send its parts to different connections
		var err error
		if address, err = withParameter(address, "binary_parameters", "yes"); err != nil {
			return err
		}
	}
	pool, err := postgresPool(address, migrationReadTimeout)
	if err != nil {
		return err
	}
	return errors.Join(migrate(ctx, pool.DB, d), pool.Close())
}

// newPostgresTransport returns the connection to the other processes on the database.
func newPostgresTransport(o Options, log *slog.Logger) (notifyTransport, error) {
	if o.Pooled {
		return newPollTransport(o.URL, log)
	}
	return newListenTransport(o.URL, log)
}

// postgresPool returns a pool of connections, of which none is open yet.
func postgresPool(address string, silence time.Duration) (*sqlx.DB, error) {
	address, err := withParameter(address, "connect_timeout", strconv.Itoa(int(postgresConnectTimeout.Seconds())))
	if err != nil {
		return nil, err
	}
	connector, err := pq.NewConnector(address)
	if err != nil {
		return nil, errBadURL
	}
	connector.Dialer(timeoutDialer{silence})
	return sqlx.NewDb(sql.OpenDB(connector), "postgres"), nil
}
