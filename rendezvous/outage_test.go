package rendezvous_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/session"
)

// failing is a store of which the next transactions fail.
type failing struct {
	rendezvous.Store
	views, updates, probes *atomic.Int64 // so many more
	err                    error         // with which they fail
}

func fails(n *atomic.Int64) bool { return n.Load() > 0 && n.Add(-1) >= 0 }

func (s failing) View(ctx context.Context, f func(rendezvous.Tx) error) error {
	if fails(s.views) {
		return s.err
	}
	return s.Store.View(ctx, f)
}

func (s failing) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	if fails(s.updates) {
		return s.err
	}
	return s.Store.Update(ctx, f)
}

func (s failing) Probe(ctx context.Context) error {
	if fails(s.probes) {
		return s.err
	}
	return s.Store.Probe(ctx)
}

// flaky runs a test of a world with a store that fails when told to.
func flaky(t *testing.T, config func(*rendezvous.Config), test func(t *testing.T, w *world, f *failing)) {
	t.Helper()
	flakyWith(t, rendezvous.ErrUnavailable, config, test)
}

// flakyWith is flaky, and err is how the store fails.
func flakyWith(t *testing.T, err error, config func(*rendezvous.Config), test func(t *testing.T, w *world, f *failing)) {
	t.Helper()
	var f failing
	bubbleOn(t, config, func(s rendezvous.Store) rendezvous.Store {
		f = failing{s, new(atomic.Int64), new(atomic.Int64), new(atomic.Int64), err}
		return f
	}, func(t *testing.T, w *world) { test(t, w, &f) })
}

func withBootGrace(c *rendezvous.Config) { c.BootGrace = 11 * time.Minute }

func TestOneFailureNowAndThenDoesNotStopPruning(t *testing.T) {
	flaky(t, withBootGrace, func(t *testing.T, w *world, f *failing) {
		c := w.begin("a")
		c.allocate()
		time.Sleep(300 * time.Millisecond) // the loops ask the storage at other moments
		for range 6 {
			time.Sleep(10 * time.Minute)
			f.views.Store(1)
			_, err := w.ListFor(t.Context(), rendezvous.SideRef{App: app, Side: "b"})
			expect(t, code(t, err), rendezvous.StorageUnavailable)
		}
		time.Sleep(10 * time.Second)
		expect(t, w.state(c.key), "closed: expired")
		expect(t, w.Status(t.Context()).Counts, rendezvous.Counts{})
	})
}

func TestNothingExpiresAfterAnOutage(t *testing.T) {
	t.Parallel()
	outages := map[string]func(t *testing.T, w *world, f *failing){
		"a probe failed": func(t *testing.T, w *world, f *failing) {
			f.views.Store(1)
			f.probes.Store(1)
			_ = w.Ready(t.Context())
			time.Sleep(5 * time.Second)
		},
		"probes succeed, and nothing else does": func(t *testing.T, w *world, f *failing) {
			f.views.Store(1000)
			for range 7 {
				_, err := w.ListFor(t.Context(), rendezvous.SideRef{App: app, Side: "b"})
				expect(t, code(t, err), rendezvous.StorageUnavailable)
				time.Sleep(time.Second)
			}
			f.views.Store(0)
		},
	}
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			flaky(t, withBootGrace, func(t *testing.T, w *world, f *failing) {
				time.Sleep(12 * time.Minute)
				c := w.begin("a")
				time.Sleep(10*time.Minute + 300*time.Millisecond) // the loops ask the storage at other moments
				outage(t, w, f)
				time.Sleep(10*time.Minute + 30*time.Second)
				expect(t, w.state(c.key), "detached")
				time.Sleep(time.Minute)
				if is := w.state(c.key); is == "detached" || is == "attached" {
					t.Errorf("%s after the grace", is)
				}
			})
		})
	}
}

func TestARequestThatTheStorageFailedIsASignOfLife(t *testing.T) {
	t.Parallel()
	flaky(t, nil, func(t *testing.T, w *world, f *failing) {
		c := w.begin("a")
		time.Sleep(300 * time.Millisecond) // the loops ask the storage at other moments
		for range 4 {                      // a command, a query, a receive, each nine minutes after the last
			time.Sleep(9 * time.Minute)
			f.updates.Store(1)
			_, err := w.Allocate(t.Context(), c.command(), 0)
			expect(t, code(t, err), rendezvous.StorageUnavailable)
			time.Sleep(9 * time.Minute)
			f.views.Store(1)
			_, err = w.Session(t.Context(), rendezvous.Query{Session: c.key})
			expect(t, code(t, err), rendezvous.StorageUnavailable)
			time.Sleep(9 * time.Minute)
			f.views.Store(1)
			_, err = c.poll(t.Context(), 0)
			expect(t, code(t, err), rendezvous.StorageUnavailable)
		}
		expect(t, w.state(c.key), "attached")
	})
}

func TestWhatCouldNotBePrunedIsForgottenWhenItWentAnotherWay(t *testing.T) {
	flaky(t, func(c *rendezvous.Config) { c.PruneInterval = 24 * time.Hour }, func(t *testing.T, w *world, f *failing) {
		side := rendezvous.SideRef{App: app, Side: "a"}
		_, err := w.OpenFor(t.Context(), side, "m")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20*time.Minute + 300*time.Millisecond) // the loops use the storage at other moments
		named := func() (mailboxes int) {
			for _, f := range w.PruneFailures() {
				if f.Kind == rendezvous.KindMailbox {
					mailboxes++
				}
			}
			return mailboxes
		}
		f.updates.Store(2) // the first one counts usage
		expect(t, w.Prune(t.Context()).Failed, 2)
		expect(t, named(), 1)
		if err := w.CloseFor(t.Context(), side, "m", rendezvous.Happy); err != nil {
			t.Fatal(err)
		}
		w.Prune(t.Context())
		expect(t, named(), 0)
	})
}

func TestPruningGoesOnWhenAnOutageEnds(t *testing.T) {
	flaky(t, nil, func(t *testing.T, w *world, f *failing) {
		_, err := w.OpenFor(t.Context(), rendezvous.SideRef{App: app, Side: "a"}, "m")
		if err != nil {
			t.Fatal(err)
		}
		f.views.Store(1_000_000) // an outage of hours, in which every run fails to list
		f.probes.Store(1_000_000)
		time.Sleep(6 * time.Hour)
		f.views.Store(0)
		f.probes.Store(0)
		time.Sleep(2 * time.Second)
		expect(t, w.Prune(t.Context()).Retired[rendezvous.KindMailbox], 1)
		expect(t, len(w.PruneFailures()), 0)
	})
}

// slowCount is a store that cannot count in time.
type slowCount struct {
	rendezvous.Store
	counts *atomic.Int64
}

type slowCountTx struct {
	rendezvous.Tx
	counts *atomic.Int64
}

func (s slowCount) View(ctx context.Context, f func(rendezvous.Tx) error) error {
	return s.Store.View(ctx, func(tx rendezvous.Tx) error { return f(slowCountTx{tx, s.counts}) })
}

func (t slowCountTx) Counts() (rendezvous.Counts, error) {
	t.counts.Add(1)
	return rendezvous.Counts{}, rendezvous.ErrUnavailable // the end of a statement that took too long
}

func TestACountThatTakesTooLongIsNoOutageAndIsTriedEverLess(t *testing.T) {
	var counts atomic.Int64
	bubbleOn(t, withBootGrace, func(s rendezvous.Store) rendezvous.Store { return slowCount{s, &counts} }, func(t *testing.T, w *world) {
		counts.Store(0)
		c := w.begin("a")
		time.Sleep(4 * time.Hour)
		expect(t, code(t, w.Ready(t.Context())), "")
		expect(t, w.state(c.key), string(rendezvous.SessionUnknown)) // it was pruned
		// It would be 240 if it did not wait ever longer.
		if n := counts.Load(); n > 10 {
			t.Errorf("counted %d times in four hours", n)
		}
	})
}

// full is a store that takes no changes while it is told to.
type full struct {
	rendezvous.Store
	is *atomic.Bool
}

var errFull = fmt.Errorf("%w: %w", rendezvous.ErrUnavailable, rendezvous.ErrUnwritable)

func (s full) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	if s.is.Load() {
		return errFull
	}
	return s.Store.Update(ctx, f)
}

func (s full) Probe(ctx context.Context) error {
	if s.is.Load() {
		return errFull
	}
	return s.Store.Probe(ctx)
}

func TestReadsGoOnWhileTheStorageTakesNoChanges(t *testing.T) {
	t.Parallel()
	var disk full
	bubbleOn(t, withBootGrace, func(s rendezvous.Store) rendezvous.Store {
		disk = full{s, new(atomic.Bool)}
		return disk
	}, func(t *testing.T, w *world) {
		time.Sleep(12*time.Minute + 300*time.Millisecond) // the loops use the storage at other moments
		a, b, silent := w.begin("a"), w.begin("b"), w.begin("c")
		a.open("m")
		b.open("m")
		a.add("m", "before")
		refused := func() {
			t.Helper()
			_, err := w.Add(t.Context(), a.command(), "m", rendezvous.Draft{Body: "during"})
			expect(t, code(t, err), rendezvous.StorageUnavailable)
			expect(t, code(t, w.Ready(t.Context())), rendezvous.StorageUnavailable)
			expect(t, w.Status(t.Context()).StorageOK, false)
		}
		disk.is.Store(true)
		for range 40 { // minutes
			refused()
			time.Sleep(time.Minute)
			if got, err := b.poll(t.Context(), 0); err != nil || frames(t, got)[0].Body != "before" {
				t.Fatalf("a poll with a frame: %+v, %v", got, err)
			}
			page, err := w.Read(t.Context(), rendezvous.Query{Session: b.key}, rendezvous.ReadRequest{Mailbox: "m", Limit: 10})
			if err != nil || len(page.Result.Messages) != 1 {
				t.Fatalf("a log: %+v, %v", page, err)
			}
		}
		if got, err := b.poll(t.Context(), 1); err != nil || len(got.Frames) > 0 {
			t.Fatalf("a poll that acknowledges: %+v, %v", got, err)
		}
		expect(t, w.state(silent.key), "detached") // it may have tried to come back
		for _, f := range w.PruneFailures() {
			if f.Kind == rendezvous.KindMailbox || f.Kind == rendezvous.KindSession {
				t.Errorf("each thing that could be pruned is told of: %+v", f)
			}
		}
		refused()

		disk.is.Store(false)
		time.Sleep(3 * time.Second)
		expect(t, code(t, w.Ready(t.Context())), "")
		expect(t, w.stored(b.key).Kept, 1) // what was acknowledged meanwhile
		a.add("m", "after")
		expect(t, b.receive(1)[0].Body, "after")
		time.Sleep(10 * time.Minute)
		expect(t, w.state(silent.key), "detached")
		time.Sleep(2 * time.Minute)
		expect(t, w.state(silent.key), "closed: expired")
	})
}

// stored returns a session as the storage has it.
func (w *world) stored(k session.Key) (stored rendezvous.Session) {
	w.t.Helper()
	err := w.store.View(context.Background(), func(tx rendezvous.Tx) (err error) {
		stored, err = tx.Session(k)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return stored
}

// TestAConnectionThatTimesOutIsTheStorages has the storage fail as when no connection to it can be opened in time. The
// error is like that of a caller that has left, but the callers wait.
func TestAConnectionThatTimesOutIsTheStorages(t *testing.T) {
	t.Parallel()
	timeout := fmt.Errorf("%w: %w", rendezvous.ErrUnavailable, context.DeadlineExceeded)
	flakyWith(t, timeout, withBootGrace, func(t *testing.T, w *world, f *failing) {
		c := w.begin("a")
		time.Sleep(9*time.Minute + 300*time.Millisecond) // the loops ask the storage at other moments
		keyed := rendezvous.Command{Keyed: rendezvous.SideRef{App: app, Side: "k.b"}}
		query := rendezvous.Query{Session: c.key}
		for what, request := range map[string]func() error{
			"a command":                   func() error { _, err := w.Allocate(t.Context(), c.command(), 0); return err },
			"a command without a session": func() error { _, err := w.Allocate(t.Context(), keyed, 0); return err },
			"a wormhole client's command": func() error { _, err := w.AllocateFor(t.Context(), keyed.Keyed); return err },
			"a query":                     func() error { _, err := w.Session(t.Context(), query); return err },
			"new metadata":                func() error { _, err := w.UpdateMetadata(t.Context(), query, nil); return err },
		} {
			f.updates.Store(1)
			f.views.Store(1)
			if is := code(t, request()); is != rendezvous.StorageUnavailable {
				t.Errorf("%s: %s, want STORAGE_UNAVAILABLE", what, is)
			}
			f.updates.Store(0)
			f.views.Store(0)
		}
		time.Sleep(10*time.Minute + 30*time.Second)
		expect(t, w.state(c.key), "detached") // the requests were signs of life
		f.views.Store(1)
		f.probes.Store(1)
		_ = w.Ready(t.Context())
		time.Sleep(10*time.Minute + 30*time.Second)
		expect(t, w.state(c.key), "detached") // the outage was noticed
	})
}
