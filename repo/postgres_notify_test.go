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

// recordingWaker records the topics that it is told to wake.
type recordingWaker struct {
	mu       sync.Mutex
	topics   []rendezvous.Topic
	wokenAll int
	watching []rendezvous.Topic // the topics that WakeIf is asked about
}

func (e *recordingWaker) Wake(topics []rendezvous.Topic) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.topics = append(e.topics, topics...)
}

func (e *recordingWaker) WakeIf(news func(rendezvous.Topic) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if news(rendezvous.Topic{Mailbox: 1 << 40}) && news(rendezvous.Topic{Session: session.Key{31: 7, 0: 9}}) {
		e.wokenAll++
		return
	}
	for _, topic := range e.watching {
		if news(topic) {
			e.topics = append(e.topics, topic)
		}
	}
}

func (e *recordingWaker) woken(topic rendezvous.Topic) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Contains(e.topics, topic)
}

func (e *recordingWaker) wokenAllCount() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.wokenAll
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(4 * time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came to be that %s", what)
		}
	}
}

// startNotifier returns a running notifier and what it wakes.
func startNotifier(t *testing.T, o repo.Options, watching ...rendezvous.Topic) (*repo.Notifier, *recordingWaker) {
	t.Helper()
	n, err := open(t, o).Notifier()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	here := &recordingWaker{watching: watching}
	go func() {
		defer close(stopped)
		n.Run(ctx, here)
	}()
	t.Cleanup(func() {
		stop()
		<-stopped
	})
	eventually(t, "it listens", func() bool { return here.wokenAllCount() > 0 })
	return n, here
}

// TestNotificationsReachOtherReplicas tests both transports.
func TestNotificationsReachOtherReplicas(t *testing.T) {
	t.Parallel()
	mailbox, outbox, other := rendezvous.Topic{Mailbox: 42}, rendezvous.Topic{Session: session.Key{1, 2, 3}}, rendezvous.Topic{Mailbox: 43}
	for name, pooled := range map[string]bool{"by notification": false, "by change counters": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := repo.Options{URL: newDatabase(t), Pooled: pooled}
			here, us := startNotifier(t, o, mailbox, outbox, other)
			_, them := startNotifier(t, o, mailbox, outbox, other)
			here.Announce([]rendezvous.Topic{mailbox, outbox})
			eventually(t, "the other replica hears of both", func() bool { return them.woken(mailbox) && them.woken(outbox) })
			if them.woken(other) {
				t.Error("it heard of a topic that had no news")
			}
			if !pooled && us.woken(mailbox) {
				t.Error("a replica heard its own news")
			}
		})
	}
}

// TestMissedNotificationsWakeAll stops the database: every topic is woken when it is back.
func TestMissedNotificationsWakeAll(t *testing.T) {
	t.Parallel()
	for name, pooled := range map[string]bool{"by notification": false, "by change counters": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := pgtest.Start(t)
			o := repo.Options{URL: c.Database(t), Pooled: pooled}
			here, _ := startNotifier(t, o)
			_, them := startNotifier(t, o)
			before := them.wokenAllCount()
			c.Stop(true)
			here.Announce([]rendezvous.Topic{{Mailbox: 42}})
			time.Sleep(50 * time.Millisecond) // so that the notification fails
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "everyone looks", func() bool { return them.wokenAllCount() > before })
		})
	}
}
