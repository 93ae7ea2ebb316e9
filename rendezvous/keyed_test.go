package rendezvous_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"restante/rendezvous"
)

// job is a side without a session: it has a secret, and nothing else.
type job struct {
	w    *world
	side rendezvous.SideRef
}

func (w *world) job(secret string) job {
	return job{w, rendezvous.SideRef{App: app, Side: rendezvous.KeyedSide(app, secret)}}
}

const day = 24 * time.Hour

// report adds a report, as POST …/messages?open=true does. key is its idempotency key, or "".
func (j job) report(text, key string) rendezvous.Answer[rendezvous.Added] {
	j.w.t.Helper()
	c := rendezvous.Command{Keyed: j.side, IdempotencyKey: key, Fingerprint: sha256.Sum256([]byte(text))}
	a, err := j.w.OpenAndAdd(context.Background(), c, "nightly", rendezvous.Draft{Phase: "text", Body: text}, &rendezvous.MailboxOpening{TTL: day})
	if err != nil {
		j.w.t.Fatal(err)
	}
	return a
}

// collect reads what comes after a position, as GET …/messages?open=true does.
func (j job) collect(after rendezvous.Position) rendezvous.Page {
	j.w.t.Helper()
	ask := rendezvous.ReadRequest{Mailbox: "nightly", After: after, Limit: 100, Open: true, TTL: day}
	read, err := j.w.StartRead(context.Background(), j.side, ask)
	if err != nil {
		j.w.t.Fatal(err)
	}
	defer read.Close()
	page, _, err := read.Wait(context.Background(), time.Hour)
	if err != nil {
		j.w.t.Fatal(err)
	}
	return page
}

func texts(page rendezvous.Page) (list []string) {
	for _, m := range page.Messages {
		list = append(list, m.Body)
	}
	return list
}

// A day of jobs that report every hour and keep nothing, and of one that collects every hour and keeps a position.
// Replies are lost, so requests are repeated, the server is restarted between them, and it prunes all the time.
// Nothing is lost, and what has an idempotency key is there once.
func TestACronJobLosesNothingInADay(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(t *testing.T, w *world) {
		hours := 6 // in which each thing happens that a job can meet; a whole day has more of the same
		if os.Getenv("RESTANTE_NIGHTLY") != "" {
			hours = 24
		}
		position, added := rendezvous.Position(0), 0
		collected := map[string]int{}
		collector := func() job { return w.job("of the collector") }
		for hour := range hours {
			// One reporter, at two moments of the hour: without and with an idempotency key.
			for _, key := range []string{"", fmt.Sprintf("key %d", hour)} {
				text := fmt.Sprintf("report %d, %q", hour, key)
				first := w.job("of the reporter").report(text, key)
				added++
				if hour%3 == 0 { // the reply is lost, with the server
					w.restart(nil)
					again := w.job("of the reporter").report(text, key)
					if expect(t, again.Replayed, key != ""); key != "" {
						expect(t, again.Result.Position, first.Result.Position)
					} else {
						added++
					}
				}
				time.Sleep(15 * time.Minute)
			}
			if hour%4 == 1 { // this hour's position is not stored, so the same comes again
				lost := collector().collect(position)
				w.restart(nil)
				expect(t, fmt.Sprint(texts(collector().collect(position))), fmt.Sprint(texts(lost)))
			}
			page := collector().collect(position)
			for _, m := range page.Messages {
				collected[m.Body]++
			}
			position = page.Next
			if whole := collector().collect(0); len(whole.Messages) != added {
				t.Fatalf("in hour %d, a collector that keeps nothing reads %d messages of %d", hour, len(whole.Messages), added)
			}
			time.Sleep(30 * time.Minute)
		}
		expect(t, len(collected), 2*hours)
		for text, times := range collected {
			if strings.Contains(text, "key") && times != 1 {
				t.Errorf("%s is there %d times", text, times)
			}
		}
		expect(t, int(position), added)
	})
}

// A read that waits at one replica is answered when another one has a message. If the news are lost, it finds the
// message when its time is up.
func TestAHeldReadHearsOfAnotherReplica(t *testing.T) {
	replicated(t, nil, func(t *testing.T, r *replicas) {
		r.b.job("reader").collect(0) // it is in
		for _, lossy := range []bool{false, true} {
			r.lossy.Store(lossy)
			last := r.b.job("reader").collect(0).Last
			ask := rendezvous.ReadRequest{Mailbox: "nightly", After: last, Limit: 100, Wait: time.Hour}
			read, err := r.a.StartRead(t.Context(), r.a.job("reader").side, ask)
			if err != nil {
				t.Fatal(err)
			}
			woken := make(chan struct{})
			read.OnReady(func() { close(woken) })
			synctest.Wait()
			began := time.Now()
			time.Sleep(time.Second)
			r.b.job("sender").report("at last", "")
			<-woken
			page, answered, err := read.Wait(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, answered, true)
			expect(t, fmt.Sprint(texts(page)), "[at last]")
			if want := map[bool]time.Duration{false: time.Second, true: r.a.HoldOfReads(r.a.job("reader").side, "nightly")}[lossy]; time.Since(began) != want {
				t.Errorf("with the news lost (%v), it is answered after %v, want %v", lossy, time.Since(began), want)
			}
			read.Close()
		}
		expect(t, r.a.Stats().Parked.Load(), 0)
	})
}

// Only a secret makes a keyed side. No session has it, whatever its handshake says.
func TestAKeyedSideHasNoSession(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		secret := w.job("of the reporter")
		secret.report("report", "")
		thief := &client{w: w, id: newID(), app: app, side: secret.side.Side}
		expect(t, code(t, thief.shake(0, 0)), rendezvous.MalformedHandshake)
		expect(t, w.job("of another").side.Side == secret.side.Side, false)
		expect(t, rendezvous.KeyedSide("another app", "of the reporter") == secret.side.Side, false)
		expect(t, rendezvous.KeyedSide(app+"o", "f the reporter") == secret.side.Side, false) // where one ends and the other begins
		expect(t, len(secret.side.Side), len("k.")+160/5)                                     // 160 bits, in base32
	})
}
