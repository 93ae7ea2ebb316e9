package repo

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"restante/rendezvous"
)

const (
	// notifyEvery is how often other processes are told of news, at most: each notification
	// costs the database about as much as a small transaction.
	notifyInterval = 2 * time.Millisecond
	// notifyTimeout is after how long a notification is taken for lost.
	notifyTimeout = 5 * time.Second
	// notifyAgain is how long to wait after one was lost.
	notifyRetryDelay = 250 * time.Millisecond
)

// Waker is what wakes the parked requests of this process: a [rendezvous.Service].
type Waker interface {
	Wake([]rendezvous.Topic)
	WakeIf(func(rendezvous.Topic) bool)
}

// Notifier tells the other processes on the same PostgreSQL database of what was
// committed here, and hears from them. It carries hints, never data: news that
// are lost cost those who wait a delay, until their next heartbeat.
type Notifier struct {
	transport notifyTransport
	log       *slog.Logger

	mu      sync.Mutex // guards the following; never held while anything waits
	pending map[rendezvous.Topic]struct{}
	wakeAll bool          // something was not told: the next notification has everyone look
	wakeup  chan struct{} // capacity 1: there is something to tell
}

// wire is a way from process to process.
type notifyTransport interface {
	// tell has the other processes look at the topics, or at everything.
	send(ctx context.Context, topics []rendezvous.Topic, everything bool) error
	// hear wakes whoever others have news for, until ctx ends.
	receive(ctx context.Context, here Waker)
	close() error
}

func newNotifier(w notifyTransport, log *slog.Logger) *Notifier {
	return &Notifier{transport: w, log: log, pending: make(map[rendezvous.Topic]struct{}), wakeup: make(chan struct{}, 1)}
}

// Announce has other processes told of the topics, soon; it does not wait for that.
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
	default: // it will look anyway
	}
}

// Run tells and hears until ctx ends, and then tells what is left.
func (n *Notifier) Run(ctx context.Context, here Waker) {
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		n.transport.receive(ctx, here)
	}()
	n.sendLoop(ctx)
	<-heard
	if err := n.transport.close(); err != nil {
		n.log.Warn("could not close the connection for notifications", "error", err)
	}
}

// tellLoop tells the first news at once, and what comes during the next
// [notifyEvery] together.
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
				n.log.Warn("other replicas cannot be told of news; they look by themselves at each heartbeat", "error", err)
			}
		} else if failing {
			n.log.Info("other replicas are told of news again")
		}
		failing = err != nil
		sleep(ctx, pause)
	}
	_ = n.sendPending(context.WithoutCancel(ctx)) // the last news; nobody is left to be told if they are lost
}

// tell tells what is pending, once.
func (n *Notifier) sendPending(ctx context.Context) error {
	topics, everything := n.takePending()
	if len(topics) == 0 && !everything {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, notifyTimeout)
	defer cancel()
	err := n.transport.send(ctx, topics, everything)
	if err != nil {
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

// pauseFor waits for d or for ctx's end.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// everyone is the rule that wakes them all.
func anyTopic(rendezvous.Topic) bool { return true }

// chunks cuts notes into texts of at most size bytes, separated by spaces.
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
