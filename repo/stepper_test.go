package repo_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/jmoiron/sqlx"

	"restante/rendezvous"
	"restante/repo"
)

// stepper runs operations of several services at once, one statement at a time: each statement waits until the stepper lets
// it run, and the next one is let run when the last one has ended or waits for a lock.
type stepper struct {
	// settle waits until every operation has ended, is stopped at a statement, or waits for one that is.
	settle func() error

	mu      sync.Mutex // guards the following fields
	on      bool
	stops   []*stop // in the order of their arrival
	running int     // operations that have not ended
	inStore int     // of these, those that use the store
	changes int     // of the fields above
	trace   []string
}

// stop is a statement that waits to run.
type stop struct {
	where, statement string
	run              chan struct{}
}

// watch stops every statement of db while operations run.
func (s *stepper) watch(db *repo.DB, where string) {
	repo.SetHook(db, func(statement string) error {
		s.mu.Lock()
		if !s.on {
			s.mu.Unlock()
			return nil
		}
		at := &stop{where, oneLine(statement), make(chan struct{})}
		s.stops = append(s.stops, at)
		s.changes++
		s.mu.Unlock()
		<-at.run
		return nil
	})
}

// steppedStore tells a stepper when an operation uses the store.
type steppedStore struct {
	rendezvous.Store
	s *stepper
}

func (t steppedStore) View(ctx context.Context, f func(rendezvous.Tx) error) error {
	t.s.count(0, 1)
	defer t.s.count(0, -1)
	return t.Store.View(ctx, f)
}

func (t steppedStore) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	t.s.count(0, 1)
	defer t.s.count(0, -1)
	return t.Store.Update(ctx, f)
}

func (s *stepper) count(running, inStore int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running += running
	s.inStore += inStore
	s.changes++
}

// state returns how many operations run, use the store and are stopped, and how often that changed.
func (s *stepper) state() (running, inStore, stopped, changes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running, s.inStore, len(s.stops), s.changes
}

// run runs operations. choose chooses which of n stopped statements runs next. It returns what ran, one statement a line.
func (s *stepper) run(choose func(n int) int, operations ...func()) (trace string, err error) {
	s.mu.Lock()
	s.on, s.trace = true, nil
	s.mu.Unlock()
	for _, operation := range operations {
		s.count(1, 0)
		go func() {
			defer s.count(-1, 0)
			operation()
		}()
		err = errors.Join(err, s.settle()) // before the next one begins, so that their order is known
	}
	for err == nil && s.step(choose) {
		err = s.settle()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = false
	if err == nil && s.running > 0 {
		err = errors.New("the operations wait for each other")
	}
	for _, left := range s.stops {
		close(left.run)
	}
	s.stops = nil
	return strings.Join(s.trace, "\n"), err
}

// step lets one of the stopped statements run, if there is one.
func (s *stepper) step(choose func(n int) int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.stops) == 0 {
		return false
	}
	i := 0
	if len(s.stops) > 1 {
		i = choose(len(s.stops))
	}
	next := s.stops[i]
	s.stops = append(s.stops[:i:i], s.stops[i+1:]...)
	s.changes++
	s.trace = append(s.trace, fmt.Sprintf("\t%s: %.100s", next.where, next.statement))
	close(next.run)
	return true
}

// settleInBubble is settle where nothing waits for anything but channels: on SQLite, in virtual time.
func settleInBubble() error {
	synctest.Wait()
	return nil
}

// settleOnPostgres is settle on PostgreSQL, which says how many transactions wait for locks.
func (s *stepper) settleOnPostgres(observer *sqlx.DB) func() error {
	return func() error {
		for end := time.Now().Add(time.Minute); ; {
			running, inStore, stopped, changes := s.state()
			if running == stopped { // what is stopped uses the store
				return nil
			}
			var waiting int
			if running == inStore {
				if err := observer.Get(&waiting, `
					SELECT COUNT(DISTINCT l.pid) FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
					WHERE NOT l.granted AND a.datname = current_database()`); err != nil {
					return err
				}
				if _, _, _, now := s.state(); now == changes && running == stopped+waiting {
					return nil
				}
			}
			if time.Now().After(end) {
				return fmt.Errorf("of %d operations, %d use the store, %d are stopped and %d wait for locks", running, inStore, stopped, waiting)
			}
			<-time.After(50 * time.Microsecond)
		}
	}
}
