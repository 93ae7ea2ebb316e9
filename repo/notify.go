package repo

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"restante/rendezvous"
)

const (
	// notifyInterval is the shortest time between two notifications: each costs the database
	// about as much as a small transaction.
	notifyInterval = 2 * time.Millisecond
	// notifyTimeout is how long a notification may take before it counts as lost.
	notifyTimeout = 5 * time.Second
	// notifyRetryDelay is the wait after a lost notification.
	notifyRetryDelay = 250 * time.Millisecond
)

// Waker wakes the waiting requests of this process. A [rendezvous.Service] is one.
type Waker interface {
	Wake([]rendezvous.Topic)
	WakeIf(func(rendezvous.Topic) bool)
}

// wakes has the waiting requests of this process look again, and counts how often notifications may have been missed.
type wakes struct {
	Waker

	missed *atomic.Int64
}

// wakeAll wakes every topic, because notifications may have been missed.
func (w wakes) wakeAll() {
	w.missed.Add(1)
	w.WakeIf(func(rendezvous.Topic) bool { return true })
}

// Notifier tells the other processes on the same PostgreSQL database about changes that this
// process committed, and receives their notifications. It carries hints, never data: a lost
// notification delays a waiting request until its next heartbeat.
type Notifier struct {
	transport notifyTransport
	log       *slog.Logger
	lost      *atomic.Int64 // topics that could not be announced
	missed    *atomic.Int64 // times that notifications of others may have been missed

	mu      sync.Mutex // guards the following; never held while anything waits
	pending map[rendezvous.Topic]struct{}
	wakeAll bool          // a notification was lost: the next one wakes every topic
	wakeup  chan struct{} // capacity 1: there is something to send
}

// notifyTransport carries notifications between processes.
type notifyTransport interface {
	// send wakes the topics in the other processes, or every topic if everything is true.
	send(ctx context.Context, topics []rendezvous.Topic, everything bool) error
	// receive wakes the topics that other processes announce, until ctx ends.
	receive(ctx context.Context, waker wakes)
	close() error
}

func newNotifier(w notifyTransport, o Options) *Notifier {
	return &Notifier{transport: w, log: o.Log, lost: o.Lost, missed: o.Missed, pending: make(map[rendezvous.Topic]struct{}), wakeup: make(chan struct{}, 1)}
}

// Announce tells the other processes about the topics soon. It does not block.
func (n *Notifier) Announce(topics []rendezvous.Topic) {
	n.mu.Lock()
	for _, topic := range topics {
		n.pending[topic] = struct{}{}
	}
	n.mu.Unlock()
	n.signal()
}

func (n *Notifier) signal() {
	select {
	case n.wakeup <- struct{}{}:
	default: // it is signalled already
	}
}

// Run sends and receives notifications until ctx ends, and then sends what is pending.
func (n *Notifier) Run(ctx context.Context, waker Waker) {
	received := make(chan struct{})
	go func() {
		defer close(received)
		n.transport.receive(ctx, wakes{waker, n.missed})
	}()
	n.sendLoop(ctx)
	<-received
	if err := n.transport.close(); err != nil {
		n.log.Warn("cannot close the connection for notifications", "error", err)
	}
}

// sendLoop sends the first topics at once, and those of the next [notifyInterval]
// together.
func (n *Notifier) sendLoop(ctx context.Context) {
	failing := false
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-n.wakeup:
		}
		pause := notifyInterval
		err := n.sendPending(ctx)
		if err != nil {
			pause = notifyRetryDelay
			if !failing {
				n.log.Warn("cannot notify other replicas; they notice changes at each heartbeat", "error", err)
			}
		} else if failing {
			n.log.Info("notifying other replicas again")
		}
		failing = err != nil
		sleep(ctx, pause)
	}
	_ = n.sendPending(context.WithoutCancel(ctx)) // the last topics; there is nothing left to do if they are lost
}

// sendPending sends the pending topics, once.
func (n *Notifier) sendPending(ctx context.Context) error {
	topics, everything := n.takePending()
	if len(topics) == 0 && !everything {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, notifyTimeout)
	defer cancel()
	err := n.transport.send(ctx, topics, everything)
	if err != nil {
		n.lost.Add(int64(len(topics)))
		n.mu.Lock()
		n.wakeAll = true
		n.mu.Unlock()
		n.signal()
	}
	return err
}

func (n *Notifier) takePending() (topics []rendezvous.Topic, everything bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	topics = make([]rendezvous.Topic, 0, len(n.pending))
	for topic := range n.pending {
		topics = append(topics, topic)
	}
	clear(n.pending)
	everything, n.wakeAll = n.wakeAll, false
	return topics, everything
}

// sleep waits for d or for the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// joinUpTo joins notes with spaces into texts of at most size bytes.
func joinUpTo(notes []string, size int) []string {
	var texts []string
	for _, note := range notes {
		last := len(texts) - 1
		if last >= 0 && len(texts[last])+1+len(note) <= size {
			texts[last] += " " + note
			continue
		}
		texts = append(texts, note)
	}
	return slices.Clip(texts)
}
