package repo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jmoiron/sqlx"

	"restante/rendezvous"
)

// SQLite keeps pages that are free, for later. A file with incremental vacuum can give them back, some at a time.
const (
	// freeKept is how many bytes of free pages a file keeps. What is used again soon is not worth the work.
	freeKept = 8 << 20
	// freeStep is how many bytes of pages a transaction gives back. Updates wait so long.
	freeStep = 1 << 20
	// convertedSize is the size in bytes up to which a file of an earlier version is rewritten when it is opened, so
	// that it can give back space. That takes about a second.
	convertedSize = 64 << 20
)

// sqliteFreeSpace gives back some of the free pages, and reports whether there are more.
func sqliteFreeSpace(t *tx) (more bool, err error) {
	size, err := queryOne[int64](t, `
		SELECT page_size FROM pragma_page_size, pragma_freelist_count, pragma_auto_vacuum
		WHERE auto_vacuum = 2 AND freelist_count * page_size > ?`, freeKept+freeStep)
	if errors.Is(err, rendezvous.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if t.readOnly {
		return false, errReadOnlyTx
	}
	return true, t.execute(func() error { // it has a row for each page
		return t.conn.query(func(*sqlx.Rows) (bool, error) { return true, nil }, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", freeStep/size))
	})
}

// convertSmall rewrites a small file that cannot give back space.
func convertSmall(ctx context.Context, db *sql.DB, path string, log *slog.Logger) error {
	var mode int
	if err := db.QueryRowContext(ctx, "PRAGMA auto_vacuum").Scan(&mode); err != nil || mode == 2 {
		return err
	}
	if size := fileSize(path); size > convertedSize {
		log.Warn("the database's file does not get smaller, because an earlier version made it; to change that, stop the server and run: sqlite3 FILE 'PRAGMA auto_vacuum = 2; VACUUM'", "bytes", size)
		return nil
	}
	for _, statement := range []string{"PRAGMA auto_vacuum = 2", "VACUUM"} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
