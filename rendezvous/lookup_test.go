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
