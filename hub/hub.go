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
	mu     sync.Mutex // guards the following; held for a map access, never while anything waits
	gates  map[K]gate
	parked int
	closed bool
	done   chan struct{} // made by the first who needs it; closed by Close
}

// gate is where all current watchers of one key stand. It opens once.
type gate struct {
	open     chan struct{} // closed when they are woken
	watchers int
}

// Watch is one reader's place at a key, good for one [Watch.Wait]. It belongs to
// one goroutine, which must end it with Wait or [Watch.Stop].
type Watch[K comparable] struct {
	hub   *Hub[K]
	key   K
	open  chan struct{} // the gate's; nil if the hub was closed already
	done  chan struct{}
	ended bool
}

// Watch begins to watch key: every [Hub.Wake] of it from now on will be noticed.
func (h *Hub[K]) Watch(key K) *Watch[K] {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := &Watch[K]{hub: h, key: key, done: h.doneLocked()}
	if h.closed {
		w.ended = true
		return w
	}
	g, found := h.gates[key]
	if !found {
		if h.gates == nil {
			h.gates = make(map[K]gate)
		}
		g.open = make(chan struct{})
	}
	g.watchers++
	h.gates[key] = g
	h.parked++
	w.open = g.open
	return w
}

// Wake has everyone who watches one of the keys look again. Whoever began to
// watch before the call is woken when it returns; whoever begins later is not.
func (h *Hub[K]) Wake(keys ...K) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, key := range keys {
		if g, found := h.gates[key]; found {
			h.openLocked(key, g)
		}
	}
}

// WakeIf is [Hub.Wake] for every key of which news is true: for news that do not
// say exactly whom they are for. It looks at each key that is watched.
func (h *Hub[K]) WakeIf(news func(K) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, g := range h.gates {
		if news(key) {
			h.openLocked(key, g)
		}
	}
}

func (h *Hub[K]) openLocked(key K, g gate) {
	delete(h.gates, key)
	h.parked -= g.watchers
	close(g.open)
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
	h.gates, h.parked = nil, 0
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
	if w.ended {
		if isClosed(w.done) {
			return ErrClosed
		}
		return nil
	}
	defer w.Stop()
	select {
	case <-w.open:
	case <-w.done:
	case <-ctx.Done():
	}
	switch { // select chooses at random between what is true
	case isClosed(w.open):
		return nil
	case isClosed(w.done):
		return ErrClosed
	}
	return context.Cause(ctx)
}

// Stop ends the watch. Stopping again, or after Wait, does nothing.
func (w *Watch[K]) Stop() {
	if w.ended {
		return
	}
	w.ended = true
	w.hub.leave(w.key, w.open)
}

// leave takes one watcher away from a gate, unless that was opened before.
func (h *Hub[K]) leave(key K, open chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.gates[key]
	if g.open != open {
		return // woken or closed: its watchers are gone already
	}
	h.parked--
	g.watchers--
	if g.watchers == 0 {
		delete(h.gates, key)
		return
	}
	h.gates[key] = g
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
