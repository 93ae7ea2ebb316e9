package rendezvous_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"restante/internal/presence"
	"restante/rendezvous"
	"restante/session"
)

// recordings is a store in which one of the things that the loops record cannot be stored, or hangs.
type recordings struct {
	rendezvous.Store
	broken *atomic.Value // which one, or "" for none
	hang   chan struct{}
}

func (s recordings) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	if ofLoop(ctx) && s.broken.Load() == "everything hangs" {
		<-s.hang
	}
	if ofLoop(ctx) && s.broken.Load() == "everything" {
		return errBroken
	}
	return s.Store.Update(ctx, func(tx rendezvous.Tx) error { return f(recordingsTx{tx, s.broken.Load()}) })
}

type recordingsTx struct {
	rendezvous.Tx
	broken any
}

var errBroken = errors.New("broken")

func (t recordingsTx) UpdateLastSeen(s []session.Sighting) error {
	if t.broken == "signs of life" {
		return errBroken
	}
	return t.Tx.UpdateLastSeen(s)
}

func (t recordingsTx) Acknowledge(acks ...session.Ack) error {
	if t.broken == "acknowledgements" {
		return errBroken
	}
	return t.Tx.Acknowledge(acks...)
}

func (t recordingsTx) SocketsSeen(keys []rendezvous.MailboxKey, at time.Time) error {
	if t.broken == "open mailboxes" {
		panic(errBroken)
	}
	return t.Tx.SocketsSeen(keys, at)
}

func (t recordingsTx) RecordClients(versions []rendezvous.ClientVersion) error {
	if t.broken == "client versions" {
		return errBroken
	}
	return t.Tx.RecordClients(versions)
}

// TestStatusTellsSinceWhenNothingIsRecorded breaks each of the things that the server stores a moment later than they
// happen. The age of what the status tells then grows, and goes down when it works again.
func TestStatusTellsSinceWhenNothingIsRecorded(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"signs of life", "acknowledgements", "open mailboxes", "client versions", "everything hangs"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			var s recordings
			bubbleOn(t, nil, func(store rendezvous.Store) rendezvous.Store {
				s = recordings{store, new(atomic.Value), make(chan struct{})}
				return s
			}, func(t *testing.T, w *world) {
				a, b := w.begin("a"), w.begin("b")
				a.open("m")
				b.open("m")
				defer w.KeepAlive(w.openFor("of a socket"))()
				var acked session.Seq
				for _, frame := range a.receive(0) {
					acked = frame.Seq
				}
				live := func(d time.Duration) {
					for until := time.Now().Add(d); time.Now().Before(until); time.Sleep(5 * time.Second) {
						b.add("m", "body")
						for _, frame := range a.receive(acked) {
							acked = frame.Seq
						}
						w.RecordClient(app, [2]string{"tea", "1"})
					}
				}
				age := func() time.Duration { return time.Since(w.Status(t.Context()).Recorded) }
				live(time.Minute)
				if age := age(); age > presence.WriteInterval {
					t.Errorf("while all is well, it is %v old", age)
				}
				s.broken.Store(what)
				live(5 * time.Minute)
				// Signs of life are due 40 s after the last ones, and open mailboxes are, too.
				if age := age(); age < 4*time.Minute {
					t.Errorf("after five minutes of failures, it is %v old", age)
				}
				s.broken.Store("")
				close(s.hang)
				live(time.Minute)
				if age := age(); age > presence.WriteInterval {
					t.Errorf("a minute after it works again, it is %v old", age)
				}
			})
		})
	}
}

// onRecordings runs a test of a world in which things that the loops record cannot be stored when told to.
func onRecordings(t *testing.T, config func(*rendezvous.Config), test func(t *testing.T, w *world, broken *atomic.Value)) {
	t.Helper()
	var s recordings
	bubbleOn(t, config, func(store rendezvous.Store) rendezvous.Store {
		s = recordings{store, new(atomic.Value), nil}
		return s
	}, func(t *testing.T, w *world) { test(t, w, s.broken) })
}

// A client that has acknowledged a frame says no more of it than the same again.
func TestAnAcknowledgementIsStoredAlsoIfItFailedOnce(t *testing.T) {
	onRecordings(t, nil, func(_ *testing.T, w *world, broken *atomic.Value) {
		a, b := w.watches("a", "m"), w.begin("b")
		b.open("m")
		a.hears("opened", "b here ")
		a.add("m", "x")
		poll := func() {
			_, err := w.Receive(w.t.Context(), rendezvous.ReceiveRequest{Session: b.key, Ack: new(session.Seq(1)), Wait: new(time.Duration)})
			b.must(err)
		}
		broken.Store("acknowledgements")
		poll()
		time.Sleep(time.Second)
		broken.Store("")
		poll()
		time.Sleep(2 * presence.WriteInterval)
		a.hears("b received 1")
	})
}

// What a session or a socket leaves behind lives from its end, also if that could not be stored at once.
func TestTheEndOfAStayIsStoredAlsoIfItFailedOnce(t *testing.T) {
	config := func(c *rendezvous.Config) {
		c.MailboxTTL, c.SessionGrace, c.PruneInterval = 11*time.Minute, time.Second, 24*time.Hour
	}
	onRecordings(t, config, func(t *testing.T, w *world, broken *atomic.Value) {
		first, second := w.begin("a"), w.begin("b")
		first.open("m")
		second.open("n")
		left := []rendezvous.MailboxKey{w.keyOf("m"), w.keyOf("n")}
		for range 80 { // in use for half an hour, without a change
			for _, c := range []*client{first, second} {
				_, err := c.poll(t.Context(), 0)
				c.must(err)
			}
		}
		left = append(left, w.openFor("of a socket"))
		release := w.KeepAlive(left[2])
		time.Sleep(39 * time.Second) // before the first moment at which open mailboxes are recorded
		broken.Store("everything")
		release()
		for _, c := range []*client{first, second} {
			_, err := w.Handshake(t.Context(), rendezvous.Handshake{ID: session.NewID(), App: app, Side: "heir of " + c.side, Replaces: &c.id})
			c.must(err)
		}
		time.Sleep(time.Second)
		broken.Store("")
		gone := func(want ...bool) {
			t.Helper()
			w.Prune(t.Context())
			for i, k := range left {
				if is := w.gone(k); is != want[i] {
					t.Errorf("mailbox %d: gone is %v, want %v", i, is, want[i])
				}
			}
		}
		time.Sleep(10*time.Minute + 50*time.Second)
		gone(false, false, false)
		time.Sleep(40 * time.Second) // longer than what the opening by the socket left, which is padded
		gone(true, true, false)
		time.Sleep(time.Minute)
		gone(true, true, true)
	})
}
