package repo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// sqliteMark is the application_id of our files: "Rest".
const sqliteApplicationID = 0x52657374

// pragmas of the connection that writes: an acknowledged commit survives the loss of power.
var writePragmas = []string{"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"}

// readPragmas are of those that read: query_only refuses everything else.
var readPragmas = []string{"busy_timeout(5000)", "query_only(1)"}

func newSQLiteDialect() *dialect {
	d := &dialect{
		gooseDialect:     goose.DialectSQLite3,
		beginRead:        "BEGIN",
		beginWrite:       "BEGIN IMMEDIATE", // the lock at once: a transaction that began as a reader could fail halfway
		isUnavailable:    isSQLiteUnavailable,
		isOutcomeUnknown: isSQLiteOutcomeUnknown,
		onRollback:       onSQLiteRollback,
		isRetriable:      func(error) bool { return false },
		isConnLost:       isConnLost,
	}
	d.schemaWords.Text = "TEXT"
	d.schemaWords.Identity = "INTEGER PRIMARY KEY AUTOINCREMENT" // keys are never used again
	d.schemaWords.Clustered = " WITHOUT ROWID"
	return d
}

// openSQLite opens a file and brings its schema up to date.
func openSQLite(ctx context.Context, path string) (_ *engine, err error) {
	path, err = resolvePath(path)
	if err != nil {
		return nil, err
	}
	release, err := lockFile(path)
	if err != nil {
		return nil, err
	}
	sqlx.BindDriver("sqlite", sqlx.QUESTION) // sqlx knows the driver only by its other name
	e := &engine{
		dialect: newSQLiteDialect(), unlock: release, name: path, connections: max(4, 2*runtime.GOMAXPROCS(0)),
		openError: func(err error) error { return sqliteOpenError(path, err) },
	}
	defer func() {
		if err != nil {
			err = errors.Join(sqliteOpenError(path, err), e.closeAll())
		}
	}()
	if err := createFile(path); err != nil {
		return nil, err
	}
	if e.write, err = sqlx.Open("sqlite", sqliteDSN(path, writePragmas)); err != nil {
		return nil, err
	}
	e.write.SetMaxOpenConns(1)
	if e.read, err = sqlx.Open("sqlite", sqliteDSN(path, readPragmas)); err != nil {
		return nil, err
	}
	if err := verifyFile(ctx, e.write); err != nil {
		return nil, err
	}
	if err := migrate(ctx, e.write.DB, e.dialect); err != nil {
		return nil, err
	}
	files := &fileIdentity{}
	if err := files.record(path); err != nil {
		return nil, err
	}
	e.checkFiles = files.check
	e.openReader = func(ctx context.Context, h *statementHook) (*conn, error) { return openConn(ctx, e.read, e.dialect, h) }
	writable := func(ctx context.Context, h *statementHook) (*conn, error) {
		c, err := openConn(ctx, e.write, e.dialect, h)
		if err != nil {
			return nil, err
		}
		// The log is made anew whenever the last connection had been closed.
		if err := files.record(path + "-wal"); err != nil {
			c.discard()
			return nil, unavailableError(err)
		}
		return c, nil
	}
	e.newUpdater = func(db *DB) updater { return newSQLiteWriter(db, writable) }
	return e, nil
}

// abandon undoes the opening of an engine, as far as it came.
func (e *engine) closeAll() error {
	var errs []error
	for _, pool := range []*sqlx.DB{e.read, e.write} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(append(errs, e.unlock())...)
}

// sqliteDSN names a file and how it is used. SQLite makes none (mode=rw): one that
// was moved away must be missed, not replaced.
func sqliteDSN(path string, pragmas []string) string {
	q := url.Values{"mode": {"rw"}, "_txlock": {"immediate"}, "_pragma": pragmas}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String()
}

// claimFile makes sure that the file is ours, and that it is kept as promised.
func verifyFile(ctx context.Context, db *sqlx.DB) error {
	var is struct {
		Tables int64
		Mark   int64
		Mode   string
	}
	if err := db.GetContext(ctx, &is, `
		SELECT (SELECT COUNT(*) FROM sqlite_schema) AS tables,
		       (SELECT application_id FROM pragma_application_id) AS mark,
		       (SELECT journal_mode FROM pragma_journal_mode) AS mode`); err != nil {
		return err
	}
	switch {
	case is.Mode != "wal":
		return &OpenError{Problem: "its file system cannot share memory between connections", Hint: "keep it on a local disk"}
	case is.Mark == sqliteApplicationID:
		return nil
	case is.Tables > 0 || is.Mark != 0:
		return &OpenError{Problem: "it is the database of another program", Hint: "name another file"}
	}
	_, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", sqliteApplicationID))
	return err
}

// watchSQLite notices when SQLite ends a transaction by itself, as it does when the
// disk is full or fails, or memory runs out.
func onSQLiteRollback(c *sqlx.Conn, ended func()) error {
	return c.Raw(func(driver any) error {
		h, ok := driver.(sqlite.HookRegisterer)
		if !ok {
			return fmt.Errorf("%T has no rollback hook", driver)
		}
		h.RegisterRollbackHook(ended)
		return nil
	})
}

// sqliteCode is SQLite's extended result code, 0 for an error that is not SQLite's.
func sqliteCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}

// sqliteUnavailable tells the errors of the storage from faults of ours.
func isSQLiteUnavailable(err error) bool {
	switch sqliteCode(err) & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL,
		sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN,
		sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM,
		sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return true
	}
	return false
}

// sqliteUnknown tells the errors after which a commit may yet be found: it is written, but
// not known to be on the disk.
func isSQLiteOutcomeUnknown(err error) bool {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC:
		return true
	}
	return false
}

// sqliteProblem is the OpenError for what kept a file from being opened.
func sqliteOpenError(path string, err error) error {
	if e, ok := errors.AsType[*OpenError](err); ok {
		e.Path = path
		return e
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err // whoever opens it gave up
	}
	problem := &OpenError{Path: path, Err: err}
	switch sqliteCode(err) & 0xff {
	case sqlite3.SQLITE_NOTADB:
		problem.Problem, problem.Hint = "it is not a SQLite database", "name another file, or restore this one from a backup"
	case sqlite3.SQLITE_CORRUPT:
		problem.Problem, problem.Hint = "it is damaged", "restore it from a backup, or save what can be with the command: sqlite3 FILE .recover"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		problem.Problem, problem.Hint = "it cannot be written to", "let the server's user write to the file and to its directory"
	case sqlite3.SQLITE_CANTOPEN:
		problem.Problem, problem.Hint = "it cannot be opened", "let the server's user read and write the file and its directory"
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL:
		problem.Problem, problem.Hint = "another program has locked it", "end that program, then start the server again"
	case sqlite3.SQLITE_FULL:
		problem.Problem, problem.Hint = "the disk is full", "make room, then start the server again"
	case sqlite3.SQLITE_IOERR:
		problem.Problem, problem.Hint = "the disk fails", "look into the system's log, and keep the database on another disk"
	default:
		problem.Problem, problem.Hint = fmt.Sprintf("it cannot be made ready (%v)", err), "if that does not tell what to do, please report it"
		if errors.Is(err, os.ErrPermission) {
			problem.Problem, problem.Hint = "it may not be opened", "let the server's user read and write the file and its directory"
		}
	}
	return problem
}
