package rendezvous_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/session"
)

// TestAHeartbeatRepairsWhatIsRemembered changes what is stored of a session behind the back of its server, which is alone:
// it answers heartbeats from memory, and asks the storage every five minutes.
func TestAHeartbeatRepairsWhatIsRemembered(t *testing.T) {
	const trusted = 5 * time.Minute
	bubble(t, nil, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		a.add(mailbox, "one")
		expect(t, len(b.receive(0)), 1)
		behind := func(seq session.Seq) {
			t.Helper()
			b.must(w.store.Update(t.Context(), func(tx rendezvous.Tx) error {
				return tx.Complete(b.key, seq, rendezvous.Reply{Outcome: []byte("{}")})
			}))
		}
		heartbeat := func() rendezvous.Delivery {
			t.Helper()
			got := <-b.park(t.Context(), 1)
			b.must(got.err)
			expect(t, len(got.got.Frames), 0)
			return got.got
		}
		began := time.Now()
		behind(0)
		expect(t, heartbeat().Wanted, 0) // it did not ask the storage
		for heartbeat().Wanted == 0 {
			if time.Since(began) > trusted+w.Config.HeartbeatInterval {
				t.Fatal("the storage is not asked")
			}
		}
		held := b.park(t.Context(), 1)
		a.add(mailbox, "two")
		got := <-held
		b.must(got.err)
		expect(t, len(got.got.Frames), 1)
		expect(t, got.got.Wanted, 1)

		ack := session.Seq(2)
		stream, _, err := w.Stream(t.Context(), rendezvous.ReceiveRequest{Session: b.key, Ack: &ack})
		b.must(err)
		defer stream.Close()
		began = time.Now()
		behind(1)
		for wanted := session.Seq(1); wanted == 1; {
			got, beat, err := stream.Next(t.Context())
			b.must(err)
			expect(t, beat, true)
			stream.Alive()
			if wanted = got.Wanted; time.Since(began) > trusted+w.Config.HeartbeatInterval {
				t.Fatal("the storage is not asked")
			}
		}
	})
}

// TestNewsForgetWhatIsRemembered has a message come from elsewhere: what is remembered of its readers and of its log says
// that there is none, until the news of it come.
func TestNewsForgetWhatIsRemembered(t *testing.T) {
	for name, tell := range map[string]func(w *world, topics []rendezvous.Topic){
		"of a topic":    func(w *world, topics []rendezvous.Topic) { w.Wake(topics) },
		"of all topics": func(w *world, _ []rendezvous.Topic) { w.WakeIf(func(rendezvous.Topic) bool { return true }) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, w *world) {
				a, b, mailbox := pair(w)
				k := w.keyOf(mailbox)
				defer w.KeepAlive(k)()
				a.add(mailbox, "one")
				expect(t, len(b.receive(0)), 1)
				messages, err := w.Tail(t.Context(), k, 0)
				a.must(err)
				expect(t, len(messages), 1)
				held := b.park(t.Context(), 1)
				time.Sleep(time.Second)
				elsewhere := &rendezvous.Service{Config: w.Config, Store: w.store, Log: silent}
				_, err = elsewhere.Add(t.Context(), a.command(), mailbox, rendezvous.Draft{Phase: "p", Body: "two"})
				a.must(err)
				messages, err = w.Tail(t.Context(), k, 1)
				a.must(err)
				expect(t, len(messages), 0) // it is not heard of yet
				told := time.Now()
				tell(w, []rendezvous.Topic{{Session: b.key}, {Mailbox: k}})
				got := <-held
				b.must(got.err)
				expect(t, len(got.got.Frames), 1)
				expect(t, got.at.Sub(told), 0)
				messages, err = w.Tail(t.Context(), k, 1)
				a.must(err)
				expect(t, len(messages), 1)
			})
		})
	}
}

// ordered is a store that records whose outboxes the last transaction that wrote any wrote, in which order.
type ordered struct {
	rendezvous.Store
	last *writtenOutboxes
}

type writtenOutboxes struct {
	mu   sync.Mutex
	keys []session.Key
}

type orderedTx struct {
	rendezvous.Tx
	keys *[]session.Key
}

func (s ordered) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	return s.Store.Update(ctx, func(tx rendezvous.Tx) error {
		var keys []session.Key
		err := f(orderedTx{tx, &keys})
		if len(keys) > 0 {
			s.last.mu.Lock()
			defer s.last.mu.Unlock()
			s.last.keys = keys
		}
		return err
	})
}

func (t orderedTx) SendFrame(k session.Key, encode func(session.Seq) []byte) (rendezvous.Backlog, error) {
	*t.keys = append(*t.keys, k)
	return t.Tx.SendFrame(k, encode)
}

func (t orderedTx) SendMessages(k session.Key, m rendezvous.MailboxKey, first rendezvous.Position, count int64) (session.Seq, error) {
	*t.keys = append(*t.keys, k)
	return t.Tx.SendMessages(k, m, first, count)
}

// TestOutboxesAreWrittenInTheirOrder closes several mailboxes in one transaction, each with another reader.
func TestOutboxesAreWrittenInTheirOrder(t *testing.T) {
	var last writtenOutboxes
	bubbleOn(t, nil, func(s rendezvous.Store) rendezvous.Store { return ordered{s, &last} }, func(t *testing.T, w *world) {
		a := w.begin("a")
		for i := range 8 {
			id := rendezvous.MailboxID(fmt.Sprint("m", i))
			a.open(id)
			w.begin(rendezvous.Side(fmt.Sprint("reader ", i))).open(id)
		}
		happy := rendezvous.Happy
		_, err := w.End(t.Context(), a.command(), &happy)
		a.must(err)
		last.mu.Lock()
		keys := last.keys
		last.mu.Unlock()
		expect(t, len(keys), 8)
		expect(t, slices.IsSortedFunc(keys, func(a, b session.Key) int { return bytes.Compare(a[:], b[:]) }), true)
	})
}

// lateNews is a store that lets its test run what the test's own update has left to do after its commit.
type lateNews struct {
	rendezvous.Store
	hold bool // keep what comes
	held []func()
}

type lateNewsTx struct {
	rendezvous.Tx
	s *lateNews
}

func (t lateNewsTx) AfterCommit(f func()) {
	t.Tx.AfterCommit(func() { t.s.held = append(t.s.held, f) })
}

func (s *lateNews) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	if ofLoop(ctx) || !s.hold {
		return s.Store.Update(ctx, f)
	}
	return s.Store.Update(ctx, func(tx rendezvous.Tx) error { return f(lateNewsTx{tx, s}) })
}

// TestTheServersAcknowledgementNeverGoesBack covers two commands of which the first's news come after the second's.
func TestTheServersAcknowledgementNeverGoesBack(t *testing.T) {
	var store *lateNews
	bubbleOn(t, nil, func(s rendezvous.Store) rendezvous.Store {
		store = &lateNews{Store: s}
		return store
	}, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		a.add(mailbox, "one")
		expect(t, len(b.receive(0)), 1) // what is remembered of its outbox is full
		held := b.park(t.Context(), 1)
		for n := range session.Seq(2) {
			store.hold = n == 0
			c := b.command()
			c.Seq = &n
			answer, err := w.Allocate(t.Context(), c, 0)
			b.must(err)
			expect(t, answer.Wanted, n+1)
		}
		for _, f := range store.held {
			f()
		}
		a.add(mailbox, "two")
		got := <-held
		b.must(got.err)
		expect(t, got.got.Wanted, 2)
	})
}

// TestReceivesTellWhatOtherReplicasDid has a session send its commands to one replica and receive from the other, which
// hears nothing of them.
func TestReceivesTellWhatOtherReplicasDid(t *testing.T) {
	replicated(t, nil, func(t *testing.T, r *replicas) {
		sender, reader := r.a.begin("s"), r.a.begin("r")
		sender.open("m")
		reader.open("m")
		sender.add("m", "one")
		expect(t, len(reader.receive(0)), 1)
		r.lossy.Store(true)
		for n := range session.Seq(3) {
			held := reader.park(t.Context(), 1+n)
			c := reader.command()
			c.Seq = &n
			_, err := r.b.Allocate(t.Context(), c, 0)
			reader.must(err)
			sender.add("m", "of this replica")
			got := <-held
			reader.must(got.err)
			expect(t, len(got.got.Frames), 1)
			expect(t, got.got.Wanted, n+1)
		}
	})
}

// TestAnAcknowledgementWithoutEpochIsOfTheStoredOne covers a handshake with another replica, whose news were lost.
func TestAnAcknowledgementWithoutEpochIsOfTheStoredOne(t *testing.T) {
	replicated(t, nil, func(t *testing.T, r *replicas) {
		sender, reader := r.a.begin("s"), r.a.begin("r")
		sender.open("m")
		reader.open("m")
		for range 3 {
			sender.add("m", "x")
		}
		expect(t, len(reader.receive(0)), 3)
		r.lossy.Store(true)
		there := *reader
		there.w = r.b
		there.must(there.shake(0, 0))
		kept := func() session.Seq {
			t.Helper()
			time.Sleep(time.Second) // it is written lazily
			overview, err := r.b.Session(t.Context(), rendezvous.Query{Session: reader.key})
			reader.must(err)
			return overview.Result.Session.Kept
		}
		short, ack := time.Millisecond, session.Seq(1)
		_, err := r.a.Receive(t.Context(), rendezvous.ReceiveRequest{Session: reader.key, Ack: &ack, Wait: &short})
		reader.must(err)
		expect(t, kept(), 1)
		ack = 2
		_, err = r.a.Acknowledge(t.Context(), rendezvous.Query{Session: reader.key, Ack: &ack})
		reader.must(err)
		expect(t, kept(), 2)
		ack = 3
		c := reader.command()
		c.Ack = &ack
		_, err = r.a.Allocate(t.Context(), c, 0)
		reader.must(err)
		expect(t, kept(), 3)
	})
}
