package repo

import (
	"cmp"
	"errors"
	"log/slog"
	"reflect"
	"time"

	"github.com/jmoiron/sqlx"

	"restante/rendezvous"
)

// tx is one transaction, or one member's part of one. Its methods are in the
// files of the nouns; all of them go through the few functions below.
type tx struct {
	conn     *conn
	now      time.Time
	readOnly bool

	afterCommit []func()
	changed     bool

	storedMailboxes map[rendezvous.MailboxKey]rendezvous.Mailbox // see stored

	// failed is the first statement's error. It fails the transaction whatever the function
	// makes of it: what follows an error would be done on PostgreSQL in no transaction at all.
	failed error
}

var _ rendezvous.Tx = (*tx)(nil)

// Now is the transaction's time.
func (t *tx) Now() time.Time { return t.now }

// AfterCommit has f run once this has committed.
func (t *tx) AfterCommit(f func()) { t.afterCommit = append(t.afterCommit, f) }

// run calls f, and tells what becomes of the transaction.
func (t *tx) run(f func(*tx) error) error {
	err := recoverPanic(func() error { return f(t) })
	if err == nil || t.conn.dialect.isRetriable(t.failed) { // which says more than whatever f made of it
		err = cmp.Or(t.failed, err)
	}
	t.failed = errTxDone
	return err
}

// committed runs what was to be run then. One that panics does not keep the
// others from it: they wake those who wait.
func (t *tx) runAfterCommit(log *slog.Logger) {
	for _, f := range t.afterCommit {
		err := recoverPanic(func() error { f(); return nil })
		if p, ok := errors.AsType[*PanicError](err); ok {
			log.Error("panic after a commit", "panic", p.Value, "stack", string(p.Stack))
		}
	}
}

// exec changes rows and tells how many.
func (t *tx) exec(query string, args ...any) (int64, error) {
	if t.readOnly {
		return 0, errReadOnlyTx
	}
	var n int64
	err := t.execute(func() (err error) {
		n, err = t.conn.exec(query, args...)
		return err
	})
	t.changed = t.changed || n > 0
	return n, err
}

// locks tells whether what is loaded has to be locked, so that it stays as it is until
// this transaction ends: SQLite lets only one write at a time.
func (t *tx) needsLocks() bool { return !t.readOnly && t.conn.dialect.concurrentWriters }

// lock has a SELECT lock the rows of a table that it finds. Others may still refer to
// them, as frames do to their session.
func (t *tx) forUpdate(of string) string {
	if !t.needsLocks() {
		return ""
	}
	return " FOR NO KEY UPDATE OF " + of
}

// lockIdle is lock for a SELECT that is to find nothing where another transaction has the row.
func (t *tx) forUpdateSkipLocked(of string) string {
	if !t.needsLocks() {
		return ""
	}
	return t.forUpdate(of) + " SKIP LOCKED"
}

// do runs a statement, unless one has failed before.
func (t *tx) execute(statement func() error) error {
	if t.failed == nil {
		t.failed = statement()
	}
	return t.failed
}

// each hands the rows of a SELECT to f, one by one, until f answers false.
func queryEach[T any](t *tx, f func(T) bool, query string, args ...any) error {
	return t.execute(func() error {
		return t.conn.query(func(rows *sqlx.Rows) (bool, error) {
			row, err := scan[T](rows)
			return err == nil && f(row), err
		}, query, args...)
	})
}

// all are the rows of a SELECT.
func queryAll[T any](t *tx, query string, args ...any) ([]T, error) {
	var list []T
	err := queryEach(t, func(row T) bool {
		list = append(list, row)
		return true
	}, query, args...)
	return list, err
}

// one is the row of a SELECT, or ErrNotFound.
func queryOne[T any](t *tx, query string, args ...any) (T, error) {
	list, err := queryAll[T](t, query, args...)
	if err == nil && len(list) == 0 {
		err = rendezvous.ErrNotFound
	}
	if err != nil {
		var none T
		return none, err
	}
	return list[0], nil
}

// returning is the row of a change that returns one, or ErrNotFound. The
// statement is run to its end: the change is not complete before.
func queryReturning[T any](t *tx, query string, args ...any) (T, error) {
	if t.readOnly {
		var none T
		return none, errReadOnlyTx
	}
	row, err := queryOne[T](t, query, args...)
	t.changed = t.changed || err == nil
	return row, err
}

// scan reads a row: a struct by the names of its columns, or a single value.
func scan[T any](rows *sqlx.Rows) (T, error) {
	var row T
	var err error
	if isStruct[T]() {
		err = rows.StructScan(&row)
	} else {
		err = rows.Scan(&row)
	}
	return row, err
}

// isStruct tells a row of several columns from a single value.
func isStruct[T any]() bool { return reflect.TypeFor[T]().Kind() == reflect.Struct }

// found is the error of a change that must have found its row.
func requireRow(rows int64, err error) error {
	if err == nil && rows == 0 {
		return rendezvous.ErrNotFound
	}
	return err
}

// collect turns rows into values.
func mapSlice[R, V any](rows []R, value func(R) V) []V {
	values := make([]V, len(rows))
	for i, r := range rows {
		values[i] = value(r)
	}
	return values
}
