package rendezvous_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"restante/rendezvous"
	"restante/session"
)

// outcome is the result of a receive in the background, and when it came.
type outcome struct {
	got rendezvous.Delivery
	err error
	at  time.Time
}

// park polls in the background. It returns once the poll is held.
func (c *client) park(ctx context.Context, ack session.Seq) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		got, err := c.poll(ctx, ack)
		done <- outcome{got, err, time.Now()}
	}()
	synctest.Wait()
	return done
}

// pair begins two sessions that have one mailbox open.
func pair(w *world) (a, b *client, mailbox rendezvous.MailboxID) {
	w.t.Helper()
	a, b = w.begin("a"), w.begin("b")
	claimed := a.allocate()
	b.claim(claimed.Nameplate)
	a.open(claimed.Mailbox)
	b.open(claimed.Mailbox)
	return a, b, claimed.Mailbox
}

func TestAnAddWakesAParkedReceiveAtOnce(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		held := b.park(t.Context(), 0)
		time.Sleep(7 * time.Second)
		added := time.Now()
		a.add(mailbox, "hello")
		got := <-held
		b.must(got.err)
		expect(t, got.at.Sub(added), 0)
		expect(t, frames(t, got.got)[0].Body, "hello")
	})
}

func TestASessionIsNotSentWhatItDidItself(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w) // a opened first, so it saw b open
		a.add(mailbox, "from a")
		b.add(mailbox, "from b")
		b.close(mailbox, rendezvous.Scary)
		got := a.receive(0)
		expect(t, len(got), 3)
		expect(t, got[0], frame{Seq: 0, Type: "opened", Mailbox: string(mailbox), Side: "b"})
		expect(t, got[1].Body, "from b")
		expect(t, got[2], frame{Seq: 2, Type: "closed", Mailbox: string(mailbox), Side: "b", Mood: "scary"})
	})
}

func TestALostResponseCostsNothing(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		for _, body := range []string{"one", "two", "three"} {
			a.add(mailbox, body)
		}
		first, err := b.poll(t.Context(), 0)
		b.must(err)
		again, err := b.poll(t.Context(), 0)
		b.must(err)
		expect(t, bytes.Equal(bytes.Join(first.Frames, nil), bytes.Join(again.Frames, nil)), true)

		// Also when the mailbox has been retired in between.
		a.close(mailbox, rendezvous.Happy)
		_, err = w.End(t.Context(), a.command(), nil)
		a.must(err)
		time.Sleep(time.Minute) // whatever is written lazily is written
		retired, err := b.poll(t.Context(), 0)
		b.must(err)
		expect(t, bytes.Equal(bytes.Join(first.Frames, nil), bytes.Join(retired.Frames[:3], nil)), true)

		// And an acknowledgement forgets what is below it only.
		rest, err := b.poll(t.Context(), 2)
		b.must(err)
		expect(t, bytes.Equal(rest.Frames[0], first.Frames[2]), true)
	})
}

func TestAnOldReaderGetsItsOldFramesAndThenRetired(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		a.add(mailbox, "old")
		for _, c := range []*client{a, b} { // neither closes; both fall silent, b survives long enough
			_, err := w.Handshake(t.Context(), rendezvous.Handshake{ID: c.id, App: app, Grace: 10 * time.Hour, NextExpected: 0})
			c.must(err)
			c.epoch++
		}
		_, err := w.End(t.Context(), a.command(), nil)
		a.must(err)
		time.Sleep(time.Hour)
		fresh := w.begin("c")
		fresh.open(mailbox)
		fresh.add(mailbox, "new")
		time.Sleep(time.Second) // the count may be half a second old
		expect(t, w.Status(t.Context()).Counts.Messages, 1)

		got := b.receive(0)
		expect(t, len(got), 2)
		expect(t, got[0].Body, "old")
		expect(t, got[1], frame{Seq: 1, Type: "retired", Mailbox: string(mailbox), Reason: "pruned", Last: 1})
		b.open(mailbox) // another mailbox of the same id, with nothing of the old one
		got = b.receive(2)
		expect(t, len(got), 1)
		expect(t, got[0].Body, "new")
		expect(t, got[0].Position, 1)
	})
}

func TestAReaderThatClaimedBeforeItsPeerClosedFindsTheMessages(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		a, b := w.begin("a"), w.begin("b")
		claimed := a.allocate()
		b.claim(claimed.Nameplate)
		a.open(claimed.Mailbox)
		a.add(claimed.Mailbox, "for b")
		happy := rendezvous.Happy
		_, err := w.End(t.Context(), a.command(), &happy)
		a.must(err)
		b.open(claimed.Mailbox)
		expect(t, b.receive(0)[0].Body, "for b")
	})
}

func TestTheLaterReceiveOfAnEpochWins(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		first := b.park(t.Context(), 0)
		second := b.park(t.Context(), 0)
		got := <-first
		expect(t, code(t, got.err), rendezvous.Superseded)
		expect(t, failure(t, got.err).SlowDown, true)
		a.add(mailbox, "hello")
		expect(t, frames(t, (<-second).got)[0].Body, "hello")
	})
}

func TestAnOldReceiveThatArrivesLateDoesNotEndTheLivingOne(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		a.add(mailbox, "one")
		b.receive(0)
		living := b.park(t.Context(), 1)
		late := <-b.park(t.Context(), 0) // sent before, delivered after
		expect(t, code(t, late.err), rendezvous.Superseded)
		expect(t, failure(t, late.err).SlowDown, true)
		a.add(mailbox, "two")
		expect(t, frames(t, (<-living).got)[0].Body, "two")
	})
}

func TestADuplicatedTabsOlderCopyIsToldToStopWhicheverPollsLast(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		a, older, mailbox := pair(w)
		held := older.park(t.Context(), 0)
		newer := *older // the tab is duplicated with its state
		handshake := time.Now()
		newer.must(newer.shake(0, 0))
		got := <-held
		expect(t, got.at.Sub(handshake), 0)
		expect(t, code(t, got.err), rendezvous.Superseded)
		expect(t, failure(t, got.err).SlowDown, false)

		living := newer.park(t.Context(), 0)
		late := <-older.park(t.Context(), 0) // and it polls last
		expect(t, code(t, late.err), rendezvous.Superseded)
		expect(t, failure(t, late.err).SlowDown, false)
		a.add(mailbox, "hello")
		expect(t, frames(t, (<-living).got)[0].Body, "hello")
	})
}

func TestAnAcknowledgementOfAnOlderEpochThatArrivesLateChangesNothing(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		a.add(mailbox, "one")
		expect(t, len(b.receive(0)), 1)
		older := b.epoch
		b.must(b.shake(0, 0)) // its page is loaded again, and has not stored that it processed the message
		acknowledge := func(epoch session.Epoch) session.Seq {
			kept, err := w.Acknowledge(t.Context(), rendezvous.Query{Session: b.key, Ack: new(session.Seq(1)), Epoch: &epoch})
			b.must(err)
			return kept.Result
		}
		expect(t, acknowledge(older), 0)
		command := b.command()
		command.Ack, command.Epoch = new(session.Seq(1)), &older
		_, err := w.Allocate(t.Context(), command, 0)
		b.must(err)
		expect(t, b.receive(0)[0].Body, "one")
		expect(t, acknowledge(b.epoch), 1)
	})
}

func TestAReceiveOfAnEpochThatHasNotBegunIsRefused(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		c := w.begin("a")
		c.epoch = 2
		_, err := c.poll(t.Context(), 0)
		expect(t, code(t, err), rendezvous.SessionStateMismatch)
	})
}

func TestAClientThatDisconnectsFreesItsSeatAtOnce(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		c := w.begin("a")
		ctx, hangUp := context.WithCancel(t.Context())
		held := c.park(ctx, 0)
		expect(t, w.Stats().Parked.Load(), 1)
		hangUp()
		got := <-held
		expect(t, errors.Is(got.err, context.Canceled), true)
		expect(t, w.Stats().Parked.Load(), 0)
		time.Sleep(w.Config.HeartbeatInterval * 2)
		expect(t, w.state(c.key), "detached") // counted from when it hung up
	})
}

func TestAReceiveEndsWithItsSession(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		c := w.begin("a")
		held := c.park(t.Context(), 0)
		_, err := w.End(t.Context(), c.command(), nil)
		c.must(err)
		expect(t, code(t, (<-held).err), rendezvous.SessionEnded)
		_, err = w.End(t.Context(), c.command(), nil)
		c.must(err) // ending it again is fine
	})
}

func TestAStopReleasesReceivesOverAShortSpan(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		held := map[string][]<-chan outcome{}
		for i := range 20 {
			held["receives"] = append(held["receives"], w.begin(rendezvous.Side(newID().Reveal())).park(t.Context(), 0))
			held["reads of logs"] = append(held["reads of logs"], w.job(fmt.Sprint(i)).parkRead(rendezvous.MailboxID(fmt.Sprint(i)), time.Hour))
		}
		stop := time.Now()
		w.Drain()
		for what, held := range held {
			spread := map[time.Duration]bool{}
			for _, h := range held {
				got := <-h
				if got.err != nil || len(got.got.Frames) > 0 {
					t.Errorf("%s: not a heartbeat: %v", what, got)
				}
				took := got.at.Sub(stop)
				if took > w.Config.DrainSpan {
					t.Errorf("%s: released after %v", what, took)
				}
				spread[took] = true
			}
			if len(spread) < 10 {
				t.Errorf("20 %s were released at %d moments only", what, len(spread))
			}
		}
		_, err := w.StartRead(t.Context(), w.job("late").side, rendezvous.ReadRequest{Mailbox: "late", Limit: 100, Open: true, Wait: time.Hour})
		expect(t, code(t, err), rendezvous.Draining)
		c := &client{w: w, id: newID(), app: app, side: "late"}
		expect(t, code(t, c.shake(0, 0)), rendezvous.Draining)
		expect(t, code(t, w.Ready(t.Context())), rendezvous.Draining)
	})
}

func TestAnAcknowledgementIsWrittenLazilyAndACrashMayLoseIt(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		a.add(mailbox, "one")
		a.add(mailbox, "two")
		b.receive(0)
		zero := time.Duration(0)
		one := session.Seq(1)
		if _, err := w.Receive(t.Context(), rendezvous.ReceiveRequest{Session: b.key, Ack: &one, Wait: &zero}); err != nil {
			t.Fatal(err)
		}
		stored := func() (kept session.Seq) {
			err := w.store.View(t.Context(), func(tx rendezvous.Tx) error {
				s, err := tx.Session(b.key)
				kept = s.Kept
				return err
			})
			b.must(err)
			return kept
		}
		expect(t, stored(), 0)
		expect(t, code(t, b.shake(0, 0)), rendezvous.SessionStateMismatch) // it counts at once where it was received
		time.Sleep(time.Second)
		expect(t, stored(), 1)
		expect(t, code(t, b.shake(0, 0)), rendezvous.SessionStateMismatch)

		two := session.Seq(2)
		if _, err := w.Receive(t.Context(), rendezvous.ReceiveRequest{Session: b.key, Ack: &two, Wait: &zero}); err != nil {
			t.Fatal(err)
		}
		w.crash()
		expect(t, stored(), 1)
		b.must(b.shake(1, 0)) // a client that lost it, too, may still go back
		expect(t, len(b.receive(1)), 1)
	})
}

func TestAWindowThatIsFullIsToldOnceAndEndsTheSessionAtTwice(t *testing.T) {
	bubble(t, func(c *rendezvous.Config) { c.Limits.WindowFrames = 10 }, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		comeAndGo := func() { // is two frames
			a.close(mailbox, rendezvous.Happy)
			a.open(mailbox)
		}
		for range 6 {
			comeAndGo()
		}
		_, err := b.poll(t.Context(), 0)
		expect(t, code(t, err), rendezvous.WindowFull)
		expect(t, len(b.receive(0)), 12) // told once; then it can catch up
		b.must(b.shake(12, 0))
		for range 9 {
			comeAndGo()
			expect(t, w.state(b.key), "attached")
		}
		comeAndGo() // its peer succeeds all the same
		expect(t, w.state(b.key), "closed: overflow")
		expect(t, w.Stats().Overflowed.Load(), 1)
		_, err = b.poll(t.Context(), 12)
		expect(t, code(t, err), rendezvous.SessionEnded)
	})
}

// The log holds messages anyway, so a reader that is far behind costs nothing and loses nothing.
func TestMessagesDoNotFillTheWindow(t *testing.T) {
	t.Parallel()
	bubble(t, func(c *rendezvous.Config) {
		c.Limits.WindowFrames, c.Limits.WindowBytes, c.Limits.AnswerFrames = 10, 100, 40
	}, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		for range 100 {
			a.add(mailbox, "x")
		}
		expect(t, w.state(b.key), "attached")
		var got []frame
		for len(got) < 100 {
			page := b.receive(session.Seq(len(got)))
			expect(t, len(page), min(40, 100-len(got)))
			got = append(got, page...)
		}
		for i, f := range got {
			expect(t, f.Position, rendezvous.Position(i+1))
		}
	})
}

func TestOpeningALongLogReplaysItPageByPage(t *testing.T) {
	bubble(t, func(c *rendezvous.Config) { c.Limits.WindowFrames, c.Limits.AnswerFrames = 10, 4 }, func(t *testing.T, w *world) {
		a, b := w.begin("a"), w.begin("b")
		claimed := a.allocate()
		b.claim(claimed.Nameplate)
		a.open(claimed.Mailbox)
		for range 12 {
			a.add(claimed.Mailbox, "x")
		}
		_, err := w.Open(t.Context(), b.command(), claimed.Mailbox, rendezvous.OpenRequest{After: 2})
		b.must(err)
		a.add(claimed.Mailbox, "y")
		for ack := session.Seq(0); ack < 11; ack += 4 {
			got := b.receive(ack)
			expect(t, len(got), min(4, int(11-ack)))
			expect(t, got[0].Position, rendezvous.Position(ack)+3)
		}
	})
}

func TestAnAnswerIsBoundedInFramesAndBytes(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		for range 150 {
			a.add(mailbox, "x")
		}
		expect(t, len(b.receive(0)), 100)
		large := strings.Repeat("y", 60<<10)
		for range 6 {
			a.add(mailbox, large)
		}
		expect(t, len(b.receive(150)), 4) // of 60 KiB each, and 256 KiB in all
	})
}

func TestOpeningAgainChangesNothing(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		a.add(mailbox, "one")
		b.open(mailbox)
		b.open(mailbox)
		expect(t, len(b.receive(0)), 1)
		expect(t, len(a.receive(0)), 1) // b opened once
		b.close(mailbox, rendezvous.Happy)
		a.add(mailbox, "two")
		b.open(mailbox) // enters again, and replays
		got := b.receive(1)
		expect(t, len(got), 2)
		expect(t, got[1].Body, "two")
	})
}

func failure(t testing.TB, err error) *rendezvous.Failure {
	t.Helper()
	var f *rendezvous.Failure
	if !errors.As(err, &f) {
		t.Fatalf("not a Failure: %v", err)
	}
	return f
}

func TestASessionIsQuietUntilItHasFramesAndAWhileAfter(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		quiet := func() bool {
			t.Helper()
			held, err := w.StartPoll(t.Context(), rendezvous.ReceiveRequest{Session: b.key})
			b.must(err)
			defer held.Close()
			return held.IdleFor(2 * time.Second)
		}
		expect(t, quiet(), true)
		a.add(mailbox, "hello")
		expect(t, len(b.receive(0)), 1)
		expect(t, quiet(), false)
		time.Sleep(2 * time.Second)
		expect(t, quiet(), true)
	})
}
