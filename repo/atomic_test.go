package repo_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restante/rendezvous"
	"restante/repo"
)

// TestEveryUseCaseIsOneTransaction fails each statement of each use case in turn, and has its caller leave at each. The
// stored data must be the same as before, row for row, or as after it, and the use case must succeed afterwards.
func TestEveryUseCaseIsOneTransaction(t *testing.T) {
	t.Parallel()
	for engine, newDatabase := range map[string]func(*testing.T) faultDatabase{"SQLite": newSQLiteFaults, "PostgreSQL": newPostgresFaults} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			for _, c := range useCases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					x := newFaultRun(t, c, newDatabase(t), func(db *repo.DB) rendezvous.Store { return db })
					x.run()
					for _, problem := range x.problems {
						t.Error(problem)
					}
					t.Log(x.summary())
				})
			}
		})
	}
}

// TestSplitTransactionIsDetected runs a close in two transactions, which the test above must detect.
func TestSplitTransactionIsDetected(t *testing.T) {
	t.Parallel()
	i := slices.IndexFunc(useCases, func(c useCase) bool { return c.name == "close, of the last side" })
	x := newFaultRun(t, useCases[i], newSQLiteFaults(t), func(db *repo.DB) rendezvous.Store { return splitStore{db} })
	x.run()
	if len(x.problems) == 0 {
		t.Error("the split transaction was not detected")
	}
	t.Logf("%s: %d problems, such as %s", x.summary(), len(x.problems), strings.Join(x.problems[:min(1, len(x.problems))], ""))
}

// splitStore is a store that retires mailboxes in a transaction of their own.
type splitStore struct{ rendezvous.Store }

type splitTx struct {
	rendezvous.Tx
	deferred *[]func(rendezvous.Tx) error
}

func (s splitStore) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	var second []func(rendezvous.Tx) error
	if err := s.Store.Update(ctx, func(tx rendezvous.Tx) error {
		second = nil
		return f(splitTx{tx, &second})
	}); err != nil || len(second) == 0 {
		return err
	}
	return s.Store.Update(ctx, func(tx rendezvous.Tx) error {
		var errs []error
		for _, f := range second {
			errs = append(errs, f(tx))
		}
		return errors.Join(errs...)
	})
}

func (t splitTx) RetireMailbox(m rendezvous.Mailbox, u rendezvous.Usage) error {
	*t.deferred = append(*t.deferred, func(tx rendezvous.Tx) error { return tx.RetireMailbox(m, u) })
	return nil
}

// useCase is a use case that must be one transaction.
type useCase struct {
	name      string
	config    func(*rendezvous.Config)
	setup     step            // runs before
	action    step            // runs in one transaction
	refusal   rendezvous.Code // the refusal that it returns and records
	withOther bool            // it also runs in one batch with another update
	prunes    bool            // other transactions, which change nothing, run before and after it
}

// fixture is a store with a service on it, and a clock that only steps move.
type fixture struct {
	*rendezvous.Service
	ctx      context.Context        // of the clients' requests
	exec     func(statement string) // runs a statement without the store, and without foreign keys
	db       *repo.DB
	now      time.Time
	mailbox  rendezvous.MailboxID // the first claimed one
	numbered bool                 // commands have numbers
}

// faultRun runs a use case again and again, each time on the same data and with another fault.
type faultRun struct {
	t                         *testing.T
	useCase                   useCase
	fixture                   *fixture
	database                  faultDatabase
	wrap                      func(*repo.DB) rendezvous.Store
	storedBefore, storedAfter string // all rows
	statements                []string

	withOther map[[2]bool]string // all rows, by whether the use case and the other update committed

	problems                              []string
	injected, panics                      int
	injectedWithOther, succeededWithOther int
}

func newFaultRun(t *testing.T, c useCase, d faultDatabase, wrap func(*repo.DB) rendezvous.Store) *faultRun {
	t.Helper()
	f := &fixture{ctx: context.Background(), exec: d.exec, now: time.UnixMilli(1_700_000_000_000)}
	f.db = d.open(func() time.Time { return f.now })
	x := &faultRun{t: t, useCase: c, database: d, wrap: wrap, fixture: f}
	x.serve(rendezvous.DefaultConfig())
	must(c.setup(f))
	d.keep()
	return x
}

func difference(want, got string) string {
	return cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n"))
}

// serve starts a service with empty caches.
func (x *faultRun) serve(c rendezvous.Config) {
	s := x.fixture
	c.BootGrace = 0 // stale things may be pruned at once
	s.Service = &rendezvous.Service{Config: c, Store: x.wrap(s.db), Now: func() time.Time { return s.now }, Log: slog.New(slog.DiscardHandler)}
}

// runUseCase runs the use case, with the fault, in a service of its own.
func (x *faultRun) runUseCase() error {
	c := rendezvous.DefaultConfig()
	if x.useCase.config != nil {
		x.useCase.config(&c)
	}
	x.serve(c)
	err := numbered(x.useCase.action)(x.fixture)
	if f, ok := errors.AsType[*rendezvous.Failure](err); ok && f.Code == x.useCase.refusal {
		return nil
	}
	return err
}

func (x *faultRun) problem(format string, args ...any) {
	x.problems = append(x.problems, fmt.Sprintf(format, args...))
}

// run makes every statement fail, in every way.
func (x *faultRun) run() {
	x.storedBefore = x.database.stored()
	repo.Forget(x.fixture.db) // so that each run has the same statements
	statements := recordStatements(x.fixture.db)
	err := x.runUseCase()
	repo.SetHook(x.fixture.db, nil)
	x.statements = statements()
	x.storedAfter = x.database.stored()
	if err != nil || x.storedAfter == x.storedBefore {
		x.problem("without a fault it returned %v; it changed something: %v", err, x.storedAfter != x.storedBefore)
		return
	}
	x.database.restore()
	for i, s := range x.statements {
		if (i+len(x.useCase.name))%x.database.every() > 0 {
			continue
		}
		x.injected++
		x.inject(i, "fails", func(n int) error {
			if n == i {
				return errTest
			}
			return nil
		})
		if writerStatement.MatchString(s) {
			x.inject(i, failsToTheEnd, func(n int) error {
				if n >= i {
					return errTest
				}
				return nil
			})
		} else {
			x.panics++
			x.inject(i, "panics", func(n int) error {
				if n == i {
					panic(errTest)
				}
				return nil
			})
		}
		x.database.restore() // sequences, too, which no rollback sets back
		if err, got := x.runUseCase(), x.database.stored(); err != nil || got != x.storedAfter {
			x.problem("after a fault at statement %d of %d, %s, it returned %v\n%s", i+1, len(x.statements), s, err, difference(x.storedAfter, got))
		}
		x.database.restore()
		if !x.useCase.prunes {
			x.leave(i)
		}
	}
	if x.useCase.withOther && x.database.batches() {
		for more := true; more; {
			more = x.injectWithOther(x.injectedWithOther)
		}
	}
	x.database.restore()
}

const failsToTheEnd = "fails with all after it"

// writerStatement matches the statements that the writer runs outside of an update's function.
var writerStatement = regexp.MustCompile(`^(BEGIN|SAVEPOINT|RELEASE|ROLLBACK|COMMIT|UPDATE modified)`)

// inject injects a fault at statement i and checks that nothing changed.
func (x *faultRun) inject(i int, happens string, how func(n int) error) {
	n := -1
	repo.Forget(x.fixture.db)
	repo.SetHook(x.fixture.db, func(string) error {
		n++
		return how(n)
	})
	err := x.runUseCase()
	repo.SetHook(x.fixture.db, nil)
	got := x.database.stored()
	if happens == failsToTheEnd {
		must(x.fixture.db.Probe(context.Background())) // on another connection: the last one may still have an open transaction
	}
	switch within := x.inTransaction(i); {
	case !within && got == x.storedAfter:
		x.database.restore()
	case within && err == nil, got != x.storedBefore:
		x.problem("statement %d of %d, %s, %s: it returned %v\n%s", i+1, len(x.statements), x.statements[i], happens, err, difference(x.storedBefore, got))
		x.database.restore()
	}
}

// inTransaction reports whether statement i is in the transaction that changes something.
func (x *faultRun) inTransaction(i int) bool {
	if !x.useCase.prunes {
		return true
	}
	stamp := slices.IndexFunc(x.statements, func(s string) bool { return strings.HasPrefix(s, "UPDATE modified") })
	return x.beginOf(stamp) <= i && i <= stamp+1
}

// beginOf returns which statement begins the transaction of statement i.
func (x *faultRun) beginOf(i int) int {
	for !strings.HasPrefix(x.statements[i], "BEGIN") {
		i--
	}
	return i
}

// leave has the caller leave at statement i. The transaction goes on without it, if it has begun.
func (x *faultRun) leave(i int) {
	f := x.fixture
	var left context.CancelFunc
	f.ctx, left = context.WithCancel(context.Background())
	n := -1
	repo.SetHook(f.db, func(string) error {
		if n++; n == i {
			left()
		}
		return nil
	})
	err := x.runUseCase()
	f.ctx = context.Background()
	left()
	must(f.db.Update(f.ctx, func(rendezvous.Tx) error { return nil })) // it comes after what goes on
	repo.SetHook(f.db, nil)
	begin, got := x.beginOf(len(x.statements)-1), x.database.stored()
	switch {
	case err != nil && !errors.Is(err, context.Canceled):
		x.problem("the caller left at statement %d of %d, %s: it returned %v", i+1, len(x.statements), x.statements[i], err)
	case got == x.storedAfter || got == x.storedBefore && i <= begin:
	default:
		x.problem("the caller left at statement %d of %d, %s\n%s", i+1, len(x.statements), x.statements[i], difference(x.storedAfter, got))
	}
	x.database.restore()
}

// injectWithOther runs the use case in one batch with another update, with a fault at statement i,
// and reports whether there was such a statement. An update that can succeed alone must succeed.
func (x *faultRun) injectWithOther(i int) (disturbed bool) {
	db := x.fixture.db
	other := func(tx rendezvous.Tx) error { return createMailbox(tx, "other") }
	if x.withOther == nil {
		x.database.restore()
		must(db.Update(context.Background(), other))
		alone := x.database.stored()
		x.database.restore()
		must(errors.Join(x.runUseCase(), db.Update(context.Background(), other)))
		x.withOther = map[[2]bool]string{{false, false}: x.storedBefore, {true, false}: x.storedAfter, {false, true}: alone, {true, true}: x.database.stored()}
	}
	x.database.restore()
	release := blockWriter(db)
	mine := make(chan error, 1)
	go func() { mine <- x.runUseCase() }()
	for repo.QueueLength(db) == 0 && len(mine) == 0 {
		runtime.Gosched()
	}
	others := enqueue(context.Background(), db, other)
	n := -1
	repo.SetHook(db, func(string) error {
		if n++; n == i {
			return errTest
		}
		return nil
	})
	release()
	err, otherErr := <-mine, <-others
	repo.SetHook(db, nil)
	if diff := difference(x.withOther[[2]bool{err == nil, otherErr == nil}], x.database.stored()); diff != "" {
		x.problem("with another update, statement %d: it returned %v, the other %v\n%s", i+1, err, otherErr, diff)
	}
	if n < i {
		return false
	}
	x.injectedWithOther++
	if err == nil {
		x.succeededWithOther++
	}
	return true
}

func (x *faultRun) summary() string {
	s := fmt.Sprintf("%d of %d statements failed; %d of them panicked, and %d failed with all after them", x.injected, len(x.statements), x.panics, x.injected-x.panics)
	if x.injectedWithOther > 0 {
		s += fmt.Sprintf("; %d failed with another update, and it still succeeded in %d cases", x.injectedWithOther, x.succeededWithOther)
	}
	return s
}
