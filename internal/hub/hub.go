package hub

import (
	"context"
	"errors"
	"sync"
)

// ErrClosed reports that the hub is closed because the server is stopping.
var ErrClosed = errors.New("hub: closed")

// Hub wakes readers that wait for keys. The zero value is ready to use. A Hub must not be copied.
// Keys that are not watched occupy no memory.
type Hub[K comparable] struct {
	mu      sync.Mutex // guards the following fields and those that a Watch marks; held for a map access, never during a wait
	watches map[K]*Watch[K]
	closed  bool
	done    chan struct{} // made on first use; closed by Close
}

// Watch is one reader that waits for a key. It belongs to one goroutine, which must end it with
// [Watch.Wait] or [Watch.Stop].
type Watch[K comparable] struct {
	hub *Hub[K]
	key K

	// Guarded by the hub's lock.
	before, after *Watch[K] // the key's other watches, while this one waits
	state         watchState
	onWake        func()
}

// watchState is what became of a watch.
type watchState uint8

const (
	waiting watchState = iota
	woken
	stopped // also by Close, or begun after it
)

// Watch begins to watch key. Every [Hub.Wake] of the key from now on wakes the watch.
func (h *Hub[K]) Watch(key K) *Watch[K] {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := &Watch[K]{hub: h, key: key}
	if h.closed {
		w.state = stopped
		return w
	}
	if h.watches == nil {
		h.watches = make(map[K]*Watch[K])
	}
	if w.after = h.watches[key]; w.after != nil {
		w.after.before = w
	}
	h.watches[key] = w
	return w
}

// Wake wakes every watch of the keys. A watch that began before the call is woken when Wake returns.
// A watch that begins later is not.
func (h *Hub[K]) Wake(keys ...K) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, key := range keys {
		h.wakeLocked(key)
	}
}

// WakeIf is [Hub.Wake] for every watched key for which match returns true. It is for news that does
// not name its keys exactly. It calls match once for each watched key.
func (h *Hub[K]) WakeIf(match func(K) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key := range h.watches {
		if match(key) {
			h.wakeLocked(key)
		}
	}
}

func (h *Hub[K]) wakeLocked(key K) {
	first := h.watches[key]
	delete(h.watches, key)
	releaseLocked(first, woken)
}

// releaseLocked releases a watch and those after it in its list. The hub's lock is held.
func releaseLocked[K comparable](w *Watch[K], state watchState) {
	for w != nil {
		next := w.after
		w.state, w.before, w.after = state, nil, nil
		if w.onWake != nil {
			w.onWake()
		}
		w = next
	}
}

// Close releases every watch, at once and for ever. Waits that run now or begin later return
// [ErrClosed], unless a wake came first. Closing again does nothing.
func (h *Hub[K]) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	h.closed = true
	close(h.doneLocked())
	for _, first := range h.watches {
		releaseLocked(first, stopped)
	}
	h.watches = nil
}

// Done returns a channel that is closed when the hub is closed.
func (h *Hub[K]) Done() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.doneLocked()
}

func (h *Hub[K]) doneLocked() chan struct{} {
	if h.done == nil {
		h.done = make(chan struct{})
	}
	return h.done
}

// Wait waits until the key is woken, the hub closes or ctx ends, and then ends the watch. To wait
// again, watch again and read again. It returns nil, [ErrClosed] or [context.Cause] of ctx. If
// several are true, the first of these wins: a wake that came is never given up for a deadline, and
// a closed hub is not taken for a client that left.
//
// On a watch that has ended, Wait returns at once: nil, which means "look again", or [ErrClosed].
func (w *Watch[K]) Wait(ctx context.Context) error {
	released := make(chan struct{})
	w.OnWake(func() { close(released) })
	select {
	case <-released:
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

// OnWake is [Watch.Wait] for a caller that waits without a goroutine. f runs once, as soon as Wait
// would return for another reason than ctx; if that is now, f runs before OnWake returns. OnWake
// does not end the watch. A [Watch.Stop] that comes first cancels f.
//
// f runs under the hub's lock, so it must not block and must not use the hub.
func (w *Watch[K]) OnWake(f func()) {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	if w.state != waiting {
		f()
		return
	}
	w.onWake = f
}

// Stop ends the watch. Stopping it again, or after Wait, does nothing.
func (w *Watch[K]) Stop() { w.stop() }

// stop ends the watch and returns its state before that.
func (w *Watch[K]) stop() (was watchState, closed bool) {
	h := w.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	was, w.state = w.state, stopped
	if was != waiting {
		return was, h.closed
	}
	w.onWake = nil
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
