package rendezvous_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"restante/rendezvous"
	"restante/session"
)

func TestAClientThatOnlyAnswersStaysAttached(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		c := w.begin("a")
		for began := time.Now(); time.Since(began) < time.Hour; {
			asked := time.Now()
			got, err := c.poll(t.Context(), 0)
			c.must(err)
			if len(got.Frames) > 0 {
				t.Fatal("frames out of nowhere")
			}
			if held := time.Since(asked); held != c.wait {
				t.Fatalf("held for %v, announced were %v", held, c.wait)
			}
			c.wait = got.NextWait
			if is := w.state(c.key); is != "attached" {
				t.Fatalf("%v after %v", is, time.Since(began))
			}
		}
	})
}

func TestASilentClientIsDetachedAndThenClosedExactly(t *testing.T) {
	t.Parallel()
	bubble(t, func(c *rendezvous.Config) { c.PruneInterval = 24 * time.Hour }, func(t *testing.T, w *world) {
		c := w.begin("a")
		c.allocate() // so that its end leaves a tombstone
		_, err := c.poll(t.Context(), 0)
		c.must(err) // its last sign of life is the end of this poll
		silence := w.Config.HeartbeatInterval * time.Duration(w.Config.HeartbeatsUntilDead)

		time.Sleep(silence - time.Millisecond)
		expect(t, w.state(c.key), "attached")
		time.Sleep(time.Millisecond)
		expect(t, w.state(c.key), "detached")
		time.Sleep(w.Config.SessionGrace - time.Millisecond)
		expect(t, w.state(c.key), "detached")
		time.Sleep(time.Millisecond)
		expect(t, w.state(c.key), "closed: expired")
		_, err = c.poll(t.Context(), 0)
		expect(t, code(t, err), rendezvous.SessionEnded)
		expect(t, code(t, c.shake(0, 0)), rendezvous.SessionStateMismatch)
		// After the process has forgotten it, or on another process, the end is later by the lag, never
		// earlier.
		time.Sleep(time.Hour)
		expect(t, w.state(c.key), "closed: expired")
	})
}

func TestAnySignOfLifeAttachesAgain(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		c := w.begin("a")
		time.Sleep(5 * time.Minute)
		expect(t, w.state(c.key), "detached")
		overview, err := w.Session(t.Context(), rendezvous.Query{Session: c.key})
		c.must(err)
		expect(t, overview.Result.WasDetached, true)
		expect(t, w.state(c.key), "attached")
	})
}

func TestARefusedRequestIsASignOfLifeToo(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		c := w.begin("a")
		time.Sleep(5 * time.Minute)
		_, err := w.Add(t.Context(), c.command(), "nowhere", rendezvous.Draft{Phase: "p"})
		expect(t, code(t, err), rendezvous.NotOpen)
		expect(t, w.state(c.key), "attached")
		time.Sleep(5 * time.Minute)
		_, err = c.poll(t.Context(), 7)
		expect(t, code(t, err), rendezvous.SessionStateMismatch)
		expect(t, w.state(c.key), "attached")
	})
}

func TestALaptopClosedAfterAnHourAndOpenedNineMinutesLater(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(t *testing.T, w *world) {
		c := w.begin("a")
		claimed := c.allocate()
		c.open(claimed.Mailbox)
		for began := time.Now(); time.Since(began) < time.Hour; { // an hour in which nothing happens
			_, err := c.poll(t.Context(), 0)
			c.must(err)
		}
		time.Sleep(9 * time.Minute)
		c.must(c.shake(0, 0))
		c.add(claimed.Mailbox, "still here")
		peer := w.begin("b")
		expect(t, peer.claim(claimed.Nameplate).Mailbox, claimed.Mailbox)
	})
}

func TestAMailboxThatNobodyHoldsIsPrunedAfterItsTTL(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		c, peer := w.begin("a"), w.begin("b")
		claimed := c.allocate()
		peer.open(claimed.Mailbox)
		_, err := w.End(t.Context(), peer.command(), nil) // it stays in the mailbox, silently
		peer.must(err)
		time.Sleep(w.Config.MailboxTTL - time.Second)
		w.Prune(t.Context())
		again := w.begin("c")
		_, err = w.Claim(t.Context(), again.command(), claimed.Nameplate, 0)
		expect(t, code(t, err), rendezvous.Crowded) // still there
		time.Sleep(time.Second)
		run := w.Prune(t.Context())
		expect(t, run.Retired[rendezvous.KindMailbox], 1)
		fresh := again.claim(claimed.Nameplate)
		if fresh.Mailbox == claimed.Mailbox {
			t.Error("the nameplate still leads to the pruned mailbox")
		}
	})
}

func TestALongerLifeIsGranted(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		c := w.begin("a")
		a, err := w.Allocate(t.Context(), c.command(), time.Hour) // and not 11 minutes
		c.must(err)
		_, err = w.End(t.Context(), c.command(), nil)
		c.must(err)
		time.Sleep(time.Hour - time.Second) // the prune loop runs all the while
		peer := w.begin("b")
		expect(t, peer.claim(a.Result.Nameplate).Mailbox, a.Result.Mailbox)
		_, err = w.Allocate(t.Context(), peer.command(), 25*time.Hour)
		expect(t, code(t, err), rendezvous.InvalidRequest)
	})
}

func TestNothingExpiresInTheGraceAfterAStart(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(t *testing.T, w *world) {
		c := w.begin("a")
		claimed := c.allocate()
		w.stop()
		time.Sleep(5 * time.Hour) // the server was down
		*w = *open(t, w.path, func(c *rendezvous.Config) { c.BootGrace = 11 * time.Minute }, nil)
		c.w = w
		time.Sleep(11*time.Minute - time.Second)
		expect(t, w.state(c.key), "detached")
		expect(t, w.Prune(t.Context()).Skipped, true)
		c.must(c.shake(0, 0))
		c.open(claimed.Mailbox)
	})
	bubble(t, nil, func(t *testing.T, w *world) {
		c := w.begin("a")
		c.allocate()
		w.stop()
		time.Sleep(5 * time.Hour)
		*w = *open(t, w.path, func(c *rendezvous.Config) { c.BootGrace = 11 * time.Minute }, nil)
		time.Sleep(11 * time.Minute)
		expect(t, w.state(c.key), "closed: expired")
	})
}

func TestNothingExpiresAfterAPauseOfTheProcess(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		c := w.begin("a")
		w.stop()
		var jump atomic.Int64
		// A process that is stopped sees its clock jump, and a request may come before anything else.
		now := func() time.Time { return time.Now().Add(time.Duration(jump.Load())) }
		*w = *openAt(t, w.path, now)
		c.w = w
		time.Sleep(30 * time.Minute) // past the grace after the start
		c.must(c.shake(0, 0))
		jump.Store(int64(2 * time.Hour))
		expect(t, w.state(c.key), "detached")
		c.must(c.shake(0, 0))
		expect(t, w.state(c.key), "attached")
	})
}

func TestARestartForgetsNothing(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		a, b := w.begin("a"), w.begin("b")
		claimed := a.allocate()
		b.claim(claimed.Nameplate)
		a.open(claimed.Mailbox)
		b.open(claimed.Mailbox)
		a.add(claimed.Mailbox, "before")
		w.restart(nil)
		b.must(b.shake(0, 0))
		expect(t, b.epoch, 2)
		got := b.receive(0)
		expect(t, len(got), 1)
		expect(t, got[0].Body, "before")
	})
}

// shortTombstones lets tombstones fall after an hour. It is well above the 11 minutes in which a session expires, as a day is,
// and takes less of the work that the loops do in each virtual second.
func shortTombstones(c *rendezvous.Config) { c.TombstoneTTL = time.Hour }

func TestASweepLeavesTombstonesOnlyOfSessionsThatDidSomething(t *testing.T) {
	t.Parallel()
	bubble(t, shortTombstones, func(t *testing.T, w *world) {
		idle, busy := w.begin("idle"), w.begin("busy")
		busy.allocate()
		time.Sleep(time.Hour)
		expect(t, w.state(idle.key), string(rendezvous.SessionUnknown))
		expect(t, w.state(busy.key), "closed: expired")
		time.Sleep(w.Config.TombstoneTTL)
		expect(t, w.state(busy.key), string(rendezvous.SessionUnknown))
		expect(t, w.Status(t.Context()).Counts, rendezvous.Counts{})
	})
}

// TestAnIDThatExpiredUnusedIsNew begins a session under the id of one that had expired in a later epoch and had done
// nothing. Nothing that the process remembers of the first is true of the second.
func TestAnIDThatExpiredUnusedIsNew(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(t *testing.T, w *world) {
		c := w.begin("a")
		c.must(c.shake(0, 0))
		c.must(c.shake(0, 0))
		time.Sleep(11 * time.Minute) // it has expired a moment ago
		c.must(c.shake(0, 0))
		expect(t, c.epoch, 1)
		expect(t, w.Status(t.Context()).Attached, 1)
		m, sender := c.allocate(), w.begin("b")
		c.open(m.Mailbox)
		sender.open(m.Mailbox)
		expect(t, c.receive(0)[0].Type, "opened")
		_, err := c.w.Acknowledge(t.Context(), rendezvous.Query{Session: c.key, Ack: new(session.Seq(1))})
		c.must(err)
		c.must(c.shake(1, 0))
		expect(t, c.epoch, 2)
	})
}

func TestASidesOwnerIsProtectedUntilItsTombstoneFalls(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		owner := w.begin("a")
		owner.allocate()
		thief := &client{w: w, id: newID(), app: app, side: "a"}
		expect(t, code(t, thief.shake(0, 0)), rendezvous.SideTaken)
		time.Sleep(20 * time.Minute) // the owner expired, and is remembered
		expect(t, code(t, thief.shake(0, 0)), rendezvous.SideTaken)
		heir, err := w.Handshake(t.Context(), rendezvous.Handshake{ID: thief.id, App: app, Side: "a", Replaces: &owner.id})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute) // the heir did nothing else, and expired: it still owns the side
		third := newID()
		_, err = w.Handshake(t.Context(), rendezvous.Handshake{ID: third, App: app, Side: "a", Replaces: &owner.id})
		expect(t, code(t, err), rendezvous.SideTaken)
		_, err = w.Handshake(t.Context(), rendezvous.Handshake{ID: third, App: app, Side: "a", Replaces: &heir.ID})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// A handshake that replaces a session and names no side takes over that session's side, live or ended.
func TestReplacingWithoutASideTakesTheSideOver(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		a, peer, mailbox := pair(w)
		replace := func(old session.ID) rendezvous.HandshakeReply {
			t.Helper()
			reply, err := w.Handshake(t.Context(), rendezvous.Handshake{ID: newID(), App: app, Replaces: &old})
			if err != nil {
				t.Fatal(err)
			}
			expect(t, reply.Side, a.side)
			return reply
		}
		heir := replace(a.id)
		expect(t, w.state(a.key), "closed: replaced")
		command := rendezvous.Command{Session: heir.ID.Key()}
		if _, err := w.Open(t.Context(), command, mailbox, rendezvous.OpenRequest{}); err != nil { // it is not crowded out of its own mailbox
			t.Fatal(err)
		}
		if _, err := w.End(t.Context(), command, nil); err != nil {
			t.Fatal(err)
		}
		replace(heir.ID)

		other, err := w.Handshake(t.Context(), rendezvous.Handshake{ID: newID(), App: "another app", Replaces: &peer.id})
		if err != nil {
			t.Fatal(err)
		}
		expect(t, other.Side == peer.side, false)
		expect(t, w.state(peer.key), "attached")
	})
}

// An end with a mood, after one without, leaves what that left to the side: unless it is another session's by then. Whether
// it is repeated or not, it is answered alike.
func TestAMoodAfterTheEndStillLeaves(t *testing.T) {
	for name, tt := range map[string]struct {
		taken bool   // another session takes the side over before the mood comes
		left  int    // nameplates that the side holds in the end
		heard string // by its peer
	}{
		"the side is still its own":    {false, 0, "[closed happy]"},
		"another session took it over": {true, 1, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, w *world) {
				a, b := w.begin("a"), w.begin("b")
				a.claim("4")
				a.open("m")
				b.open("m")
				heir := &client{w: w, id: newID(), app: app, side: "a"}
				heir.key = heir.id.Key()
				takeOver := func() {
					_, err := w.Handshake(t.Context(), rendezvous.Handshake{ID: heir.id, App: app, Side: "a", Replaces: &a.id})
					heir.must(err)
				}
				happy := rendezvous.Happy
				for i, mood := range []*rendezvous.Mood{nil, nil, &happy, &happy, nil} {
					if i == 2 && tt.taken {
						takeOver()
					}
					_, err := w.End(t.Context(), a.command(), mood)
					a.must(err)
				}
				if !tt.taken {
					takeOver()
				}
				holds, err := w.Session(t.Context(), rendezvous.Query{Session: heir.key})
				heir.must(err)
				expect(t, len(holds.Result.Nameplates), tt.left)
				expect(t, len(holds.Result.Mailboxes), 2*tt.left) // that of the nameplate is one
				got, err := w.Receive(t.Context(), rendezvous.ReceiveRequest{Session: b.key, Wait: new(time.Duration)})
				b.must(err)
				var heard []string
				for _, f := range frames(t, got) {
					heard = append(heard, f.Type+" "+f.Mood)
				}
				expect(t, fmt.Sprint(heard), tt.heard)
			})
		})
	}
}

func TestReplacingEndsTheOldSessionInTheSameTransaction(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		old := w.begin("a")
		claimed := old.allocate()
		old.open(claimed.Mailbox)
		ended := make(chan error)
		go func() {
			_, err := old.poll(context.Background(), 0)
			ended <- err
		}()
		synctest.Wait()
		fresh := &client{w: w, id: newID(), app: app, side: "a"}
		fresh.key = fresh.id.Key()
		welcome, err := w.Handshake(t.Context(), rendezvous.Handshake{ID: fresh.id, App: app, Side: "a", Replaces: &old.id})
		fresh.must(err)
		expect(t, welcome.Resumed, false)
		expect(t, code(t, <-ended), rendezvous.SessionEnded) // at once
		expect(t, w.state(old.key), "closed: replaced")
		fresh.add(claimed.Mailbox, "the side goes on")
	})
}

func TestASessionThatWasForgottenIsNotBegunAgain(t *testing.T) {
	t.Parallel()
	bubble(t, shortTombstones, func(t *testing.T, w *world) {
		c := w.begin("a")
		c.allocate()                          // done, but the reply is lost: its counters are still 0
		time.Sleep(w.Config.TombstoneTTL * 2) // the session expired, and its tombstone fell
		_, err := w.Handshake(t.Context(), rendezvous.Handshake{ID: c.id, App: app, Epoch: 1})
		expect(t, code(t, err), rendezvous.SessionStateMismatch)
	})
}

func TestAReturnAfterASilenceIsWrittenAtOnce(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		c := w.begin("a")
		time.Sleep(8*time.Minute + 5*time.Second)
		back := time.Now()
		overview, err := w.Session(t.Context(), rendezvous.Query{Session: c.key})
		c.must(err)
		expect(t, overview.Result.WasDetached, true)
		time.Sleep(time.Second)
		err = w.store.View(t.Context(), func(tx rendezvous.Tx) error {
			stored, err := tx.Session(c.key)
			expect(t, stored.Seen.UnixMilli(), back.UnixMilli())
			return err
		})
		c.must(err)
	})
}

func TestASidesTombstonesFallTogether(t *testing.T) {
	bubble(t, func(c *rendezvous.Config) { c.Limits.AddressSessions = 2 }, func(t *testing.T, w *world) {
		shake := func(side rendezvous.Side, address string, replaces *session.ID) *client {
			t.Helper()
			c := &client{w: w, id: newID(), app: app, side: side}
			c.key = c.id.Key()
			_, err := w.Handshake(t.Context(), rendezvous.Handshake{ID: c.id, App: app, Side: side, Address: address, Replaces: replaces})
			c.must(err)
			c.allocate()
			time.Sleep(time.Second)
			return c
		}
		older := shake("a", "here", nil)
		newer := shake("a", "there", &older.id)
		happy := rendezvous.Happy
		end := func(c *client) {
			t.Helper()
			_, err := w.End(t.Context(), c.command(), &happy)
			c.must(err)
			time.Sleep(time.Second)
		}
		end(newer)
		end(shake("b", "there", nil))
		end(shake("c", "there", nil)) // and newer's tombstone makes way, as the oldest of its address
		expect(t, w.state(newer.key), string(rendezvous.SessionUnknown))
		expect(t, w.state(older.key), string(rendezvous.SessionUnknown))
		shake("a", "there", &newer.id) // the session that had the side last is not told that another has it
	})
}

// deserted is a store whose callers leave as soon as their transaction has begun.
type deserted struct {
	rendezvous.Store
	on   *atomic.Bool
	done *sync.WaitGroup
}

func (s deserted) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	if !s.on.Load() {
		return s.Store.Update(ctx, f)
	}
	s.done.Go(func() { _ = s.Store.Update(context.WithoutCancel(ctx), f) })
	return context.Canceled
}

// TestACallerThatLeavesLosesNothing covers a request whose client hangs up while its transaction runs.
// The transaction completes all the same, and shares nothing with the caller that left.
func TestACallerThatLeavesLosesNothing(t *testing.T) {
	var on atomic.Bool
	var done sync.WaitGroup
	leave := func(s rendezvous.Store) rendezvous.Store { return deserted{s, &on, &done} }
	bubbleOn(t, nil, leave, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		held := b.park(t.Context(), 0)
		on.Store(true)
		_, err := w.Add(t.Context(), a.command(), mailbox, rendezvous.Draft{Phase: "p", Body: "done"})
		expect(t, errors.Is(err, context.Canceled), true)
		_, err = w.ClaimFor(t.Context(), rendezvous.SideRef{App: app, Side: "c"}, "77777")
		expect(t, errors.Is(err, context.Canceled), true)
		done.Wait()
		on.Store(false)
		expect(t, frames(t, (<-held).got)[0].Body, "done") // and its reader was woken
		_, err = w.ClaimFor(t.Context(), rendezvous.SideRef{App: app, Side: "c"}, "77777")
		b.must(err)
	})
}
