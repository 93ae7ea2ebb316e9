package repo_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"restante/rendezvous"
	"restante/repo"
)

// TestADelayAtAnyStatementChangesNothing delays each statement of each use case in turn, BEGIN and COMMIT included, and has
// its caller leave during each delay. The delays are minutes of virtual time on SQLite, and a few milliseconds on PostgreSQL.
func TestADelayAtAnyStatementChangesNothing(t *testing.T) {
	t.Parallel()
	_ = templateFile() // outside of virtual time
	whole := func(db *repo.DB) rendezvous.Store { return db }
	for _, c := range useCases {
		t.Run("SQLite/"+c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				newFaultRun(t, c, newSQLiteFaults(t), whole).delayAll(t, 2*time.Minute, true)
			})
		})
		t.Run("PostgreSQL/"+c.name, func(t *testing.T) {
			t.Parallel()
			newFaultRun(t, c, newPostgresFaults(t), whole).delayAll(t, 2*time.Millisecond, false)
		})
	}
}

// delayAll delays every statement by d. exact says that time passes only while all wait.
func (x *faultRun) delayAll(t *testing.T, d time.Duration, exact bool) {
	t.Helper()
	x.storedBefore = x.database.stored()
	statements := recordStatements(x.fixture.db)
	must(x.runUseCase())
	repo.SetHook(x.fixture.db, nil)
	x.statements, x.storedAfter = statements(), x.database.stored()
	x.database.restore()
	delayed := 0
	for i := range x.statements {
		if (i+len(x.useCase.name))%x.database.every() > 0 {
			continue
		}
		delayed++
		x.delay(i, d)
		if !x.useCase.prunes {
			x.leaveDuringDelay(i, d, exact)
		}
	}
	for _, problem := range x.problems {
		t.Error(problem)
	}
	t.Logf("%d of %d statements were delayed", delayed, len(x.statements))
}

// atStatement calls f before statement i, until the hook is replaced.
func (x *faultRun) atStatement(i int, f func()) {
	n := -1
	repo.SetHook(x.fixture.db, func(string) error {
		if n++; n == i {
			f()
		}
		return nil
	})
}

// delay delays statement i. The use case succeeds nevertheless.
func (x *faultRun) delay(i int, d time.Duration) {
	x.atStatement(i, func() { <-time.After(d) })
	err := x.runUseCase()
	repo.SetHook(x.fixture.db, nil)
	if got := x.database.stored(); err != nil || got != x.storedAfter {
		x.problem("statement %d of %d, %s, was delayed: it returned %v\n%s", i+1, len(x.statements), x.statements[i], err, difference(x.storedAfter, got))
	}
	x.database.restore()
}

// leaveDuringDelay has the caller leave while statement i is delayed. Its transaction goes on without it, if it has begun.
func (x *faultRun) leaveDuringDelay(i int, d time.Duration, exact bool) {
	f := x.fixture
	var left context.CancelFunc
	f.ctx, left = context.WithCancel(context.Background())
	x.atStatement(i, func() {
		<-time.After(d / 2)
		left()
		<-time.After(d / 2)
	})
	began := time.Now()
	err := x.runUseCase()
	took := time.Since(began)
	f.ctx = context.Background()
	left()
	must(f.db.Update(f.ctx, func(rendezvous.Tx) error { return nil })) // it comes after what goes on
	repo.SetHook(f.db, nil)
	begin, got := x.beginOf(len(x.statements)-1), x.database.stored()
	what := x.statements[i]
	switch {
	case err != nil && !errors.Is(err, context.Canceled):
		x.problem("the caller left while statement %d of %d, %s, was delayed: it returned %v", i+1, len(x.statements), what, err)
	case exact && (took != d/2 || err == nil):
		x.problem("the caller left while statement %d of %d, %s, was delayed: it returned %v after %v", i+1, len(x.statements), what, err, took)
	case got == x.storedAfter || got == x.storedBefore && i <= begin:
	default:
		x.problem("the caller left while statement %d of %d, %s, was delayed\n%s", i+1, len(x.statements), what, difference(x.storedAfter, got))
	}
	x.database.restore()
}
