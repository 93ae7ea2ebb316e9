package repo_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/repo"
	"restante/repo/pgtest"
	"restante/session"
)

// ear notes whom it is told to wake.
type ear struct {
	mu       sync.Mutex
	topics   []rendezvous.Topic
	everyone int
	watching []rendezvous.Topic // to ask rules about
}

func (e *ear) Wake(topics []rendezvous.Topic) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.topics = append(e.topics, topics...)
}

func (e *ear) WakeIf(news func(rendezvous.Topic) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if news(rendezvous.Topic{Mailbox: 1 << 40}) && news(rendezvous.Topic{Session: session.Key{31: 7, 0: 9}}) {
		e.everyone++
		return
	}
	for _, topic := range e.watching {
		if news(topic) {
			e.topics = append(e.topics, topic)
		}
	}
}

func (e *ear) heard(topic rendezvous.Topic) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Contains(e.topics, topic)
}

func (e *ear) toldEveryone() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.everyone
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came to be that %s", what)
		}
	}
}

// replica is a notifier that runs, and what it hears.
func replica(t *testing.T, o repo.Options, watching ...rendezvous.Topic) (*repo.Notifier, *ear) {
	t.Helper()
	n, err := open(t, o).Notifier()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	here := &ear{watching: watching}
	go func() {
		defer close(stopped)
		n.Run(ctx, here)
	}()
	t.Cleanup(func() {
		stop()
		<-stopped
	})
	eventually(t, "it listens", func() bool { return here.toldEveryone() > 0 })
	return n, here
}

// TestNewsReachOtherReplicas is both ways in which replicas hear of each other.
func TestNewsReachOtherReplicas(t *testing.T) {
	t.Parallel()
	mailbox, outbox, other := rendezvous.Topic{Mailbox: 42}, rendezvous.Topic{Session: session.Key{1, 2, 3}}, rendezvous.Topic{Mailbox: 43}
	for name, pooled := range map[string]bool{"by notification": false, "by change counters": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := repo.Options{URL: newDatabase(t), Pooled: pooled}
			here, us := replica(t, o, mailbox, outbox, other)
			_, them := replica(t, o, mailbox, outbox, other)
			here.Announce([]rendezvous.Topic{mailbox, outbox})
			eventually(t, "the other replica hears of both", func() bool { return them.heard(mailbox) && them.heard(outbox) })
			if them.heard(other) {
				t.Error("it heard of a topic that had no news")
			}
			if !pooled && us.heard(mailbox) {
				t.Error("a replica heard its own news")
			}
		})
	}
}

// TestNewsThatWereMissed is a database that goes away: who was not told meanwhile looks once.
func TestNewsThatWereMissed(t *testing.T) {
	t.Parallel()
	for name, pooled := range map[string]bool{"by notification": false, "by change counters": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := pgtest.Start(t)
			o := repo.Options{URL: c.Database(t), Pooled: pooled}
			here, _ := replica(t, o)
			_, them := replica(t, o)
			before := them.toldEveryone()
			c.Stop(true)
			here.Announce([]rendezvous.Topic{{Mailbox: 42}})
			time.Sleep(50 * time.Millisecond) // for it to fail
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "everyone looks", func() bool { return them.toldEveryone() > before })
		})
	}
}
