package rendezvous_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"restante/internal/presence"
	"restante/rendezvous"
	"restante/repo"
	"restante/session"
)

// replicas are two worlds on one store. What one announces is lost while lossy is set.
type replicas struct {
	a, b  *world
	lossy atomic.Bool
	run   func(i int)
	// kill replaces a replica by one that remembers nothing. The loops of the old one go on, and its clients are gone.
	kill func(t *testing.T, i int)
}

// replicated runs a test of two replicas, on each engine.
func replicated(t *testing.T, config func(*rendezvous.Config), test func(t *testing.T, r *replicas)) {
	t.Helper()
	replicatedAs(t, func(s *rendezvous.Service) {
		if config != nil {
			config(&s.Config)
		}
	}, test)
}

// replicatedAs is replicated for services that differ in more than their configuration.
func replicatedAs(t *testing.T, prepare func(*rendezvous.Service), test func(t *testing.T, r *replicas)) {
	t.Helper()
	onEngines(t, func(t *testing.T, path string) {
		store, err := repo.Open(t.Context(), repo.Options{URL: path, Now: time.Now, Log: silent, CompareRemembered: true})
		if err != nil {
			t.Fatal(err)
		}
		var r replicas
		var services [2]atomic.Pointer[rendezvous.Service] // an announcement may come while one is replaced
		for i := range services {
			service := &rendezvous.Service{Config: rendezvous.DefaultConfig(), Store: store, Log: silent}
			service.Config.BootGrace = 0
			service.Config.PruneInterval = 24 * time.Hour // tests prune
			prepare(service)
			service.Announce = func(topics []rendezvous.Topic) {
				if !r.lossy.Load() {
					services[1-i].Load().Wake(topics)
				}
			}
			services[i].Store(service)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{}, 2)
		r.run = func(i int) {
			service := services[i].Load()
			go func() {
				service.Run(ctx)
				done <- struct{}{}
			}()
		}
		runs := 2
		for i := range services {
			r.run(i)
		}
		r.kill = func(t *testing.T, i int) {
			t.Helper()
			old := services[i].Load()
			service := &rendezvous.Service{Config: old.Config, Store: store, Log: silent, Announce: old.Announce}
			services[i].Store(service)
			[]*world{r.a, r.b}[i].Service = service
			runs++
			r.run(i)
		}
		defer func() {
			cancel()
			for range runs {
				<-done
			}
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}()
		r.a = &world{Service: services[0].Load(), t: t, path: path, store: store}
		r.b = &world{Service: services[1].Load(), t: t, path: path, store: store}
		test(t, &r)
	})
}

var socketSide = rendezvous.SideRef{App: app, Side: "w"}

func (w *world) openFor(id rendezvous.MailboxID) rendezvous.MailboxKey {
	w.t.Helper()
	k, err := w.OpenFor(context.Background(), socketSide, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return k
}

// gone reports whether a mailbox is retired.
func (w *world) gone(k rendezvous.MailboxKey) bool {
	w.t.Helper()
	_, err := w.Tail(context.Background(), k, 0)
	if err != nil && !errors.Is(err, rendezvous.ErrRetired) {
		w.t.Fatal(err)
	}
	return err != nil
}

func TestAMailboxIsNotPrunedUnderASocketOfAnotherReplica(t *testing.T) {
	t.Parallel()
	replicated(t, nil, func(t *testing.T, r *replicas) {
		k := r.b.openFor("m")
		r.b.KeepAlive(k)()
		time.Sleep(11 * time.Minute) // just alive
		expect(t, r.b.openFor("m"), k)
		defer r.b.KeepAlive(k)()
		time.Sleep(5 * time.Second)
		r.a.Prune(t.Context())
		expect(t, r.b.gone(k), false)
		for range 30 {
			time.Sleep(time.Minute)
			r.a.Prune(t.Context())
		}
		expect(t, r.b.gone(k), false)
	})
}

// TestAShortHoldLeavesItsTrace covers a socket that was there between two moments at which open
// mailboxes are recorded.
func TestAShortHoldLeavesItsTrace(t *testing.T) {
	replicated(t, nil, func(t *testing.T, r *replicas) {
		k := r.b.openFor("m")
		release := r.b.KeepAlive(k)
		time.Sleep(39 * time.Second) // before the first of those moments
		release()
		time.Sleep(11*time.Minute + 40*time.Second) // longer than what the opening itself left
		r.a.Prune(t.Context())
		expect(t, r.a.gone(k), false) // it is padded by a minute, and the end counts
		time.Sleep(2 * time.Minute)
		r.a.Prune(t.Context())
		expect(t, r.a.gone(k), true)
	})
}

func TestShortLivesHoldOnSeveralReplicas(t *testing.T) {
	short := func(c *rendezvous.Config) {
		c.MailboxTTL, c.SessionGrace = 5*time.Second, time.Second
	}
	replicated(t, short, func(t *testing.T, r *replicas) {
		c := r.a.begin("a")
		c.open("m")
		k := r.a.keyOf("m")
		socket := r.b.openFor("socket")
		defer r.b.KeepAlive(socket)()
		for i := range 300 {
			time.Sleep(time.Second)
			at := r.b // the client moves to the other replica, and stays there for a while
			if i/45%2 == 1 {
				at = r.a
			}
			_, err := at.Session(t.Context(), rendezvous.Query{Session: c.key})
			c.must(err)
			r.a.Prune(t.Context())
			r.b.Prune(t.Context())
		}
		expect(t, r.a.gone(k), false)
		expect(t, r.a.gone(socket), false)
	})
}

// TestAClientOfAReplicaThatDiedIsStillAlive covers a sign of life that a replica saw and did not live to store.
func TestAClientOfAReplicaThatDiedIsStillAlive(t *testing.T) {
	replicated(t, func(c *rendezvous.Config) { c.SessionGrace = time.Second }, func(t *testing.T, r *replicas) {
		c := r.a.begin("a")
		dies := &rendezvous.Service{Config: r.a.Config, Store: r.a.store, Log: silent, Announce: func([]rendezvous.Topic) {}}
		time.Sleep(39 * time.Second)
		_, err := dies.Session(t.Context(), rendezvous.Query{Session: c.key})
		c.must(err)
		time.Sleep(49 * time.Second) // not silent for long enough to be detached
		r.a.Prune(t.Context())
		expect(t, r.a.state(c.key), "attached")
		time.Sleep(presence.MaxLag)
		expect(t, r.a.state(c.key), "closed: expired")
	})
}

func TestWhatASessionLeavesBehindLivesFromItsEnd(t *testing.T) {
	ends := map[string]func(t *testing.T, w *world, c *client){
		"ended without a mood": func(_ *testing.T, w *world, c *client) {
			_, err := w.End(context.Background(), c.command(), nil)
			c.must(err)
		},
		"ended by the operator": func(t *testing.T, w *world, c *client) { c.must(w.RemoveSession(t.Context(), c.key, "")) },
		"replaced by a session of another side": func(t *testing.T, w *world, c *client) {
			_, err := w.Handshake(t.Context(), rendezvous.Handshake{ID: session.NewID(), App: app, Side: "b", Replaces: &c.id})
			c.must(err)
			time.Sleep(time.Second)
		},
		"expired": func(_ *testing.T, w *world, _ *client) {
			time.Sleep(2 * time.Minute)
			w.Prune(context.Background())
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(c *rendezvous.Config) {
				c.MailboxTTL, c.SessionGrace, c.PruneInterval = 11*time.Minute, time.Second, 24*time.Hour
			}, func(t *testing.T, w *world) {
				c := w.begin("a")
				c.open("m")
				k := w.keyOf("m")
				for range 80 { // in use for half an hour, without a change
					_, err := c.poll(t.Context(), 0)
					c.must(err)
				}
				seen := time.Now()
				end(t, w, c)
				time.Sleep(time.Until(seen.Add(11*time.Minute - time.Second)))
				w.Prune(t.Context())
				expect(t, w.gone(k), false)
				time.Sleep(time.Minute + 2*time.Second)
				w.Prune(t.Context())
				expect(t, w.gone(k), true)
			})
		})
	}
}

// follow follows a mailbox, and returns what ended it and when.
func (w *world) follow(k rendezvous.MailboxKey) <-chan error {
	ended := make(chan error, 1)
	after := rendezvous.Position(0)
	w.Follow(k, func() error {
		messages, err := w.Tail(context.Background(), k, after)
		after += rendezvous.Position(len(messages))
		return err
	}, func(err error) { ended <- err })
	return ended
}

func TestAFollowerLearnsOfARetirement(t *testing.T) {
	replicated(t, nil, func(t *testing.T, r *replicas) {
		k := r.a.openFor("m")
		defer r.a.KeepAlive(k)()
		defer r.b.KeepAlive(k)()
		here, there := r.a.follow(k), r.b.follow(k)
		synctest.Wait()
		time.Sleep(time.Second)
		r.lossy.Store(true)
		closed := time.Now()
		if err := r.a.CloseFor(t.Context(), socketSide, "m", rendezvous.Happy); err != nil {
			t.Fatal(err)
		}
		expect(t, errors.Is(<-here, rendezvous.ErrRetired), true)
		expect(t, time.Since(closed), 0) // at once
		select {
		case err := <-there:
			expect(t, errors.Is(err, rendezvous.ErrRetired), true)
		case <-time.After(r.b.Config.HeartbeatInterval):
			t.Error("the other replica does not find out at its heartbeat")
		}
	})
}

// TestTheEndOfAHoldAsksTheStorage covers news that were lost: they are found at the heartbeat.
func TestTheEndOfAHoldAsksTheStorage(t *testing.T) {
	replicated(t, nil, func(t *testing.T, r *replicas) {
		sender, reader := r.b.begin("s"), r.a.begin("r")
		sender.open("m")
		reader.open("m")
		ack := session.Seq(0)
		short := time.Millisecond
		for range 3 { // what is remembered of its outbox is full
			got, err := r.a.Receive(t.Context(), rendezvous.ReceiveRequest{Session: reader.key, Ack: &ack, Wait: &short})
			reader.must(err)
			ack += session.Seq(len(got.Frames))
		}
		r.lossy.Store(true)
		held := reader.park(t.Context(), ack)
		synctest.Wait()
		sender.add("m", "unheard")
		got := <-held
		reader.must(got.err)
		if len(got.got.Frames) != 1 {
			t.Fatalf("%d frames at the end of the hold", len(got.got.Frames))
		}

		ack++
		stream, first, err := r.a.Stream(t.Context(), rendezvous.ReceiveRequest{Session: reader.key, Ack: &ack})
		reader.must(err)
		defer stream.Close()
		for range 2 {
			sender.add("m", "unheard, too")
			began, found := time.Now(), 0
			for found == 0 && time.Since(began) <= first.NextWait {
				got, _, err := stream.Next(t.Context())
				reader.must(err)
				found += len(got.Frames)
			}
			expect(t, found, 1)
		}
	})
}

// listing is a store that calls a function after sessions to prune were listed, and before they are pruned.
type listing struct {
	rendezvous.Store
	then *atomic.Pointer[func()]
}

func (s listing) View(ctx context.Context, f func(rendezvous.Tx) error) error {
	listed := false
	err := s.Store.View(ctx, func(tx rendezvous.Tx) error { return f(listingTx{tx, &listed}) })
	if listed {
		if then := s.then.Swap(nil); then != nil {
			(*then)()
		}
	}
	return err
}

type listingTx struct {
	rendezvous.Tx
	listed *bool
}

func (t listingTx) SessionsToSweep(now time.Time, after rendezvous.SweepCursor, limit int) ([]rendezvous.SweepCursor, error) {
	*t.listed = limit > 1 // or only the oldest is looked at, to be counted
	return t.Tx.SessionsToSweep(now, after, limit)
}

// TestReplicasThatPruneAtOnceKeepTombstones covers a session that another replica ends between the moment at which it
// is listed and its turn.
func TestReplicasThatPruneAtOnceKeepTombstones(t *testing.T) {
	t.Parallel()
	var then atomic.Pointer[func()]
	between := func(s *rendezvous.Service) {
		s.Config.TombstoneTTL = time.Hour
		s.Store = listing{s.Store, &then}
	}
	replicatedAs(t, between, func(t *testing.T, r *replicas) {
		c := r.a.begin("a")
		c.allocate()
		time.Sleep(20 * time.Minute)
		other := func() { r.b.Prune(t.Context()) }
		then.Store(&other)
		r.a.Prune(t.Context())
		expect(t, r.a.state(c.key), "closed: expired")
		_, err := r.a.Handshake(t.Context(), rendezvous.Handshake{ID: newID(), App: app, Side: "a"})
		expect(t, code(t, err), rendezvous.SideTaken)

		time.Sleep(time.Hour)
		expect(t, r.a.Prune(t.Context()).Retired[rendezvous.KindSession], 1)
		expect(t, r.b.state(c.key), string(rendezvous.SessionUnknown))
	})
}
