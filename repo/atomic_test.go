package repo_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jmoiron/sqlx"

	"restante/rendezvous"
	"restante/repo"
)

// TestEveryUseCaseIsOneTransaction fails each statement of each use case in turn. The stored data
// must be the same as before, byte for byte, and the use case must succeed afterwards.
func TestEveryUseCaseIsOneTransaction(t *testing.T) {
	t.Parallel()
	for _, c := range useCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := newFaultRun(t, c, func(db *repo.DB) rendezvous.Store { return db })
			x.run()
			for _, problem := range x.problems {
				t.Error(problem)
			}
			t.Log(x.summary())
		})
	}
}

// TestSplitTransactionIsDetected runs a close in two transactions, which the test above must detect.
func TestSplitTransactionIsDetected(t *testing.T) {
	t.Parallel()
	i := slices.IndexFunc(useCases, func(c useCase) bool { return c.name == "close, of the last side" })
	x := newFaultRun(t, useCases[i], func(db *repo.DB) rendezvous.Store { return splitStore{db} })
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
	tb       testing.TB
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
	wrap                      func(*repo.DB) rendezvous.Store
	tables                    []string
	reading, restoring        []*sqlx.Stmt
	storedBefore, storedAfter string // all rows
	statements                []string

	withOther map[[2]bool]string // all rows, by whether the use case and the other update committed

	problems                                      []string
	panics, injectedWithOther, succeededWithOther int
}

func newFaultRun(t *testing.T, c useCase, wrap func(*repo.DB) rendezvous.Store) *faultRun {
	t.Helper()
	x := &faultRun{t: t, useCase: c, wrap: wrap, fixture: &fixture{tb: t, now: time.UnixMilli(1_700_000_000_000)}}
	path := newFile(t)
	x.open(path)
	x.serve(rendezvous.DefaultConfig())
	must(c.setup(x.fixture))
	must(x.fixture.db.Close())
	file, err := os.ReadFile(path)
	must(err)
	template := path + "-given"
	must(os.WriteFile(template, file, 0o600))

	x.open(path)
	x.prepareRestore(template)
	return x
}

// prepareRestore prepares the statements that read all rows and that restore the data of the setup.
func (x *faultRun) prepareRestore(template string) {
	raw := sqlx.NewDb(repo.OpenRaw(x.t, repo.Path(x.t, x.fixture.db)), "sqlite")
	prepare := func(statement string) *sqlx.Stmt {
		s, err := raw.Preparex(statement)
		must(err)
		return s
	}
	raw.MustExec("PRAGMA synchronous = OFF; ATTACH '" + template + "' AS given")
	must(raw.Select(&x.tables, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name = 'sqlite_sequence'")) // last, because the other tables change it
	x.restoring = append(x.restoring, prepare("BEGIN IMMEDIATE"))
	for _, name := range x.tables {
		x.restoring = append(x.restoring, prepare("DELETE FROM main."+name), prepare("INSERT INTO main."+name+" SELECT * FROM given."+name))
		x.reading = append(x.reading, prepare("SELECT * FROM main."+name))
	}
	x.restoring = append(x.restoring, prepare("COMMIT"))
}

// restore restores the data of the setup.
func (x *faultRun) restore() {
	for _, s := range x.restoring {
		s.MustExec()
	}
}

// stored returns every row of every table. Random ids count as equal.
func (x *faultRun) stored() string {
	var lines []string
	for i, s := range x.reading {
		rows, err := s.Queryx()
		must(err)
		for rows.Next() {
			values, err := rows.SliceScan()
			must(err)
			for i, v := range values {
				if b, ok := v.([]byte); ok {
					values[i] = string(b)
				}
			}
			lines = append(lines, fmt.Sprintf("%s %#v", x.tables[i], values))
		}
		must(rows.Err())
	}
	slices.Sort(lines)
	return randomID.ReplaceAllString(strings.Join(lines, "\n"), "minted")
}

func difference(want, got string) string {
	return cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n"))
}

var randomID = regexp.MustCompile(`[a-z2-7]{26}`) // mailboxes' ids

// open opens the store.
func (x *faultRun) open(path string) {
	x.fixture.db = open(x.t, repo.Options{URL: path, Now: func() time.Time { return x.fixture.now }})
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
	x.storedBefore = x.stored()
	statements := recordStatements(x.fixture.db)
	err := x.runUseCase()
	repo.SetHook(x.fixture.db, nil)
	x.statements = statements()
	x.storedAfter = x.stored()
	if err != nil || x.storedAfter == x.storedBefore {
		x.problem("without a fault it returned %v; it changed something: %v", err, x.storedAfter != x.storedBefore)
		return
	}
	x.restore()
	for i, s := range x.statements {
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
		if err, got := x.runUseCase(), x.stored(); err != nil || got != x.storedAfter {
			x.problem("after a fault at statement %d of %d, %s, it returned %v\n%s", i+1, len(x.statements), s, err, difference(x.storedAfter, got))
		}
		x.restore()
	}
	if x.useCase.withOther {
		for more := true; more; {
			more = x.injectWithOther(x.injectedWithOther)
		}
	}
	x.restore()
}

const failsToTheEnd = "fails with all after it"

// writerStatement matches the statements that the writer runs outside of an update's function.
var writerStatement = regexp.MustCompile(`^(BEGIN|SAVEPOINT|RELEASE|ROLLBACK|COMMIT|UPDATE modified)`)

// inject injects a fault at statement i and checks that nothing changed.
func (x *faultRun) inject(i int, happens string, how func(n int) error) {
	n := -1
	repo.SetHook(x.fixture.db, func(string) error {
		n++
		return how(n)
	})
	err := x.runUseCase()
	repo.SetHook(x.fixture.db, nil)
	got := x.stored()
	if happens == failsToTheEnd {
		must(x.fixture.db.Probe(context.Background())) // on another connection: the last one may still have an open transaction
	}
	switch within := x.inTransaction(i); {
	case !within && got == x.storedAfter:
		x.restore()
	case within && err == nil, got != x.storedBefore:
		x.problem("statement %d of %d, %s, %s: it returned %v\n%s", i+1, len(x.statements), x.statements[i], happens, err, difference(x.storedBefore, got))
		x.restore()
	}
}

// inTransaction reports whether statement i is in the transaction that changes something.
func (x *faultRun) inTransaction(i int) bool {
	if !x.useCase.prunes {
		return true
	}
	stamp := slices.IndexFunc(x.statements, func(s string) bool { return strings.HasPrefix(s, "UPDATE modified") })
	begin := stamp
	for x.statements[begin] != "BEGIN IMMEDIATE" {
		begin--
	}
	return begin <= i && i <= stamp+1
}

// injectWithOther runs the use case in one batch with another update, with a fault at statement i,
// and reports whether there was such a statement. An update that can succeed alone must succeed.
func (x *faultRun) injectWithOther(i int) (disturbed bool) {
	db := x.fixture.db
	other := func(tx rendezvous.Tx) error { return createMailbox(tx, "other") }
	if x.withOther == nil {
		x.restore()
		must(db.Update(context.Background(), other))
		alone := x.stored()
		x.restore()
		must(errors.Join(x.runUseCase(), db.Update(context.Background(), other)))
		x.withOther = map[[2]bool]string{{false, false}: x.storedBefore, {true, false}: x.storedAfter, {false, true}: alone, {true, true}: x.stored()}
	}
	x.restore()
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
	if diff := difference(x.withOther[[2]bool{err == nil, otherErr == nil}], x.stored()); diff != "" {
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
	s := fmt.Sprintf("%d statements failed; %d of them panicked, and %d failed with all after them", len(x.statements), x.panics, len(x.statements)-x.panics)
	if x.useCase.withOther {
		s += fmt.Sprintf("; %d failed with another update, and it still succeeded in %d cases", x.injectedWithOther, x.succeededWithOther)
	}
	return s
}
