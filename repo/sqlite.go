package repo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"runtime"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
)

// sqliteApplicationID is the application_id of our files: "Rest".
const sqliteApplicationID = 0x52657374

// writeBusyTimeout is how long a statement of the connection that writes waits for a lock.
const writeBusyTimeout = time.Second

// pageSize is the size in bytes of a page of a file that is new: decision 0033.
const pageSize = 2048

// writePragmas are those of the connection that writes: an acknowledged commit survives a loss of power. A
// statement waits one second for a lock, and the writer then tries again.
//
// After busy_timeout, the driver sets them in the order of their texts. The quotes have page_size come before
// journal_mode, which creates the first page.
var writePragmas = []string{
	fmt.Sprintf("busy_timeout(%d)", writeBusyTimeout.Milliseconds()), fmt.Sprintf("journal_size_limit(%d)", logKeptSize),
	fmt.Sprintf(`"main".page_size(%d)`, pageSize),
	"auto_vacuum(2)", // incremental; for a file that is new
	"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
}

// readPragmas are those of the connections that read: query_only refuses writes.
var readPragmas = []string{"busy_timeout(5000)", "query_only(1)"}

func newSQLiteDialect() *dialect {
	d := &dialect{
		gooseDialect:     goose.DialectSQLite3,
		beginRead:        "BEGIN",
		beginWrite:       "BEGIN IMMEDIATE", // takes the lock at once: a transaction that begins as a reader can fail halfway
		isUnavailable:    isSQLiteUnavailable,
		isUnwritable:     isSQLiteUnwritable,
		isOutcomeUnknown: isSQLiteOutcomeUnknown,
		onRollback:       onSQLiteRollback,
		isRetriable:      func(error) bool { return false },
		isConnLost:       isConnLost,
		isConnAtFault:    func(error) bool { return false },
		isFull:           func(error) bool { return false },

		repliesInMessages: true,
	}
	d.schemaWords.Text = "TEXT"
	d.schemaWords.Identity = "INTEGER PRIMARY KEY AUTOINCREMENT" // keys are never reused
	d.schemaWords.Clustered = " WITHOUT ROWID"
	return d
}

// openSQLite opens a file and brings its schema up to date.
func openSQLite(ctx context.Context, path string, log *slog.Logger) (_ *engine, err error) {
	path, err = resolvePath(path)
	if err != nil {
		return nil, err
	}
	sqlx.BindDriver("sqlite", sqlx.QUESTION) // sqlx knows the driver only by another name
	if err := refuseForeign(ctx, path); err != nil {
		return nil, sqliteOpenError(path, err)
	}
	release, err := lockFile(path)
	if err != nil {
		return nil, err
	}
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
	unlockInode, err := lockInode(path)
	if err != nil {
		return nil, err
	}
	e.unlock = func() error { return errors.Join(unlockInode(), release()) }
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
	if err := convertSmall(ctx, e.write.DB, path, log); err != nil {
		return nil, err
	}
	files := &fileIdentity{}
	if err := files.record(path); err != nil {
		return nil, err
	}
	e.checkFiles = files.check
	e.dialect.storageSize = sqliteSize(path)
	e.dialect.freeSpace = sqliteFreeSpace
	e.openReader = func(ctx context.Context, h *statementHook) (*conn, error) { return openConn(ctx, e.read, e.dialect, h) }
	writable := func(ctx context.Context, h *statementHook) (*conn, error) {
		c, err := openConn(ctx, e.write, e.dialect, h)
		if err != nil {
			return nil, err
		}
		c.remembered = newRemembered()
		// SQLite creates the log again after the last connection was closed.
		if err := files.record(path + "-wal"); err != nil {
			c.discard()
			return nil, unavailableError(err)
		}
		return c, nil
	}
	e.newUpdater = func(db *DB) updater { return newSQLiteWriter(db, path+"-wal", writable) }
	return e, nil
}

// closeAll closes a partly opened engine.
func (e *engine) closeAll() error {
	var errs []error
	for _, pool := range []*sqlx.DB{e.read, e.write} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(append(errs, e.unlock())...)
}

// sqliteDSN returns the data source name of a file. SQLite does not create the file (mode=rw): a
// file that was moved away must cause an error and not be replaced.
func sqliteDSN(path string, pragmas []string) string {
	q := url.Values{"mode": {"rw"}, "_txlock": {"immediate"}, "_pragma": pragmas}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String()
}

// refuseForeign refuses the database of another program, before anything in it or beside it is changed. A database with a
// log beside it is looked at later, when the log is read.
func refuseForeign(ctx context.Context, path string) error {
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		return nil // it is new, or opening it tells why it is not
	}
	if _, err := os.Stat(path + "-wal"); err == nil {
		return nil
	}
	db, err := sqlx.Open("sqlite", sqliteReadDSN(path))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	var isOther bool
	if err := db.GetContext(ctx, &isOther, `
		SELECT application_id NOT IN (0, ?) OR application_id = 0 AND EXISTS (SELECT 1 FROM sqlite_schema)
		FROM pragma_application_id`, sqliteApplicationID); err != nil || !isOther {
		return nil // opening it tells what is wrong
	}
	return anotherProgram()
}

// anotherProgram is the error of a database that is not ours.
func anotherProgram() error {
	return &OpenError{Problem: "it is the database of another program", Hint: "name another file"}
}

// verifyFile checks that the file is new or ours and uses a write-ahead log, and marks it as ours.
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
		return anotherProgram()
	}
	_, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", sqliteApplicationID))
	return err
}

// onSQLiteRollback registers ended, which is called when SQLite ends a transaction by itself: when the
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
