package repo

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime/debug"

	"restante/rendezvous"
)

// PanicError is a panic of a function that ran in a transaction. The transaction was
// rolled back.
type PanicError struct {
	Value any    // the value passed to panic
	Stack []byte // the stack of the goroutine
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic in a transaction: %v", e.Value) }

// OpenError says why a database cannot be opened, and what to do about it.
type OpenError struct {
	Path    string
	Problem string
	Hint    string
	Err     error // the error of the database or of the operating system, if there is one
}

func (e *OpenError) Error() string {
	return fmt.Sprintf("cannot use the database %s: %s; %s", e.Path, e.Problem, e.Hint)
}

func (e *OpenError) Unwrap() error { return e.Err }

var (
	errClosed      = unavailableError(errors.New("the store is closed"))
	errViewTooLong = unavailableError(errors.New("the snapshot of a View is too old"))
	errReadOnlyTx  = errors.New("a View cannot write")
	errTxDone      = errors.New("the transaction was used after its function returned")
	errTxEnded     = errors.New("the database ended this transaction")
	errGoexit      = errors.New("the transaction's function ended its goroutine")
)

// unavailableError marks an error as the storage's.
func unavailableError(err error) error { return fmt.Errorf("%w: %w", rendezvous.ErrUnavailable, err) }

// unwritableError marks an error as that of a storage that takes no changes.
func unwritableError(err error) error {
	return fmt.Errorf("%w: %w: %w", rendezvous.ErrUnavailable, rendezvous.ErrUnwritable, err)
}

// outcomeUnknownError says that a transaction may or may not have been committed. It does not wrap err,
// which may be marked as unavailable: that would promise that nothing was changed.
func outcomeUnknownError(err error) error {
	return fmt.Errorf("%w: %s", rendezvous.ErrOutcomeUnknown, err.Error())
}

// isConnLost reports whether err is one by which database/sql reports a lost
// connection, on any engine.
func isConnLost(err error) bool {
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone)
}

// annotate adds to an error which operation failed; callers defer it. Errors are logged, so they
// contain no name that a client chose: a nameplate is half of a user's code.
func annotate(err *error, format string, args ...any) {
	if *err != nil {
		*err = fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), *err)
	}
}

// recoverPanic runs f and returns a panic of f as a [*PanicError].
func recoverPanic(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack()}
		}
	}()
	return f()
}
