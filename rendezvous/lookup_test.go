package rendezvous_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"restante/rendezvous"
)

// views counts the snapshots that a store was asked for.
type views struct {
	rendezvous.Store
	count *atomic.Int64
}

func (v views) View(ctx context.Context, f func(rendezvous.Tx) error) error {
	v.count.Add(1)
	return v.Store.View(ctx, f)
}

// TestLooksAreGathered covers many clients that wait for little. Their lookups share snapshots, none
// waits for the others longer than the window, and what happens reaches them as fast as ever.
func TestLooksAreGathered(t *testing.T) {
	const span = 25 * time.Millisecond
	var count atomic.Int64
	counting := func(s rendezvous.Store) rendezvous.Store { return views{s, &count} }
	gathering := func(c *rendezvous.Config) { c.LookupBatchWindow = span }
	bubbleOn(t, gathering, counting, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		var waiting []*client
		for i := range 50 {
			waiting = append(waiting, w.begin(rendezvous.Side(fmt.Sprint("waiting", i))))
		}
		time.Sleep(time.Second)
		synctest.Wait() // until what the service does by itself is done
		count.Store(0)
		first := a.park(t.Context(), 1) // at once, though others come
		synctest.Wait()
		expect(t, count.Load(), 1)
		began := time.Now()
		var held []<-chan outcome
		for _, c := range waiting {
			held = append(held, c.park(t.Context(), 0))
		}
		expect(t, count.Load(), 2) // the first of them
		time.Sleep(span)
		synctest.Wait()
		expect(t, count.Load(), 3) // and all others
		expect(t, w.Stats().Parked.Load(), 51)

		b.add(mailbox, "news")
		got := <-first
		expect(t, time.Since(began), span)
		expect(t, frames(t, got.got)[0].Body, "news")
		for _, h := range slices.Backward(held) {
			if one := <-h; one.err != nil || len(one.got.Frames) > 0 {
				t.Errorf("%d frames, %v; want a heartbeat", len(one.got.Frames), one.err)
			}
		}
	})
}

// TestGatheredLooksSeeWhatOthersDo covers a session that is taken over, and one that ends.
func TestGatheredLooksSeeWhatOthersDo(t *testing.T) {
	gathering := func(c *rendezvous.Config) { c.LookupBatchWindow = 25 * time.Millisecond }
	bubble(t, gathering, func(t *testing.T, w *world) {
		a := w.begin("a")
		held := a.park(t.Context(), 0)
		time.Sleep(time.Second)
		a.must(a.shake(0, 0)) // every lookup finds a newer epoch
		got := <-held
		expect(t, code(t, got.err), rendezvous.Superseded)
		_, err := w.End(t.Context(), a.command(), nil)
		a.must(err)
		_, err = w.Receive(t.Context(), rendezvous.ReceiveRequest{Session: a.key})
		expect(t, code(t, err), rendezvous.SessionEnded)
	})
}

// TestWhetherAThirdSideWasRefusedIsRemembered has a follower ask again and again who is at a crowded nameplate. The
// storage is asked only if a third side was refused, here or elsewhere.
func TestWhetherAThirdSideWasRefusedIsRemembered(t *testing.T) {
	for name, here := range map[string]bool{"here": true, "elsewhere": false} {
		t.Run(name, func(t *testing.T) {
			var count atomic.Int64
			counting := func(s rendezvous.Store) rendezvous.Store { return views{s, &count} }
			bubbleOn(t, nil, counting, func(t *testing.T, w *world) {
				claim := func(s *rendezvous.Service, side rendezvous.Side) (rendezvous.Claimed, error) {
					return s.ClaimFor(t.Context(), rendezvous.SideRef{App: app, Side: side}, "4")
				}
				at, err := claim(w.Service, "a")
				expect(t, err, nil)
				k := w.keyOf(at.Mailbox)
				defer w.KeepAlive(k)()
				crowdedBy := func() (sides []rendezvous.Side, asked int64) {
					synctest.Wait() // until what the service does by itself is done
					count.Store(0)
					sides, err := w.CrowdedBy(t.Context(), k)
					expect(t, err, nil)
					return sides, count.Load()
				}
				_, asked := crowdedBy()
				expect(t, asked, 1)
				_, err = w.Tail(t.Context(), k, 0)
				expect(t, err, nil)
				_, asked = crowdedBy()
				expect(t, asked, 0)

				_, err = claim(w.Service, "b")
				expect(t, err, nil)
				if here {
					_, _ = claim(w.Service, "c") // which is refused
				} else {
					elsewhere := &rendezvous.Service{Config: w.Config, Store: w.store, Log: silent}
					_, _ = claim(elsewhere, "c")
					w.Wake([]rendezvous.Topic{{Mailbox: k}})
				}
				sides, asked := crowdedBy()
				expect(t, fmt.Sprint(sides), "[a b]")
				expect(t, asked, 1)
			})
		})
	}
}

// TestWhatASideOpensIsKnown has a side open a mailbox and read it. That it is empty is known from the transaction that
// opened it, and what is added here is known from then on. What is added elsewhere has to be read.
func TestWhatASideOpensIsKnown(t *testing.T) {
	var count atomic.Int64
	counting := func(s rendezvous.Store) rendezvous.Store { return views{s, &count} }
	bubbleOn(t, nil, counting, func(t *testing.T, w *world) {
		elsewhere := &rendezvous.Service{Config: w.Config, Store: w.store, Log: silent}
		side := rendezvous.SideRef{App: app, Side: "a"}
		add := func(s *rendezvous.Service) {
			refused, err := s.AddFor(t.Context(), side, "m", []rendezvous.Draft{{Phase: "p", Body: "news"}})
			expect(t, fmt.Sprint(refused, err), "[<nil>] <nil>")
		}
		k, err := w.OpenFor(t.Context(), side, "m")
		expect(t, err, nil)
		defer w.KeepAlive(k)()
		expectRead := func(after rendezvous.Position, messages int, asked int64) {
			t.Helper()
			synctest.Wait() // until what the service does by itself is done
			count.Store(0)
			got, err := w.Tail(t.Context(), k, after)
			expect(t, err, nil)
			expect(t, len(got), messages)
			expect(t, count.Load(), asked)
		}
		expectRead(0, 0, 0)
		add(w.Service)
		expectRead(0, 1, 0)
		add(elsewhere)
		w.Wake([]rendezvous.Topic{{Mailbox: k}})
		_, err = w.OpenFor(t.Context(), side, "m") // finds how long the log is, and not what it holds
		expect(t, err, nil)
		expectRead(2, 0, 0)
		expectRead(0, 2, 1)
	})
}
