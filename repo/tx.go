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

// tx is a transaction, or one update's part of a shared one. Its methods are in the files of the
// nouns, and all of them use the few functions below.
type tx struct {
	conn     *conn
	now      time.Time // zero until the first message was sent, if that reads the clock
	readOnly bool
	deadline time.Time // no statement runs afterwards; zero if there is none

	afterCommit  []func()
	afterUnknown []func()
	changed      bool

	storedMailboxes map[rendezvous.MailboxKey]rendezvous.Mailbox // see rememberStored
	unwritten       []loggedMessage                              // messages that were added; the next statement stores them
	beside          bool                                         // the next statement does not, because it does not see them

	// failed is the first error of a statement. It fails the transaction even if the function
	// ignores it: PostgreSQL runs no statement after an error.
	failed error
	// broke is true if a statement had failed when the function returned.
	broke bool
}

var _ rendezvous.Tx = (*tx)(nil)

// Now returns the transaction's time; the zero time if the database does not tell it, which fails the transaction.
func (t *tx) Now() time.Time {
	if t.now.IsZero() && t.execute(t.conn.flush) == nil {
		t.now = t.conn.startedAt
	}
	return t.now
}

// AfterCommit runs f once the transaction has committed.
func (t *tx) AfterCommit(f func()) { t.afterCommit = append(t.afterCommit, f) }

// AfterUnknown runs f if it cannot be known whether the transaction committed.
func (t *tx) AfterUnknown(f func()) { t.afterUnknown = append(t.afterUnknown, f) }

// run calls f and returns nil if the transaction may commit.
func (t *tx) run(f func(*tx) error) error {
	err := recoverPanic(func() error {
		if err := f(t); err != nil {
			return err
		}
		return t.writeMessages()
	})
	if err == nil || t.conn.dialect.isRetriable(t.failed) { // the statement's error says more than f's
		err = cmp.Or(t.failed, err)
	}
	t.broke, t.failed = t.failed != nil, errTxDone
	return err
}

// isUntouched reports whether the transaction's part that has run left everything as it was. After a statement that
// failed, that is not known.
func (t *tx) isUntouched() bool { return !t.changed && !t.broke }

// ended runs the AfterCommit functions of a transaction that committed, or the AfterUnknown functions
// if that cannot be known. A panic of one does not stop the others, because they wake waiting requests.
func (t *tx) ended(err error, log *slog.Logger) {
	var functions []func()
	switch {
	case err == nil:
		functions = t.afterCommit
	case errors.Is(err, rendezvous.ErrOutcomeUnknown):
		functions = t.afterUnknown
	}
	for _, f := range functions {
		err := recoverPanic(func() error { f(); return nil })
		if p, ok := errors.AsType[*PanicError](err); ok {
			log.Error("panic after a commit", "panic", p.Value, "stack", string(p.Stack))
		}
	}
}

// exec changes rows and returns how many.
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

// change changes rows. What fails may fail a later statement, or the commit, instead.
func (t *tx) change(query string, args ...any) error {
	if t.conn.pipeline == nil {
		_, err := t.exec(query, args...)
		return err
	}
	if t.readOnly {
		return errReadOnlyTx
	}
	t.changed = true
	return t.execute(func() error { return t.conn.later(query, args...) })
}

// changeRow is change of a row that must exist: if it does not, the transaction fails.
func (t *tx) changeRow(query string, args ...any) error {
	if t.conn.pipeline == nil {
		return requireRow(t.exec(query, args...))
	}
	if t.readOnly {
		return errReadOnlyTx
	}
	t.changed = true
	return t.execute(func() error { return t.conn.laterMustChange(query, args...) })
}

// needsLocks reports whether loaded rows have to be locked so that they stay unchanged until the
// transaction ends. SQLite needs no locks because it has one writer at a time.
func (t *tx) needsLocks() bool { return !t.readOnly && t.conn.dialect.concurrentWriters }

// forUpdate returns the clause with which a SELECT locks the rows that it finds in a table. Other
// transactions may still insert rows that refer to them, as frames do to their session.
func (t *tx) forUpdate(of string) string {
	if !t.needsLocks() {
		return ""
	}
	return " FOR NO KEY UPDATE OF " + of
}

// forUpdateSkipLocked is forUpdate for a SELECT that skips rows that another transaction has locked.
func (t *tx) forUpdateSkipLocked(of string) string {
	if !t.needsLocks() {
		return ""
	}
	return t.forUpdate(of) + " SKIP LOCKED"
}

// execute runs a statement, unless one has failed before, after the messages that were added are stored.
func (t *tx) execute(statement func() error) error {
	if len(t.unwritten) > 0 && !t.beside {
		if err := t.writeMessages(); err != nil {
			return err
		}
	}
	if t.failed == nil && !t.deadline.IsZero() && time.Now().After(t.deadline) {
		t.failed = errViewTooLong
	}
	if t.failed == nil {
		t.failed = statement()
	}
	return t.failed
}

// besideMessages runs a statement that does not see the messages that were added: those can wait until the transaction
// says what is stored with them.
func (t *tx) besideMessages(statement func() error) error {
	t.beside = true
	defer func() { t.beside = false }()
	return statement()
}

// queryEach calls f with each row of a SELECT until f returns false.
func queryEach[T any](t *tx, f func(T) bool, query string, args ...any) error {
	return t.execute(func() error {
		return t.conn.query(func(rows *sqlx.Rows) (bool, error) {
			row, err := scan[T](rows)
			return err == nil && f(row), err
		}, query, args...)
	})
}

// queryLater is a SELECT that runs at the latest together with the next statement, and has list filled by then.
func queryLater[T any](t *tx, list *[]T, query string, args ...any) error {
	return t.execute(func() error {
		return t.conn.queryLater(func(rows *sqlx.Rows) (bool, error) {
			row, err := scan[T](rows)
			*list = append(*list, row)
			return true, err
		}, query, args...)
	})
}

// queryAll returns the rows of a SELECT.
func queryAll[T any](t *tx, query string, args ...any) ([]T, error) {
	var list []T
	err := queryEach(t, func(row T) bool {
		list = append(list, row)
		return true
	}, query, args...)
	return list, err
}

// queryOne returns the row of a SELECT, or ErrNotFound.
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

// queryReturning returns the row of a change with a RETURNING clause, or ErrNotFound. It reads all
// rows, because the change is not complete before.
func queryReturning[T any](t *tx, query string, args ...any) (T, error) {
	if t.readOnly {
		var none T
		return none, errReadOnlyTx
	}
	row, err := queryOne[T](t, query, args...)
	t.changed = t.changed || err == nil
	return row, err
}

// queryAllReturning returns the rows of a change with a RETURNING clause.
func queryAllReturning[T any](t *tx, query string, args ...any) ([]T, error) {
	if t.readOnly {
		return nil, errReadOnlyTx
	}
	rows, err := queryAll[T](t, query, args...)
	t.changed = t.changed || len(rows) > 0
	return rows, err
}

// scan reads a row into a struct, by the names of its columns, or into a single value.
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

// isStruct reports whether T is a row of several columns and not a single value.
func isStruct[T any]() bool { return reflect.TypeFor[T]().Kind() == reflect.Struct }

// requireRow returns ErrNotFound for a change that found no row.
func requireRow(rows int64, err error) error {
	if err == nil && rows == 0 {
		return rendezvous.ErrNotFound
	}
	return err
}

// mapSlice converts rows to values.
func mapSlice[R, V any](rows []R, value func(R) V) []V {
	values := make([]V, len(rows))
	for i, r := range rows {
		values[i] = value(r)
	}
	return values
}
