package repo

import (
	"context"
	"errors"
	"fmt"
	"os"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// sqliteCode returns SQLite's extended result code; it is 0 for other errors.
func sqliteCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}

// isSQLiteBusy reports whether another program has locked the database.
func isSQLiteBusy(err error) bool { return sqliteCode(err)&0xff == sqlite3.SQLITE_BUSY }

// isSQLiteDamaged reports whether the file is not what SQLite has written.
func isSQLiteDamaged(err error) bool { return sqliteCode(err)&0xff == sqlite3.SQLITE_CORRUPT }

// isSQLiteUnavailable reports whether an error is the storage's and not a fault of ours.
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

// isSQLiteUnwritable reports whether the disk is full, fails to write, or is mounted to be read only.
func isSQLiteUnwritable(err error) bool {
	switch code := sqliteCode(err); code & 0xff {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY:
		return true
	default:
		return code == sqlite3.SQLITE_IOERR_WRITE || code == sqlite3.SQLITE_IOERR_TRUNCATE
	}
}

// isSQLiteOutcomeUnknown reports whether a failed COMMIT may be found later: it is written, but
// may not be on the disk.
func isSQLiteOutcomeUnknown(err error) bool {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC:
		return true
	}
	return false
}

// sqliteOpenError returns the OpenError for an error of opening a file.
func sqliteOpenError(path string, err error) error {
	if e, ok := errors.AsType[*OpenError](err); ok {
		e.Path = path
		return e
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err // the caller gave up
	}
	problem := &OpenError{Path: path, Err: err}
	switch sqliteCode(err) & 0xff {
	case sqlite3.SQLITE_NOTADB:
		problem.Problem, problem.Hint = "it is not a SQLite database", "name another file, or restore this one from a backup"
	case sqlite3.SQLITE_CORRUPT:
		problem.Problem, problem.Hint = "it is damaged", "restore it from a backup, or recover what is left with the command: sqlite3 FILE .recover"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		problem.Problem, problem.Hint = "it cannot be written to", "let the server's user write to the file and to its directory"
	case sqlite3.SQLITE_CANTOPEN:
		problem.Problem, problem.Hint = "it cannot be opened", "let the server's user read and write the file and its directory"
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL:
		problem.Problem, problem.Hint = "another program has locked it", "stop that program, then start the server again"
	case sqlite3.SQLITE_FULL:
		problem.Problem, problem.Hint = "the disk is full", "free some space, then start the server again"
	case sqlite3.SQLITE_IOERR:
		problem.Problem, problem.Hint = "the disk fails", "read the system's log, and move the database to another disk"
	default:
		problem.Problem, problem.Hint = fmt.Sprintf("it cannot be prepared (%v)", err), "please report this if the message does not say what to do"
		if errors.Is(err, os.ErrPermission) {
			problem.Problem, problem.Hint = "it may not be opened", "let the server's user read and write the file and its directory"
		}
	}
	return problem
}
