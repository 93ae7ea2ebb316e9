package hub

import (
	"context"
	"errors"
	"sync"
)

// ErrClosed tells that the hub is closed: the server is going away.
var ErrClosed = errors.New("hub: closed")

// Hub parks readers under keys and wakes them. The zero value is ready to use; a
// Hub must not be copied. Keys that nobody watches occupy nothing.
type Hub[K comparable] struct {
	mu      sync.Mutex // guards the following and what watches say so of; held for a map access, never while anything waits
	watches map[K]*Watch[K]
	parked  int
	closed  bool
	done    chan struct{} // made by the first who needs it; closed by Close
}

// Watch is one reader's place at a key. It belongs to one goroutine, which must
// end it with [Watch.Wait] or [Watch.Stop].
type Watch[K comparable] struct {
	hub *Hub[K]
	key K

	// Guarded by the hub's lock.
	before, after *Watch[K] // others of the key, while it is parked
	is            outcome
	ring          func()
}

// outcome is what became of a watch.
type outcome uint8

const (
	parked outcome = iota
	woken
	stopped // or released by Close, or begun after it
)

// Watch begins to watch key: every [Hub.Wake] of it from now on will be noticed.
func (h *Hub[K]) Watch(key K) *Watch[K] {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := &Watch[K]{hub: h, key: key}
	if h.closed {
		w.is = stopped
		return w
	}
	if h.watches == nil {
		h.watches = make(map[K]*Watch[K])
	}
	if w.after = h.watches[key]; w.after != nil {
		w.after.before = w
	}
	h.watches[key] = w
	h.parked++
	return w
}

// Wake has everyone who watches one of the keys look again. Whoever began to
// watch before the call is woken when it returns; whoever begins later is not.
func (h *Hub[K]) Wake(keys ...K) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, key := range keys {
		h.wakeLocked(key)
	}
}

// WakeIf is [Hub.Wake] for every key of which news is true: for news that do not
// say exactly whom they are for. It looks at each key that is watched.
func (h *Hub[K]) WakeIf(news func(K) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key := range h.watches {
		if news(key) {
			h.wakeLocked(key)
		}
	}
}

func (h *Hub[K]) wakeLocked(key K) {
	first := h.watches[key]
	delete(h.watches, key)
	h.releaseLocked(first, woken)
}

// releaseLocked lets go of a watch and those after it.
func (h *Hub[K]) releaseLocked(w *Watch[K], is outcome) {
	for w != nil {
		next := w.after
		w.is, w.before, w.after = is, nil, nil
		h.parked--
		if w.ring != nil {
			w.ring()
		}
		w = next
	}
}

// Close releases everyone, at once and for ever: whoever waits now or later is
// answered [ErrClosed], unless a wake came first. Closing again does nothing.
func (h *Hub[K]) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	h.closed = true
	close(h.doneLocked())
	for _, first := range h.watches {
		h.releaseLocked(first, stopped)
	}
	h.watches = nil
}

// Done is closed when the hub is.
func (h *Hub[K]) Done() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.doneLocked()
}

// Parked is how many watches are neither woken nor ended.
func (h *Hub[K]) Parked() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.parked
}

func (h *Hub[K]) doneLocked() chan struct{} {
	if h.done == nil {
		h.done = make(chan struct{})
	}
	return h.done
}

// Wait parks until the key is woken, the hub closes or ctx ends, and then ends
// the watch: to wait again, watch again and read again. It answers nil,
// [ErrClosed] or [context.Cause] of ctx, and of several that are true the first
// in this order: a wake that came is never given up for a deadline, and a
// closed hub is not taken for a client that left.
//
// Waiting for a watch that has ended does not park: it answers nil, which is to
// look again, or [ErrClosed].
func (w *Watch[K]) Wait(ctx context.Context) error {
	rung := make(chan struct{})
	w.Ring(func() { close(rung) })
	select {
	case <-rung:
	case <-ctx.Done():
	}
	was, closed := w.stop()
	switch { // select chooses at random between what is true
	case was == woken:
		return nil
	case closed:
		return ErrClosed
	case was == stopped:
		return nil
	}
	return context.Cause(ctx)
}

// Ring is for who waits without a goroutine: f is called once, as soon as Wait would
// not wait any more for another reason than ctx, and if that is now, before Ring returns. It does not
// end the watch, and ends with it.
//
// f is called under the hub's lock: it must return at once, and not use the hub.
func (w *Watch[K]) Ring(f func()) {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	if w.is != parked {
		f()
		return
	}
	w.ring = f
}

// Stop ends the watch. Stopping again, or after Wait, does nothing.
func (w *Watch[K]) Stop() { w.stop() }

// stop ends the watch, and answers what it was.
func (w *Watch[K]) stop() (was outcome, closed bool) {
	h := w.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	was, w.is = w.is, stopped
	if was != parked {
		return was, h.closed
	}
	h.parked--
	w.ring = nil
	switch {
	case w.before != nil:
		w.before.after = w.after
	case w.after != nil:
		h.watches[w.key] = w.after
	default:
		delete(h.watches, w.key)
	}
	if w.after != nil {
		w.after.before = w.before
	}
	w.before, w.after = nil, nil
	return was, h.closed
}
