package repo

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime/debug"

	"restante/rendezvous"
)

// PanicError is a panic of a function that ran in a transaction; nothing of
// what it did is kept.
type PanicError struct {
	Value any    // what it panicked with
	Stack []byte // where
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic in a transaction: %v", e.Value) }

// OpenError tells why a database cannot be opened, and what to do.
type OpenError struct {
	Path    string
	Problem string
	Hint    string
	Err     error // what the database or the operating system said, if it was asked
}

func (e *OpenError) Error() string {
	return fmt.Sprintf("cannot use the database %s: %s; %s", e.Path, e.Problem, e.Hint)
}

func (e *OpenError) Unwrap() error { return e.Err }

var (
	errClosed     = unavailableError(errors.New("the store is closed"))
	errReadOnlyTx = errors.New("a View cannot write")
	errTxDone     = errors.New("a transaction was used after its function had returned")
	errTxEnded    = errors.New("the database has ended this transaction")
	errGoexit     = errors.New("the function of a transaction ended its goroutine")
)

// unavailable marks an error as the storage's.
func unavailableError(err error) error { return fmt.Errorf("%w: %w", rendezvous.ErrUnavailable, err) }

// outcomeUnknown says that a transaction may or may not be kept. It does not wrap what was the matter,
// which is marked as unavailable: that would promise that nothing was changed.
func outcomeUnknownError(err error) error {
	return fmt.Errorf("%w: %s", rendezvous.ErrOutcomeUnknown, err.Error())
}

// lostConnection tells the errors by which database/sql reports that the
// connection is gone, whichever the engine.
func isConnLost(err error) bool {
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone)
}

// doing adds to an error what was being done; it is deferred. Errors are logged, so they tell no
// names that clients chose: a nameplate is half of somebody's code.
func annotate(err *error, format string, args ...any) {
	if *err != nil {
		*err = fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), *err)
	}
}

// guarded runs f and turns a panic into an error.
func recoverPanic(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack()}
		}
	}()
	return f()
}
