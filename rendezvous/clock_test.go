package rendezvous_test

import (
	"sync/atomic"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/repo"
)

// clocks are the storage's clock and that of a process, which tests set apart.
type clocks struct{ store, process atomic.Int64 }

func (c *clocks) storeNow() time.Time {
	return time.Now().Add(time.Duration(c.store.Load()))
}

// processNow has no monotonic reading, so that a change of the clock changes all that it shows.
func (c *clocks) processNow() time.Time {
	return time.Now().Round(0).Add(time.Duration(c.process.Load()))
}

// clocked runs a test of a world with two clocks, on each engine.
func clocked(t *testing.T, test func(t *testing.T, w *world, c *clocks)) {
	t.Helper()
	onEngines(t, func(t *testing.T, path string) {
		var c clocks
		store, err := repo.Open(t.Context(), repo.Options{URL: path, Now: c.storeNow, Log: silent, CompareRemembered: true})
		if err != nil {
			t.Fatal(err)
		}
		s := &rendezvous.Service{Config: rendezvous.DefaultConfig(), Store: store, Log: silent, Now: c.processNow}
		w := run(t, path, store, s)
		defer func() { w.stop() }()
		test(t, w, &c)
	})
}

func TestTheProcessesClockDecidesNothing(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{-13 * time.Minute, -time.Minute, time.Minute, 13 * time.Minute, 26 * time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			clocked(t, func(t *testing.T, w *world, c *clocks) {
				time.Sleep(12 * time.Minute) // after the grace of the start
				c.process.Store(int64(skew))
				time.Sleep(16 * time.Second) // it is noticed, and measured
				a := w.begin("a")
				_, err := w.Session(t.Context(), rendezvous.Query{Session: a.key})
				a.must(err)
				time.Sleep(40 * time.Second)
				expect(t, w.state(a.key), "attached")
				time.Sleep(9 * time.Minute)
				expect(t, w.state(a.key), "detached")
				expect(t, w.Status(t.Context()).ClockSkew.Round(time.Second), -skew)
				_, err = w.Session(t.Context(), rendezvous.Query{Session: a.key})
				a.must(err)
				expect(t, w.state(a.key), "attached")
			})
		})
	}
}

func TestAStepOfTheStoragesClockEndsNothing(t *testing.T) {
	t.Parallel()
	for _, step := range []time.Duration{-13 * time.Minute, -time.Minute, 10 * time.Second, time.Minute, 13 * time.Minute, 2 * time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			clocked(t, func(t *testing.T, w *world, c *clocks) {
				time.Sleep(12 * time.Minute) // after the grace of the start
				a := w.begin("a")
				_, err := w.Open(t.Context(), a.command(), "m", rendezvous.OpenRequest{})
				a.must(err)
				time.Sleep(9 * time.Minute)
				c.store.Store(int64(step))
				w.Prune(t.Context())
				time.Sleep(100 * time.Second) // just within its grace
				w.Prune(t.Context())
				_, err = w.Add(t.Context(), a.command(), "m", rendezvous.Draft{Phase: "p", Body: "still here"})
				a.must(err)
				time.Sleep(9 * time.Minute)
				w.Prune(t.Context())
				_, err = w.Add(t.Context(), a.command(), "m", rendezvous.Draft{Phase: "p", Body: "and here"})
				a.must(err)
			})
		})
	}
}

// TestALongLifeSurvivesALongStep covers a session that outlives the boot grace.
func TestALongLifeSurvivesALongStep(t *testing.T) {
	clocked(t, func(t *testing.T, w *world, c *clocks) {
		a := &client{w: w, id: newID(), app: app, side: "a"}
		a.key = a.id.Key()
		_, err := w.Handshake(t.Context(), rendezvous.Handshake{ID: a.id, App: app, Side: "a", Grace: 3 * time.Hour})
		a.must(err)
		time.Sleep(time.Hour)
		c.store.Store(int64(4 * time.Hour))
		time.Sleep(time.Hour + 30*time.Minute)
		w.Prune(t.Context())
		_, err = w.Allocate(t.Context(), a.command(), 0)
		a.must(err)
	})
}
