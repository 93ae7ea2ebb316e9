package rendezvous_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"restante/rendezvous"
	"restante/session"
)

// interrupted is a store in which something happens just after a snapshot was read.
type interrupted struct {
	rendezvous.Store
	after *atomic.Pointer[func()] // called once
}

func (s interrupted) View(ctx context.Context, f func(rendezvous.Tx) error) error {
	err := s.Store.View(ctx, f)
	if after := s.after.Swap(nil); after != nil {
		(*after)()
	}
	return err
}

// TestNothingIsMissedBetweenAReadAndAWait covers a message that is added after a receiver has read and before it waits:
// it wakes the receiver at once, which would otherwise find it at its heartbeat.
func TestNothingIsMissedBetweenAReadAndAWait(t *testing.T) {
	var after atomic.Pointer[func()]
	bubbleOn(t, nil, func(s rendezvous.Store) rendezvous.Store { return interrupted{s, &after} }, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		time.Sleep(300 * time.Millisecond) // the loops read at other moments
		add := func() { a.add(mailbox, "x") }
		ack := session.Seq(0)
		one := func(got rendezvous.Delivery, err error, began time.Time) {
			t.Helper()
			b.must(err)
			expect(t, len(got.Frames), 1)
			expect(t, time.Since(began), 0)
			ack++
		}

		after.Store(&add) // in the first read of a poll
		began := time.Now()
		got, err := b.poll(t.Context(), ack)
		one(got, err, began)

		held := b.park(t.Context(), ack) // in a later one
		synctest.Wait()
		time.Sleep(time.Second)
		began = time.Now()
		after.Store(&add)
		w.Wake([]rendezvous.Topic{{Session: b.key}})
		answer := <-held
		one(answer.got, answer.err, began)

		stream, _, err := w.Stream(t.Context(), rendezvous.ReceiveRequest{Session: b.key, Ack: &ack})
		b.must(err)
		defer stream.Close()
		for range 2 {
			w.Wake([]rendezvous.Topic{{Session: b.key}}) // forget the outbox, so that the storage is read
			after.Store(&add)
			began = time.Now()
			got, _, err := stream.Next(t.Context())
			one(got, err, began)
			time.Sleep(time.Second)
		}
	})
}

// TestAPollMissesNoEndWhileItReads covers what ends a poll while it reads again: another poll that takes its session, and
// the end of its hold.
func TestAPollMissesNoEndWhileItReads(t *testing.T) {
	var after atomic.Pointer[func()]
	bubbleOn(t, nil, func(s rendezvous.Store) rendezvous.Store { return interrupted{s, &after} }, func(t *testing.T, w *world) {
		_, b, _ := pair(w)
		time.Sleep(300 * time.Millisecond)                              // the loops read at other moments
		wake := func() { w.Wake([]rendezvous.Topic{{Session: b.key}}) } // and forget the outbox, so that the storage is read
		defer time.AfterFunc(time.Hour, wake).Stop()                    // or a poll that missed its end would be held for ever
		readAgain := func(meanwhile func()) {
			after.Store(&meanwhile)
			wake()
		}

		held := b.park(t.Context(), 0)
		readAgain(func() {
			next, err := w.StartPoll(context.Background(), rendezvous.ReceiveRequest{Session: b.key})
			b.must(err)
			next.Close()
		})
		began := time.Now()
		ended := <-held
		expect(t, code(t, ended.err), rendezvous.Superseded)
		expect(t, ended.at.Sub(began), 0)

		began = time.Now()
		held = b.park(t.Context(), 0)
		readAgain(func() { time.Sleep(w.Config.HeartbeatInterval) })
		ended = <-held
		b.must(ended.err)
		expect(t, ended.at.Sub(began), w.Config.HeartbeatInterval)
	})
}

// TestNothingIsMissedInASharedLook covers the same for a look that receivers share.
func TestNothingIsMissedInASharedLook(t *testing.T) {
	var after atomic.Pointer[func()]
	bubbleOn(t, func(c *rendezvous.Config) { c.LookupBatchWindow = 25 * time.Millisecond }, func(s rendezvous.Store) rendezvous.Store { return interrupted{s, &after} }, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		time.Sleep(300 * time.Millisecond) // the loops read at other moments
		add := func() { a.add(mailbox, "x") }
		after.Store(&add)
		began := time.Now()
		got, err := b.poll(t.Context(), 0)
		b.must(err)
		expect(t, len(got.Frames), 1)
		expect(t, time.Since(began), w.Config.LookupBatchWindow) // for the second look
	})
}
