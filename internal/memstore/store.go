package memstore

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"restante/rendezvous"
)

// Commit is what becomes of a commit.
type Commit int

// The ways in which a commit ends.
const (
	Succeeds       Commit = iota
	Fails                 // nothing is kept, and Update returns [rendezvous.ErrUnavailable]
	IsLost                // nothing is kept, and Update returns [rendezvous.ErrOutcomeUnknown]
	SucceedsUntold        // all is kept, and Update returns [rendezvous.ErrOutcomeUnknown]
)

// Store is a [rendezvous.Store] in memory. Its exported fields are set before the first use.
type Store struct {
	// Now is the clock. nil means [time.Now].
	Now func() time.Time
	// Commits decides what becomes of the next commit of a change. nil: all succeed.
	Commits func() Commit
	// Twice decides whether a function runs twice, as it may: the first time in vain. nil: none does.
	Twice func() bool
	// Away reports whether the storage cannot be used at the moment. nil: it always can.
	Away func() bool

	// Committed is told what each commit changed, before anything else learns of it. It must not use the store. nil: not.
	Committed func(now time.Time, changes []Change)

	writer    sync.Mutex // held by the one transaction that writes
	committed atomic.Pointer[state]
	last      uint64 // the last transaction that wrote; guarded by writer
}

// state is all that is stored at a moment.
type state struct{ tables }

var _ rendezvous.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	s := &Store{}
	s.committed.Store(&state{newTables()})
	return s
}

func (s *Store) now() time.Time {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	return time.UnixMilli(now().UnixMilli())
}

func (s *Store) away() error {
	if s.Away != nil && s.Away() {
		return fmt.Errorf("%w: it is away", rendezvous.ErrUnavailable)
	}
	return nil
}

// View runs f on what is committed.
func (s *Store) View(ctx context.Context, f func(rendezvous.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.away(); err != nil {
		return err
	}
	t := &tx{tables: s.committed.Load().tables, now: s.now(), readOnly: true}
	return t.run(f)
}

// Update runs f in a transaction.
func (s *Store) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if ctx.Done() == nil {
		return s.update(f)
	}
	done := make(chan error, 1)
	go func() {
		s.writer.Lock()
		gone := ctx.Err()
		s.writer.Unlock()
		if gone == nil {
			gone = s.update(f)
		}
		done <- gone
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) update(f func(rendezvous.Tx) error) error {
	if err := s.away(); err != nil {
		return err
	}
	t, err := s.write(f)
	t.ended(err)
	return err
}

// write runs f and commits.
func (s *Store) write(f func(rendezvous.Tx) error) (*tx, error) {
	s.writer.Lock()
	defer s.writer.Unlock()
	if s.Twice != nil && s.Twice() {
		_ = s.begin().run(f)
	}
	t := s.begin()
	if err := t.run(f); err != nil {
		return t, err
	}
	var err error
	if t.changed {
		commit := Succeeds
		if s.Commits != nil {
			commit = s.Commits()
		}
		switch commit {
		case Succeeds:
		case Fails:
			return t, fmt.Errorf("%w: the commit failed", rendezvous.ErrUnavailable)
		case IsLost:
			return t, fmt.Errorf("%w: the commit was lost", rendezvous.ErrOutcomeUnknown)
		case SucceedsUntold:
			err = fmt.Errorf("%w: the answer to the commit was lost", rendezvous.ErrOutcomeUnknown)
		}
		if t.now.After(t.updated) {
			t.updated = t.now
		}
		s.committed.Store(&state{t.tables})
		if s.Committed != nil {
			s.Committed(t.now, t.changes)
		}
	}
	return t, err
}

func (s *Store) begin() *tx {
	s.last++
	return &tx{tables: s.committed.Load().tables, now: s.now(), id: s.last, observed: s.Committed != nil}
}

// Probe changes nothing.
func (s *Store) Probe(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.away()
}

// tx is a transaction. Its methods are in the files of the nouns.
type tx struct {
	tables
	id       uint64
	now      time.Time
	readOnly bool
	changed  bool
	failed   error // see fail
	observed bool
	changes  []Change // noted only if they are observed

	afterCommit, afterUnknown []func()
}

var _ rendezvous.Tx = (*tx)(nil)

var errReadOnly = errors.New("a view cannot write")

// Now returns the transaction's time.
func (t *tx) Now() time.Time { return t.now }

// AfterCommit runs f once the transaction has committed.
func (t *tx) AfterCommit(f func()) { t.afterCommit = append(t.afterCommit, f) }

// AfterUnknown runs f if it cannot be known whether the transaction committed.
func (t *tx) AfterUnknown(f func()) { t.afterUnknown = append(t.afterUnknown, f) }

// run calls f and returns nil if the transaction may commit.
func (t *tx) run(f func(rendezvous.Tx) error) error {
	err := recovered(func() error { return f(t) })
	if err == nil {
		err = t.failed
	}
	return err
}

// ended runs the functions that wait for the end of the transaction.
func (t *tx) ended(err error) {
	functions := t.afterCommit
	if err != nil {
		functions = nil
		if errors.Is(err, rendezvous.ErrOutcomeUnknown) {
			functions = t.afterUnknown
		}
	}
	for _, f := range functions {
		_ = recovered(func() error { f(); return nil })
	}
}

// change begins a change. It returns an error in a view, and after a change that failed.
func (t *tx) change() error {
	if t.readOnly {
		return errReadOnly
	}
	return t.failed
}

// fail fails the transaction, as an error of the database does, also if its function ignores it.
func (t *tx) fail(err error) error {
	if t.failed == nil {
		t.failed = err
	}
	return err
}

// recovered runs f and turns a panic into an error.
func recovered(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}
