package repo_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"restante/rendezvous"
	"restante/repo"
)

// interleaving is one operation on one replica, before whose statements other operations run on another
// replica. So it covers every interleaving of the operations at the first one's statement boundaries.
type interleaving struct {
	tb          testing.TB
	here        *rendezvous.Service // runs the operation
	hereDB      *repo.DB
	elsewhere   *rendezvous.Service // runs the others
	elsewhereDB *repo.DB
	observer    *sqlx.DB
	apps        int          // that were used
	retried     atomic.Int64 // transactions that lost against others
}

func newInterleaving(tb testing.TB) *interleaving {
	url := newDatabase(tb)
	i := &interleaving{tb: tb, observer: sqlx.MustOpen("postgres", url)}
	i.hereDB = open(tb, repo.Options{URL: url, Retried: &i.retried})
	i.elsewhereDB = open(tb, repo.Options{URL: url, Retried: &i.retried})
	i.here, i.elsewhere = newService(i.hereDB), newService(i.elsewhereDB)
	tb.Cleanup(func() { _ = i.observer.Close() })
	return i
}

// newService returns a service on a store. It remembers nothing yet.
func newService(db *repo.DB) *rendezvous.Service {
	s := &rendezvous.Service{Config: rendezvous.DefaultConfig(), Store: db, Log: slog.New(slog.DiscardHandler)}
	s.Config.BootGrace = 0
	return s
}

// run runs operation. Before its statement at[n], it starts others[n] and waits until that has ended or
// waits for a lock. It returns the errors of all, the operation's first, and how many statements the operation ran.
func (i *interleaving) run(operation func() error, at []int, others ...func() error) (errs []error, statements int) {
	i.tb.Helper()
	errs = make([]error, 1+len(others))
	var running sync.WaitGroup
	inHook, started := false, make([]bool, len(others))
	repo.SetHook(i.hereDB, func(string) error {
		for n, other := range others {
			if at[n] != statements || started[n] || inHook {
				continue
			}
			inHook, started[n] = true, true
			done := make(chan struct{})
			running.Go(func() {
				defer close(done)
				errs[1+n] = other()
			})
			i.waitUntilBlocked(done)
			inHook = false
		}
		statements++
		return nil
	})
	errs[0] = operation()
	repo.SetHook(i.hereDB, nil)
	running.Wait()
	for n, other := range others {
		if !started[n] { // the operation had fewer statements
			errs[1+n] = other()
		}
	}
	return errs, statements
}

// waitUntilBlocked waits until done is closed or a transaction waits for a lock.
func (i *interleaving) waitUntilBlocked(done <-chan struct{}) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(4 * time.Minute); time.Now().Before(end); {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		var waiting int
		must(i.observer.Get(&waiting, `SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`))
		if waiting > 0 {
			return
		}
	}
	i.tb.Fatal("the other operation neither ended nor waited for a lock")
}

// check fails on errors that are no answers to a client, and on nameplates whose columns contradict their claims.
func (i *interleaving) check(what string, errs []error) {
	i.tb.Helper()
	for n, err := range errs {
		if f, refused := errors.AsType[*rendezvous.Failure](err); err != nil && (!refused || f.Code == rendezvous.Internal) {
			i.tb.Errorf("%s: operation %d: %v", what, n, err)
		}
	}
	var wrong []string
	must(i.observer.Select(&wrong, `
		SELECT id FROM (
			SELECT n.id, n.waiting, COUNT(c.side) AS sides, COUNT(c.side) FILTER (WHERE c.released IS NULL) AS holders
			FROM nameplates AS n LEFT JOIN claims AS c ON c.app = n.app AND c.nameplate = n.id
			GROUP BY n.app, n.id) AS x
		WHERE holders = 0 OR sides > 2 OR waiting <> CASE WHEN sides = 1 AND holders = 1 THEN 1 ELSE 0 END`))
	if len(wrong) > 0 {
		i.tb.Errorf("%s: nameplates %v contradict their claims", what, wrong)
		_, err := i.observer.Exec("DELETE FROM nameplates")
		must(err)
	}
}

// TestNameplatesAreReadAfterTheirLock claims and releases a nameplate while other sides claim and release it
// before any two of its statements, also when it does not exist yet. No transaction has to run again.
func TestNameplatesAreReadAfterTheirLock(t *testing.T) {
	t.Parallel()
	i := newInterleaving(t)
	ctx := context.Background()
	type operations []func() error
	// The app is another one for each interleaving, so that no quota is reached.
	claim := func(s *rendezvous.Service, app rendezvous.AppID, side rendezvous.Side) func() error {
		return func() error { _, err := s.ClaimFor(ctx, rendezvous.SideRef{App: app, Side: side}, "1"); return err }
	}
	release := func(s *rendezvous.Service, app rendezvous.AppID, side rendezvous.Side) func() error {
		return func() error { return s.ReleaseFor(ctx, rendezvous.SideRef{App: app, Side: side}, "1") }
	}
	next := 0
	for name, prepare := range map[string]func(app rendezvous.AppID) (before operations, operation func() error, others operations){
		"a claim of a new nameplate, and two more claims": func(app rendezvous.AppID) (operations, func() error, operations) {
			return nil, claim(i.here, app, "b"), operations{claim(i.elsewhere, app, "a"), claim(i.elsewhere, app, "c")}
		},
		"a claim of a new nameplate, a claim and its release": func(app rendezvous.AppID) (operations, func() error, operations) {
			return nil, claim(i.here, app, "b"), operations{claim(i.elsewhere, app, "a"), release(i.elsewhere, app, "a")}
		},
		"a claim, and a release and a claim by other sides": func(app rendezvous.AppID) (operations, func() error, operations) {
			return operations{claim(i.elsewhere, app, "a")}, claim(i.here, app, "b"), operations{release(i.elsewhere, app, "a"), claim(i.elsewhere, app, "c")}
		},
		"a release, and a release and a claim by other sides": func(app rendezvous.AppID) (operations, func() error, operations) {
			return operations{claim(i.elsewhere, app, "a"), claim(i.elsewhere, app, "b")}, release(i.here, app, "b"),
				operations{release(i.elsewhere, app, "a"), claim(i.elsewhere, app, "c")}
		},
		"a release of a missing nameplate, and two claims": func(app rendezvous.AppID) (operations, func() error, operations) {
			return nil, release(i.here, app, "b"), operations{claim(i.elsewhere, app, "b"), claim(i.elsewhere, app, "a")}
		},
	} {
		for first, most := 0, 1; first < most; first++ {
			for second := first; second < most; second++ {
				next++
				before, operation, others := prepare(rendezvous.AppID(fmt.Sprint("app ", next)))
				for _, f := range before {
					must(f())
				}
				errs, statements := i.run(operation, []int{first, second}, others...)
				most = max(most, statements)
				what := fmt.Sprintf("%s, before statements %d and %d", name, first, second)
				i.check(what, errs)
				if n := i.retried.Swap(0); n > 0 { // both had created it
					t.Errorf("%s: %d transactions ran again", what, n)
				}
			}
		}
	}
	t.Logf("%d interleavings", next)
}

// TestWhatASideHoldsIsReadAfterItsLocks ends a session with a mood, which releases and closes all that its
// side holds, while that side and another one claim and release before any of its statements.
func TestWhatASideHoldsIsReadAfterItsLocks(t *testing.T) {
	t.Parallel()
	i := newInterleaving(t)
	ctx := context.Background()
	for first, most := 0, 1; first < most; first++ {
		for second := first; second < most; second++ {
			app := rendezvous.AppID(fmt.Sprintf("app %d %d", first, second))
			me, other := rendezvous.SideRef{App: app, Side: "me"}, rendezvous.SideRef{App: app, Side: "other"}
			_, err := i.elsewhere.ClaimFor(ctx, me, "1")
			must(err)
			_, err = i.elsewhere.ClaimFor(ctx, other, "2")
			must(err)
			end := func() error {
				return i.hereDB.Update(ctx, func(tx rendezvous.Tx) error {
					held, err := tx.NameplatesOf(app, "me")
					if err != nil {
						return err
					}
					for _, n := range held {
						n = n.Release("me", tx.Now())
						if n.Claimed() {
							err = tx.UpdateNameplate(n)
						} else {
							err = tx.RetireNameplate(n, rendezvous.Usage{App: app, Result: rendezvous.ResultQuiet})
						}
						if err != nil {
							return err
						}
					}
					return nil
				})
			}
			errs, statements := i.run(end, []int{first, second},
				func() error { _, err := i.elsewhere.ClaimFor(ctx, me, "2"); return err },
				func() error { return i.elsewhere.ReleaseFor(ctx, other, "2") })
			most = max(most, statements)
			what := fmt.Sprintf("before statements %d and %d", first, second)
			i.check(what, errs)
			var unreleased int
			must(i.observer.Get(&unreleased, `SELECT COUNT(*) FROM claims WHERE app = $1 AND side = 'other' AND released IS NULL`, app))
			if unreleased > 0 {
				t.Errorf("%s: the other side's release is undone", what)
			}
		}
	}
}

// TestNoFramesUnderEndedSessions ends or replaces a session before any statement of another side's add: nothing may
// stay in the outbox of a session that has ended.
func TestNoFramesUnderEndedSessions(t *testing.T) {
	t.Parallel()
	i := newInterleaving(t)
	ctx := context.Background()
	for at, most := 0, 2; at < most; at++ { // each statement twice
		sessionID := numberedID(at)
		app := rendezvous.AppID(fmt.Sprint("app ", at))
		writer := rendezvous.SideRef{App: app, Side: "writer"}
		command := rendezvous.Command{Session: sessionID.Key()}
		end := func() error { _, err := i.elsewhere.End(ctx, command, nil); return err }
		if at%2 == 1 {
			end = func() error {
				_, err := i.elsewhere.Handshake(ctx, rendezvous.Handshake{App: app, ID: numberedID(1_000_000 + at), Replaces: &sessionID})
				return err
			}
		}
		_, err := i.elsewhere.Handshake(ctx, rendezvous.Handshake{App: app, Side: "reader", ID: sessionID})
		must(err)
		_, err = i.elsewhere.Open(ctx, command, "mailbox", rendezvous.OpenRequest{})
		must(err)
		_, err = i.elsewhere.OpenFor(ctx, writer, "mailbox")
		must(err)
		errs, statements := i.run(
			func() error {
				_, err := i.here.AddFor(ctx, writer, "mailbox", []rendezvous.Draft{{Phase: "p", Body: "body"}, {Phase: "q", Body: "body"}})
				return err
			}, []int{at / 2}, end)
		most = max(most, 2*statements)
		what := fmt.Sprintf("before statement %d, replaced: %v", at/2, at%2 == 1)
		i.check(what, errs)
		var left struct{ Frames, Backlog, Bytes int64 }
		must(i.observer.Get(&left, `
			SELECT (SELECT COUNT(*) FROM outbox_entries WHERE session = s.key) AS frames, o.next - o.kept AS backlog, o.bytes
			FROM sessions AS s JOIN outboxes AS o ON o.session = s.key
			WHERE s.app = $1 AND s.ended IS NOT NULL`, app))
		if left.Frames != 0 || left.Backlog != 0 || left.Bytes != 0 {
			t.Errorf("%s: %+v left in the outbox of the ended session", what, left)
		}
	}
}
