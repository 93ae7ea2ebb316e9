package repo

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/pressly/goose/v3"
	gooselock "github.com/pressly/goose/v3/lock"
)

const (
	// DefaultConnections is how many connections a PostgreSQL database is asked for: more
	// transactions than that at once are no faster, and wait here instead of there.
	DefaultConnections = 16

	// postgresClock is the time as it is, not as it was when the transaction began.
	postgresClockQuery = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
	// postgresSilence is for how long the database may say nothing, while it is asked for
	// something, before it is taken for gone. It ends statements by itself before that.
	postgresReadTimeout = 5 * time.Second
	// postgresConnect is how long a connection may take to come about.
	postgresConnectTimeout = 3 * time.Second
	// migrationSilence is how long one step of a migration may take.
	migrationReadTimeout = time.Hour
)

// postgresSettings bound how long a statement takes, and waits for a lock.
var postgresSettings = [][2]string{
	{"statement_timeout", "4000"},
	{"lock_timeout", "3000"},
	{"idle_in_transaction_session_timeout", "30000"},
}

func newPostgresDialect(pooled bool) *dialect {
	d := &dialect{
		gooseDialect:      goose.DialectPostgres,
		beginRead:         "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", // one snapshot
		beginWrite:        "BEGIN ISOLATION LEVEL READ COMMITTED",             // and locks: see docs/decisions/0012
		clockQuery:        postgresClockQuery,
		migrationLocker:   postgresMigrationLocker(pooled),
		concurrentWriters: true,
		unprepared:        pooled,
		isUnavailable:     isPostgresUnavailable,
		isOutcomeUnknown:  isPostgresOutcomeUnknown,
		isRetriable:       isPostgresRetriable,
		retriesExhausted:  postgresRetriesExhausted,
		isConnLost:        isPostgresConnLost,
		onRollback:        func(*sqlx.Conn, func()) error { return nil }, // it ends a transaction only with an error
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
	d.schemaWords.Text = `TEXT COLLATE "C"` // in the order of the bytes, as SQLite and Go have it
	return d
}

// postgresLocker is an advisory lock, which a connection holds; behind a pooler, a row.
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
	problem := func(err error) error { return postgresOpenError(o.URL, err) }
	address := o.URL
	if !o.Pooled {
		for _, s := range postgresSettings {
			if address, err = withParameter(address, s[0], s[1]); err != nil {
				return nil, problem(err)
			}
		}
	}
	pool, err := postgresPool(address, postgresReadTimeout)
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
	if err := pool.PingContext(ctx); err != nil {
		return nil, err
	}
	if err := migratePostgres(ctx, o.URL, e.dialect); err != nil {
		return nil, err
	}
	e.openReader = func(ctx context.Context, h *statementHook) (*conn, error) { return openConn(ctx, pool, e.dialect, h) }
	e.newUpdater = func(db *DB) updater {
		return &postgresWriter{dialect: e.dialect, conns: db.pool, now: db.now, log: db.log, retried: o.Retried, stampInterval: stampInterval}
	}
	return e, nil
}

// migratePostgres brings the schema up to date, on connections of its own: that may take its time.
func migratePostgres(ctx context.Context, address string, d *dialect) error {
	if d.unprepared { // one way there and back a statement, or a pooler may send its parts to different connections
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

// postgresWire is the way to the other processes on the database.
func newPostgresTransport(o Options, log *slog.Logger) (notifyTransport, error) {
	if o.Pooled {
		return newPollTransport(o.URL, log)
	}
	return newListenTransport(o.URL, log)
}

// postgresPool is the connections to a database, of which none is open yet.
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

// watchful dials connections on which whoever waits for an answer waits only so long: the
// other end may have vanished without a word.
type timeoutDialer struct{ timeout time.Duration }

// Dial implements pq.Dialer.
func (w timeoutDialer) Dial(network, address string) (net.Conn, error) {
	return w.DialTimeout(network, address, postgresConnectTimeout)
}

// DialTimeout implements pq.Dialer.
func (w timeoutDialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return w.DialContext(ctx, network, address)
}

// DialContext implements pq.DialerContext.
func (w timeoutDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, postgresConnectTimeout)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return timeoutConn{c, w.timeout}, nil
}

type timeoutConn struct {
	net.Conn
	timeout time.Duration
}

// Read waits for as long as the database may be silent.
func (c timeoutConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write waits for as long as the database may take nothing in.
func (c timeoutConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// sqlState is PostgreSQL's code of an error, empty for one that is not PostgreSQL's.
func sqlState(err error) string {
	if e, ok := errors.AsType[*pq.Error](err); ok {
		return string(e.Code)
	}
	return ""
}

// postgresAgain tells the errors of whoever lost against another: one that crossed another,
// a deadlock, or both making the same thing, which the second will find.
func isPostgresRetriable(err error) bool {
	switch sqlState(err) {
	case "40001", "40P01", "23505":
		return true
	}
	return false
}

// postgresExhausted is what to make of one that lost too often. What always finds that the
// thing it makes is there is at fault itself.
func postgresRetriesExhausted(err error) error {
	if sqlState(err) == "23505" {
		return err
	}
	return unavailableError(err)
}

// postgresUnavailable tells the errors of the storage from faults of ours, by class.
func isPostgresUnavailable(err error) bool {
	state := sqlState(err)
	if state == "" {
		return false
	}
	switch state[:2] {
	case "08", "53", "57", "58", "28", "3D", "XX": // connection, resources, operator, system, credentials, catalog, internal
		return true
	}
	switch state {
	case "25006", "55P03": // it has become a standby; a lock was not to be had
		return true
	}
	return false
}

// postgresLost tells the errors after which a connection is of no use: all that are not
// PostgreSQL's answer to a statement, and those with which it ends.
func isPostgresConnLost(err error) bool {
	if isConnLost(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	e, ok := errors.AsType[*pq.Error](err)
	return ok && (e.Severity == "FATAL" || e.Severity == "PANIC")
}

// postgresUnknown tells the errors of a COMMIT that may have been done nevertheless.
func isPostgresOutcomeUnknown(err error) bool {
	state := sqlState(err)
	return strings.HasPrefix(state, "08") || strings.HasPrefix(state, "57P")
}

var errBadURL = errors.New("not a URL of a database") // says no more: there may be a password in it

// withParameter is a database's URL with a parameter of the connection set, unless it has one.
func withParameter(address, name, value string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", errBadURL
	}
	q := u.Query()
	if !q.Has(name) {
		q.Set(name, value)
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// shown is a database's URL without what is nobody's business.
func redactedURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "postgres://…"
	}
	host := u.Host
	if host == "" {
		host = u.Query().Get("host")
	}
	return "postgres://" + host + "/" + strings.TrimPrefix(u.Path, "/")
}

// postgresProblem is the OpenError for what kept a database from being opened.
func postgresOpenError(address string, err error) error {
	if e, ok := errors.AsType[*OpenError](err); ok {
		e.Path = redactedURL(address)
		return e
	}
	if errors.Is(err, context.Canceled) {
		return err // whoever opens it gave up
	}
	p := &OpenError{Path: redactedURL(address), Err: err}
	state := sqlState(err)
	switch {
	case errors.Is(err, errBadURL):
		p.Problem, p.Hint = "this is not a URL that PostgreSQL knows", "write it like postgres://user:password@host:5432/restante?sslmode=require"
	case state == "3D000":
		p.Problem, p.Hint = "there is no such database", "make it with the command: createdb NAME"
	case strings.HasPrefix(state, "28"):
		p.Problem, p.Hint = "it does not let this user in", "look at the user, the password and pg_hba.conf"
	case state == "42501":
		p.Problem, p.Hint = "this user may not make tables in it", "let the user own the database"
	case state == "25006":
		p.Problem, p.Hint = "it can only be read", "name the primary, not a standby; target_session_attrs=read-write in the URL finds it among several hosts"
	case strings.HasPrefix(state, "53"), strings.HasPrefix(state, "57"):
		p.Problem, p.Hint = "it takes no connection now ("+errorMessage(err)+")", "try again when it does"
	case strings.Contains(err.Error(), "SSL is not enabled"):
		p.Problem, p.Hint = "it does not speak TLS", "add sslmode=disable to the URL if the way to it is safe without"
	case state == "":
		p.Problem, p.Hint = "it cannot be reached ("+errorMessage(err)+")", "look whether it runs, and at host and port"
	default:
		p.Problem, p.Hint = "it cannot be made ready ("+errorMessage(err)+")", "if that does not tell what to do, please report it"
	}
	return p
}

// message is what an error says, without what it is about.
func errorMessage(err error) string {
	if e, ok := errors.AsType[*pq.Error](err); ok {
		return e.Message
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}
