package rendezvous_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"restante/rendezvous"
	"restante/session"
)

// watcher is a session that has asked what the other side of a mailbox does.
type watcher struct {
	*client

	ack   session.Seq
	heard []frame
}

// watches begins a session that opens a mailbox and wants to be told everything.
func (w *world) watches(side rendezvous.Side, id rendezvous.MailboxID) *watcher {
	w.t.Helper()
	c := w.begin(side)
	request := rendezvous.OpenRequest{Watch: rendezvous.Watch{Presence: true, Receipts: true}}
	_, err := w.Open(context.Background(), c.command(), id, request)
	c.must(err)
	return &watcher{client: c}
}

// listen takes what there is by now, and returns it in short.
func (w *watcher) listen() (list []string) {
	w.w.t.Helper()
	none := time.Duration(0)
	for {
		got, err := w.w.Receive(context.Background(), rendezvous.ReceiveRequest{Session: w.key, Ack: &w.ack, Wait: &none})
		w.must(err)
		if len(got.Frames) == 0 {
			return list
		}
		for _, f := range frames(w.w.t, got) {
			w.heard = append(w.heard, f)
			switch f.Type {
			case "presence":
				list = append(list, f.Side+" "+f.State+" "+f.Reason)
			case "received":
				list = append(list, fmt.Sprintf("%s received %d", f.Side, f.Position))
			default:
				list = append(list, f.Type)
			}
		}
		w.ack += session.Seq(len(got.Frames))
	}
}

// hears expects these frames within a second and a half, and no others.
func (w *watcher) hears(want ...string) {
	w.w.t.Helper()
	time.Sleep(1500 * time.Millisecond)
	if got := w.listen(); fmt.Sprint(got) != fmt.Sprint(want) {
		w.w.t.Errorf("%s hears %q, want %q", w.side, got, want)
	}
}

// lives lets time pass in which a client is heard of every ten seconds.
func (c *client) lives(d time.Duration, also ...*client) {
	c.w.t.Helper()
	for until := time.Now().Add(d); time.Now().Before(until); time.Sleep(min(10*time.Second, time.Until(until))) {
		for _, c := range append(also, c) {
			_, err := c.w.Session(context.Background(), rendezvous.Query{Session: c.key})
			c.must(err)
		}
	}
}

func TestPresence(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(t *testing.T, w *world) {
		a := w.watches("a", "m")
		a.hears()
		b := w.begin("b")
		b.open("m")
		a.hears("opened", "b here ")
		b.lives(5*time.Minute, a.client)
		a.hears()

		b.lives(time.Second)
		a.lives(47 * time.Second)
		a.hears()
		a.hears("b away silent") // 51 seconds after its last sign of life
		expect(t, w.state(b.key), "detached")
		b.lives(time.Second)
		a.hears("b here ")
		seen, err := w.Mailbox(t.Context(), rendezvous.Query{Session: a.key}, "m")
		a.must(err)
		expect(t, seen.Result.Sides[1], rendezvous.SideView{Side: "b", Attendance: rendezvous.Here})

		_, err = w.End(t.Context(), b.command(), nil)
		b.must(err)
		a.hears("b away deleted")
		next := &client{w: w, id: newID(), app: app, side: "b"}
		next.key = next.id.Key()
		if _, err := w.Handshake(t.Context(), rendezvous.Handshake{ID: next.id, App: app, Side: "b", Replaces: &b.id}); err != nil {
			t.Fatal(err)
		}
		a.hears("b here ")
		next.close("m", rendezvous.Happy)
		next.open("m")
		a.hears("closed", "opened")
	})
}

// What one side has asked for costs the other nothing, and it can ask later.
func TestPresenceIsToldOnRequest(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		a, plain := w.watches("a", "m"), w.begin("b")
		plain.open("m")
		b := &watcher{client: plain}
		b.hears()
		expect(t, fmt.Sprint(a.listen()), "[opened b here ]")
		plain.add("m", "x")
		b.hears()
		expect(t, fmt.Sprint(a.listen()), "[message b received 1]")
		_, err := w.Open(t.Context(), b.command(), "m", rendezvous.OpenRequest{Watch: rendezvous.Watch{Presence: true}})
		b.must(err)
		expect(t, fmt.Sprint(b.listen()), "[a here ]")
		_, err = w.Open(t.Context(), b.command(), "m", rendezvous.OpenRequest{Watch: rendezvous.Watch{Presence: true, Receipts: true}})
		b.must(err)
		b.hears("a received 1")
		_, err = w.Open(t.Context(), b.command(), "m", rendezvous.OpenRequest{}) // which changes nothing
		b.must(err)
		b.hears()
		w.begin("c").open("other") // where none is told anything
	})
}

// The first that is told of a side is so, also if the side has been away for long.
func TestASideThatIsAwayIsToldSo(t *testing.T) {
	t.Parallel()
	slow := func(c *rendezvous.Config) { c.MailboxTTL, c.PruneInterval = time.Hour, 24*time.Hour }
	for away, want := range map[time.Duration]string{
		55 * time.Second: "b away silent",
		5 * time.Minute:  "b away silent",
		15 * time.Minute: "b away expired",
	} {
		t.Run(away.String(), func(t *testing.T) {
			bubble(t, slow, func(_ *testing.T, w *world) {
				w.begin("b").open("m")
				time.Sleep(away)
				a := w.watches("a", "m")
				a.hears(want)
				a.lives(time.Minute)
				a.hears()
			})
		})
	}
	t.Run("on replicas", func(t *testing.T) {
		replicated(t, slow, func(_ *testing.T, r *replicas) {
			r.b.begin("b").open("m")
			time.Sleep(5 * time.Minute)
			a := r.a.watches("a", "m")
			a.hears("b away silent")
		})
	})
}

// A side learns how the session of the other one ended, also after it was silent.
func TestASessionThatEndsOfItselfIsTold(t *testing.T) {
	t.Parallel()
	small := func(c *rendezvous.Config) {
		c.Limits.WindowFrames, c.SessionGrace, c.MailboxTTL = 4, time.Minute, time.Hour
	}
	t.Run("by silence", func(t *testing.T) {
		bubble(t, small, func(_ *testing.T, w *world) {
			a, b := w.watches("a", "m"), w.begin("b")
			b.open("m")
			a.hears("opened", "b here ")
			a.lives(time.Minute)
			a.hears("b away silent")
			a.lives(4 * time.Minute)
			a.hears("b away expired")
		})
	})
	t.Run("by overflow", func(t *testing.T) {
		bubble(t, small, func(_ *testing.T, w *world) {
			a, b := w.watches("a", "m"), w.begin("b")
			b.open("m")
			b.open("busy")
			a.hears("opened", "b here ")
			noisy := w.begin("noisy")
			for range 4 {
				noisy.open("busy")
				noisy.close("busy", rendezvous.Happy)
			}
			a.hears("b away overflow")
		})
	})
}

func TestReceipts(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(t *testing.T, w *world) {
		a, b := w.watches("a", "m"), w.begin("b")
		b.open("m")
		a.hears("opened", "b here ")
		for range 20 {
			a.add("m", "x")
		}
		a.hears()
		receive := func(ack session.Seq) {
			none := time.Duration(0)
			_, err := w.Receive(t.Context(), rendezvous.ReceiveRequest{Session: b.key, Ack: &ack, Wait: &none})
			b.must(err)
		}
		receive(7)
		a.hears("b received 7")
		for ack := session.Seq(8); ack <= 20; ack++ { // one by one, within two seconds
			receive(ack)
			time.Sleep(150 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		list := a.listen()
		if len(list) < 2 || len(list) > 4 || list[len(list)-1] != "b received 20" {
			t.Errorf("of 13 acknowledgements in two seconds, it is told %q", list)
		}
		b.add("m", "y") // its own count as processed
		a.hears("message", "b received 21")
		receive(20)
		a.hears()
		seen, err := w.Mailbox(t.Context(), rendezvous.Query{Session: a.key}, "m")
		a.must(err)
		expect(t, seen.Result.Sides[1].Received, 21)
	})
}

// What a side acknowledges and closes at once is told before its close.
func TestTheLastReceiptComesBeforeTheClose(t *testing.T) {
	for name, acknowledge := range map[string]func(c *client, ack session.Seq) *session.Seq{
		"with the close": func(_ *client, ack session.Seq) *session.Seq { return &ack },
		"a moment before": func(c *client, ack session.Seq) *session.Seq {
			_, err := c.poll(context.Background(), ack)
			c.must(err)
			return nil
		},
		"not by this epoch": nil,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, w *world) {
				a, b := w.watches("a", "m"), w.begin("b")
				b.open("m")
				a.hears("opened", "b here ")
				for range 3 {
					a.add("m", "x")
				}
				last := b.command()
				want := []string{"b received 2", "closed"}
				if acknowledge == nil {
					b.must(b.shake(0, 0))
					last.Ack, last.Epoch = new(session.Seq(2)), new(session.Epoch(1))
					want = want[1:]
				} else {
					last.Ack = acknowledge(b, 2)
				}
				_, err := w.Close(t.Context(), last, "m", rendezvous.Happy)
				b.must(err)
				a.hears(want...)
				seen, err := w.Mailbox(t.Context(), rendezvous.Query{Session: a.key}, "m")
				a.must(err)
				expect(t, seen.Result.Sides[1].Received, rendezvous.Position(2*(len(want)-1)))
			})
		})
	}
}

// A side that closes a mailbox which it has only claimed has received nothing.
func TestASideThatOnlyClaimedHasReceivedNothing(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		one := w.begin("a")
		claimed := one.allocate()
		_, err := w.Open(t.Context(), one.command(), claimed.Mailbox, rendezvous.OpenRequest{Watch: rendezvous.Watch{Receipts: true}})
		one.must(err)
		one.add(claimed.Mailbox, "x")
		b := w.begin("b")
		b.claim(claimed.Nameplate)
		b.close(claimed.Mailbox, rendezvous.Happy)
		(&watcher{client: one}).hears("closed")
	})
}

func TestCrowdedIsToldOnceInAWhile(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(t *testing.T, w *world) {
		a, b := w.watches("a", "m"), w.watches("b", "m")
		a.hears("opened", "b here ")
		b.hears("a here ")
		plain, third := w.begin("plain"), w.begin("third")
		plain.open("other")
		w.begin("second").open("other")
		for range 5 {
			for _, id := range []rendezvous.MailboxID{"m", "other"} {
				_, err := w.Open(t.Context(), third.command(), id, rendezvous.OpenRequest{})
				expect(t, code(t, err), rendezvous.Crowded)
			}
		}
		a.hears("crowded")
		b.hears("crowded")
		(&watcher{client: plain}).hears("opened")
		a.lives(time.Minute, b.client)
		_, err := w.Open(t.Context(), third.command(), "m", rendezvous.OpenRequest{})
		expect(t, code(t, err), rendezvous.Crowded)
		a.hears("crowded")
	})
	bubble(t, nil, func(t *testing.T, w *world) { // by a nameplate
		one := w.begin("a")
		claimed := one.allocate()
		w.begin("b").claim(claimed.Nameplate)
		_, err := w.Open(t.Context(), one.command(), claimed.Mailbox, rendezvous.OpenRequest{Watch: rendezvous.Watch{Presence: true}})
		one.must(err)
		a := &watcher{client: one}
		a.hears("b here ")
		third := w.begin("third")
		for range 3 {
			_, err := w.Claim(t.Context(), third.command(), claimed.Nameplate, 0)
			expect(t, code(t, err), rendezvous.Crowded)
		}
		a.hears("crowded")
	})
}

// A history of a client that comes and goes, between two replicas that are killed and lose news. Its peer is told each change
// once, the replies to GET say the same, and what it was told last is true.
func TestPresenceIsTrueInTheEnd(t *testing.T) {
	t.Parallel()
	histories := 1
	if os.Getenv("RESTANTE_NIGHTLY") != "" {
		histories = 10
	}
	for seed := range histories {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			replicated(t, func(c *rendezvous.Config) { c.MailboxTTL, c.SessionGrace = 24*time.Hour, 2*time.Minute }, func(t *testing.T, r *replicas) {
				luck := rand.New(rand.NewPCG(uint64(seed), 15))
				a := r.a.watches("a", "m")
				b := r.b.begin("b")
				b.open("m")
				ended := false
				for range 15 {
					b.w = []*world{r.a, r.b}[luck.IntN(2)]
					r.lossy.Store(luck.IntN(3) == 0)
					switch luck.IntN(7) {
					case 0: // it is silent for long
						a.lives([]time.Duration{30 * time.Second, time.Minute, 4 * time.Minute}[luck.IntN(3)])
					case 1:
						if !ended {
							_, _ = b.w.End(t.Context(), b.command(), nil) // it may have expired
							ended = true
						}
					case 2, 3:
						if next := (&client{w: b.w, id: newID(), app: app, side: "b"}); ended || b.w.state(b.key) != "attached" {
							next.key = next.id.Key()
							if _, err := b.w.Handshake(t.Context(), rendezvous.Handshake{ID: next.id, App: app, Side: "b", Replaces: &b.id}); err != nil {
								t.Fatal(err)
							}
							b, ended = next, false
						}
					case 4:
						r.kill(t, luck.IntN(2))
						a.w = r.a
					default: // it is there
						for range luck.IntN(5) {
							_, _ = b.w.Session(t.Context(), rendezvous.Query{Session: b.key}) // it may have expired
							a.lives(10 * time.Second)
						}
					}
				}
				want := "here "
				if _, err := b.w.Session(t.Context(), rendezvous.Query{Session: b.key}); err != nil { // a sign of life, or too late
					a.lives(5 * time.Minute)
					if want = "away expired"; ended {
						want = "away deleted"
					}
				}
				a.lives(5 * time.Second)
				a.listen()
				var told []string
				for _, f := range a.heard {
					if f.Type == "presence" {
						if state := f.State + " " + f.Reason; len(told) > 0 && told[len(told)-1] == state {
							t.Errorf("%q is told twice, after %q", state, told)
						} else {
							told = append(told, state)
						}
					}
				}
				if len(told) == 0 || told[len(told)-1] != want {
					t.Errorf("told %q, and at last it is %q", told, want)
				}
				if len(told) > 30 {
					t.Errorf("told %d times of 15 moves: %q", len(told), told)
				}
			})
		})
	}
}

func TestWhatIsToldOfASide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := start0
		m, _ := rendezvous.NewMailbox(app, "m", time.Hour, now).Open("a", now)
		m, _ = m.Open("b", now)
		var told []rendezvous.Attendance
		received, crowded := rendezvous.Position(0), []time.Time{}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "seconds")) * time.Second)
			before := m
			changed := false
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				a := rapid.SampledFrom([]rendezvous.Attendance{rendezvous.Here, rendezvous.Silent, "expired"}).Draw(t, "attendance")
				if m, changed = m.Attend("b", a); changed {
					told = append(told, a)
				}
			case 1:
				p := rendezvous.Position(rapid.IntRange(0, 9).Draw(t, "position"))
				if m, changed = m.Receive("b", p); changed {
					if p <= received {
						t.Fatalf("received %d after %d", p, received)
					}
					received = p
				}
			case 2:
				if m, changed = m.TellCrowded(now); changed {
					crowded = append(crowded, now)
				}
			case 3:
				m = m.Watch(now)
				changed = true
			case 4:
				m, changed = m.Attend("no side", rendezvous.Here)
			}
			if !changed && (m.Sides[1] != before.Sides[1] || m.CrowdedTold != before.CrowdedTold) {
				t.Fatal("nothing is to be told, and something has changed")
			}
		}
		for i := 1; i < len(told); i++ {
			if told[i] == told[i-1] {
				t.Fatalf("%s is told twice", told[i])
			}
		}
		for i := 1; i < len(crowded); i++ {
			if crowded[i].Sub(crowded[i-1]) < time.Minute {
				t.Fatal("crowded is told twice in a minute")
			}
		}
		if len(told) > 0 && m.Sides[1].Attendance != told[len(told)-1] || m.Sides[1].Received != received || len(crowded) > 0 && m.Watched.IsZero() {
			t.Fatalf("the mailbox is %+v", m)
		}
	})
}

var start0 = time.UnixMilli(1_700_000_000_000).UTC()

// A mailbox that another program has damaged, so that it cannot be read, silences no other. PostgreSQL stores no such
// value.
func TestAnUnreadableMailboxSilencesNoOther(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "restante.db")
	synctest.Test(t, func(t *testing.T) {
		w := open(t, path, nil, nil)
		defer func() { w.stop() }()
		var watchers []*watcher
		var others []*client
		for _, id := range []rendezvous.MailboxID{"m", "n", "o"} {
			watchers = append(watchers, w.watches("watches "+rendezvous.Side(id), id))
			others = append(others, w.begin("in "+rendezvous.Side(id)))
			others[len(others)-1].open(id)
		}
		for i, watcher := range watchers {
			watcher.hears("opened", string(others[i].side)+" here ")
		}
		plant(t, path, `UPDATE mailboxes SET ttl = 'for ever' WHERE key = ?`, w.keyOf("n"))
		for _, c := range []*client{others[0], others[2]} {
			_, err := w.End(t.Context(), c.command(), nil)
			c.must(err)
		}
		watchers[0].hears("in m away deleted")
		watchers[2].hears("in o away deleted")
	})
}
