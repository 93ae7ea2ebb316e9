package repo

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"

	"github.com/jmoiron/sqlx"
)

// openSQLiteToRead opens a file that a server may be using, without its lock.
func openSQLiteToRead(ctx context.Context, path string) (_ *engine, err error) {
	path, err = resolvePath(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, &OpenError{Path: path, Problem: "it does not exist", Hint: "name the file that the server uses", Err: err}
	}
	sqlx.BindDriver("sqlite", sqlx.QUESTION)
	e := &engine{
		dialect: newSQLiteDialect(), unlock: func() error { return nil }, name: path, connections: 1,
		checkFiles: func() error { return nil }, openError: func(err error) error { return sqliteOpenError(path, err) },
		newUpdater: newReadOnly,
	}
	if e.read, err = sqlx.Open("sqlite", sqliteReadDSN(path)); err != nil {
		return nil, sqliteOpenError(path, err)
	}
	e.write = e.read
	if err := errors.Join(verifyOurs(ctx, e.read), checkSchema(ctx, e.read.DB, e.dialect)); err != nil {
		return nil, errors.Join(sqliteOpenError(path, err), e.closeAll())
	}
	e.dialect.storageSize = sqliteSize(path)
	e.openReader = func(ctx context.Context, h *statementHook) (*conn, error) { return openConn(ctx, e.read, e.dialect, h) }
	return e, nil
}

// sqliteReadDSN returns the data source name to read a file that others may write. A file without a log beside it was
// closed by its server, and is read as a file that nothing changes: SQLite would create the log and its index, which
// belong to the server's user.
func sqliteReadDSN(path string) string {
	q := url.Values{"mode": {"ro"}, "_pragma": readPragmas}
	if _, err := os.Stat(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		q.Set("immutable", "1")
	}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String()
}

// verifyOurs checks that a file is a database of ours.
func verifyOurs(ctx context.Context, db *sqlx.DB) error {
	var mark int64
	if err := db.GetContext(ctx, &mark, `SELECT application_id FROM pragma_application_id`); err != nil {
		return err
	}
	if mark != sqliteApplicationID {
		return anotherProgram()
	}
	return nil
}
