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

// TestEveryUseCaseIsOneTransaction fails each statement of each use case in turn, and sees that
// what is stored then is what was stored before, byte for byte; and that the use case can be done afterwards.
func TestEveryUseCaseIsOneTransaction(t *testing.T) {
	t.Parallel()
	for _, c := range useCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := newTrial(t, c, func(db *repo.DB) rendezvous.Store { return db })
			x.all()
			for _, problem := range x.problems {
				t.Error(problem)
			}
			t.Log(x.summary())
		})
	}
}

// TestTwoTransactionsAreNoticed has a close that is done in two, as the one was with which it all began.
func TestTwoTransactionsAreNoticed(t *testing.T) {
	t.Parallel()
	i := slices.IndexFunc(useCases, func(c useCase) bool { return c.name == "close, of the last side" })
	x := newTrial(t, useCases[i], func(db *repo.DB) rendezvous.Store { return inTwo{db} })
	x.all()
	if len(x.problems) == 0 {
		t.Error("they were not")
	}
	t.Logf("%s: %d problems, such as %s", x.summary(), len(x.problems), strings.Join(x.problems[:min(1, len(x.problems))], ""))
}

// inTwo is a store that retires things in a transaction of its own.
type inTwo struct{ rendezvous.Store }

type firstHalf struct {
	rendezvous.Tx
	second *[]func(rendezvous.Tx) error
}

func (s inTwo) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	var second []func(rendezvous.Tx) error
	if err := s.Store.Update(ctx, func(tx rendezvous.Tx) error {
		second = nil
		return f(firstHalf{tx, &second})
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

func (t firstHalf) RetireMailbox(m rendezvous.Mailbox, u rendezvous.Usage) error {
	*t.second = append(*t.second, func(tx rendezvous.Tx) error { return tx.RetireMailbox(m, u) })
	return nil
}

// useCase is something that is done in one transaction.
type useCase struct {
	name    string
	config  func(*rendezvous.Config)
	given   act             // what was done before
	when    act             // what is done
	refusal rendezvous.Code // what it is answered, and remembers
	company bool            // it is tried together with another, too
	prunes  bool            // other transactions, which change nothing, surround it
}

// stage is a store with a service on it, and a clock that stands still.
type stage struct {
	*rendezvous.Service
	t        testing.TB
	db       *repo.DB
	now      time.Time
	mailbox  rendezvous.MailboxID // the one that is spoken of
	numbered bool                 // commands have numbers
}

// trial is a use case that is tried over and over, from the same beginning.
type trial struct {
	t                  *testing.T
	useCase            useCase
	stage              *stage
	wrap               func(*repo.DB) rendezvous.Store
	tables             []string
	reading, restoring []*sqlx.Stmt
	before, after      string // all that is stored
	statements         []string

	together map[[2]bool]string // likewise, depending on whether it was done and whether another was

	problems                   []string
	panicked, inCompany, saved int
}

func newTrial(t *testing.T, c useCase, wrap func(*repo.DB) rendezvous.Store) *trial {
	t.Helper()
	x := &trial{t: t, useCase: c, wrap: wrap, stage: &stage{t: t, now: time.UnixMilli(1_700_000_000_000)}}
	path := newFile(t)
	x.open(path)
	x.serve(rendezvous.DefaultConfig())
	must(c.given(x.stage))
	must(x.stage.db.Close())
	file, err := os.ReadFile(path)
	must(err)
	template := path + "-given"
	must(os.WriteFile(template, file, 0o600))

	x.open(path)
	x.back(template)
	return x
}

// back makes ready to read all that is stored, and to bring back what was given.
func (x *trial) back(template string) {
	raw := sqlx.NewDb(repo.OpenRaw(x.t, repo.Path(x.t, x.stage.db)), "sqlite")
	prepare := func(statement string) *sqlx.Stmt {
		s, err := raw.Preparex(statement)
		must(err)
		return s
	}
	raw.MustExec("PRAGMA synchronous = OFF; ATTACH '" + template + "' AS given")
	must(raw.Select(&x.tables, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name = 'sqlite_sequence'")) // last: the others change it
	x.restoring = append(x.restoring, prepare("BEGIN IMMEDIATE"))
	for _, name := range x.tables {
		x.restoring = append(x.restoring, prepare("DELETE FROM main."+name), prepare("INSERT INTO main."+name+" SELECT * FROM given."+name))
		x.reading = append(x.reading, prepare("SELECT * FROM main."+name))
	}
	x.restoring = append(x.restoring, prepare("COMMIT"))
}

// restore brings back what was given.
func (x *trial) restore() {
	for _, s := range x.restoring {
		s.MustExec()
	}
}

// stored is every row of every table; what is drawn by lot counts as the same.
func (x *trial) stored() string {
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
	return minted.ReplaceAllString(strings.Join(lines, "\n"), "minted")
}

func difference(want, got string) string {
	return cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n"))
}

var minted = regexp.MustCompile(`[a-z2-7]{26}`) // mailboxes' ids

// open opens the store anew.
func (x *trial) open(path string) {
	x.stage.db = open(x.t, repo.Options{URL: path, Now: func() time.Time { return x.stage.now }})
}

// serve begins a service that remembers nothing.
func (x *trial) serve(c rendezvous.Config) {
	s := x.stage
	c.BootGrace = 0 // what is stale may go
	s.Service = &rendezvous.Service{Config: c, Store: x.wrap(s.db), Now: func() time.Time { return s.now }, Log: slog.New(slog.DiscardHandler)}
}

// do does what is tried.
func (x *trial) do() error {
	c := rendezvous.DefaultConfig()
	if x.useCase.config != nil {
		x.useCase.config(&c)
	}
	x.serve(c)
	err := numbered(x.useCase.when)(x.stage)
	if f, ok := errors.AsType[*rendezvous.Failure](err); ok && f.Code == x.useCase.refusal {
		return nil
	}
	return err
}

func (x *trial) problem(format string, args ...any) {
	x.problems = append(x.problems, fmt.Sprintf(format, args...))
}

// all fails every statement, in every way.
func (x *trial) all() {
	x.before = x.stored()
	statements := record(x.stage.db)
	err := x.do()
	repo.SetHook(x.stage.db, nil)
	x.statements = statements()
	x.after = x.stored()
	if err != nil || x.after == x.before {
		x.problem("undisturbed, it was told %v; it changed something: %v", err, x.after != x.before)
		return
	}
	x.restore()
	for i, s := range x.statements {
		x.try(i, "fails", func(n int) error {
			if n == i {
				return errMine
			}
			return nil
		})
		if ofTheWriter.MatchString(s) {
			x.try(i, cutOff, func(n int) error {
				if n >= i {
					return errMine
				}
				return nil
			})
		} else {
			x.panicked++
			x.try(i, "panics", func(n int) error {
				if n == i {
					panic(errMine)
				}
				return nil
			})
		}
		if err, got := x.do(), x.stored(); err != nil || got != x.after {
			x.problem("after statement %d of %d, %s, had been disturbed, and no longer: it was told %v\n%s", i+1, len(x.statements), s, err, difference(x.after, got))
		}
		x.restore()
	}
	if x.useCase.company {
		for more := true; more; {
			more = x.tryInCompany(x.inCompany)
		}
	}
	x.restore()
}

const cutOff = "fails with all after it"

// ofTheWriter are the statements that are run outside of any function of ours.
var ofTheWriter = regexp.MustCompile(`^(BEGIN|SAVEPOINT|RELEASE|ROLLBACK|COMMIT|UPDATE modified)`)

// try disturbs the use case at statement i, and sees that nothing came of it.
func (x *trial) try(i int, happens string, how func(n int) error) {
	n := -1
	repo.SetHook(x.stage.db, func(string) error {
		n++
		return how(n)
	})
	err := x.do()
	repo.SetHook(x.stage.db, nil)
	got := x.stored()
	if happens == cutOff {
		must(x.stage.db.Probe(context.Background())) // on another connection: the last one may have been left with a transaction open
	}
	switch within := x.within(i); {
	case !within && got == x.after:
		x.restore()
	case within && err == nil, got != x.before:
		x.problem("statement %d of %d, %s, %s: it was told %v\n%s", i+1, len(x.statements), x.statements[i], happens, err, difference(x.before, got))
		x.restore()
	}
}

// within tells whether statement i is in the transaction that changes something.
func (x *trial) within(i int) bool {
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

// tryInCompany does the use case in one batch with another, disturbs statement i of theirs, and
// tells whether there was one. What can be done by being done again, alone, is.
func (x *trial) tryInCompany(i int) (disturbed bool) {
	db := x.stage.db
	other := func(tx rendezvous.Tx) error { return create(tx, "other") }
	if x.together == nil {
		x.restore()
		must(db.Update(context.Background(), other))
		alone := x.stored()
		x.restore()
		must(errors.Join(x.do(), db.Update(context.Background(), other)))
		x.together = map[[2]bool]string{{false, false}: x.before, {true, false}: x.after, {false, true}: alone, {true, true}: x.stored()}
	}
	x.restore()
	release := busy(db)
	mine := make(chan error, 1)
	go func() { mine <- x.do() }()
	for repo.QueueLength(db) == 0 && len(mine) == 0 {
		runtime.Gosched()
	}
	others := enqueue(context.Background(), db, other)
	n := -1
	repo.SetHook(db, func(string) error {
		if n++; n == i {
			return errMine
		}
		return nil
	})
	release()
	err, otherErr := <-mine, <-others
	repo.SetHook(db, nil)
	if diff := difference(x.together[[2]bool{err == nil, otherErr == nil}], x.stored()); diff != "" {
		x.problem("in company, statement %d: it was told %v, the other %v\n%s", i+1, err, otherErr, diff)
	}
	if n < i {
		return false
	}
	x.inCompany++
	if err == nil {
		x.saved++
	}
	return true
}

func (x *trial) summary() string {
	s := fmt.Sprintf("%d statements failed; %d of them panicked, and %d failed with all after them", len(x.statements), x.panicked, len(x.statements)-x.panicked)
	if x.useCase.company {
		s += fmt.Sprintf("; %d failed in company, which did not keep it from being done in %d cases", x.inCompany, x.saved)
	}
	return s
}
