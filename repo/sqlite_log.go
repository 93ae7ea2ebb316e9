package repo

import (
	"context"
	"fmt"
	"os"
	"time"

	"restante/rendezvous"
)

// SQLite appends each commit to a write-ahead log and copies it into the database at a checkpoint, every
// 1,000 pages. It cannot begin the log anew while a reader needs an older part of it, and never makes the
// file smaller by itself. So the writer does, when it has time or when the log is very large.
const (
	// logKeptSize is the size in bytes that the log may keep.
	logKeptSize = 8 << 20
	// logMaxSize is the size in bytes from which the log is emptied even while updates wait.
	logMaxSize = 64 << 20
	// logCheckInterval is how long after an update the size of the log is checked.
	logCheckInterval = time.Second
	// viewLimit is how long a View may go on reading. Its snapshot keeps the log from being emptied, and
	// PostgreSQL from removing old rows.
	viewLimit = time.Minute
)

// trimLog empties the log if it is too large. It reports whether the log has to be checked again.
func (w *sqliteWriter) trimLog() (again bool) {
	size := fileSize(w.logPath)
	switch {
	case size <= logKeptSize:
		w.logWarned = false
		return false
	case size < logMaxSize && len(w.queue) > 0, w.conn == nil, w.conn.broken, w.checkFiles() != nil:
		return true
	}
	// It must not wait for a reader: updates would wait with it.
	for _, pragma := range []string{"busy_timeout = 0", "wal_checkpoint(TRUNCATE)", fmt.Sprintf("busy_timeout = %d", writeBusyTimeout.Milliseconds())} {
		if _, err := w.conn.raw.ExecContext(context.Background(), "PRAGMA "+pragma); err != nil && !isSQLiteBusy(err) {
			w.conn.broken = true // its settings are unknown
			if !w.logWarned {
				w.logWarned = true
				w.log.Warn("cannot empty the database's log", "error", err)
			}
			return true
		}
	}
	if size = fileSize(w.logPath); size >= logMaxSize && !w.logWarned {
		w.logWarned = true
		w.log.Warn("the database's log grows: something reads an old state of the database and does not end", "bytes", size)
	}
	return size > logKeptSize
}

// fileSize returns a file's size in bytes, 0 if there is none.
func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// sqliteSize returns the sizes of a database at path.
func sqliteSize(path string) func(*tx) (rendezvous.StorageSize, error) {
	return func(t *tx) (rendezvous.StorageSize, error) {
		used, err := queryOne[int64](t, `
			SELECT (p.page_count - f.freelist_count) * s.page_size
			FROM pragma_page_count AS p, pragma_freelist_count AS f, pragma_page_size AS s`)
		return rendezvous.StorageSize{Database: fileSize(path), Log: fileSize(path + "-wal"), Used: used}, err
	}
}
