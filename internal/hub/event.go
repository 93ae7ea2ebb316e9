package hub

import "sync"

// Event is a flag that calls a listener when it is set. It may be set from many goroutines and
// many times before the listener looks. The zero value is ready to use and is not set. An Event
// must not be copied.
type Event struct {
	mu       sync.Mutex // guards the following fields
	set      bool
	listener func()
}

// Set sets the event and calls the listener, if there is one. It returns after the listener returns.
func (e *Event) Set() {
	e.mu.Lock()
	listener := e.listener
	e.set, e.listener = true, nil
	e.mu.Unlock()
	if listener != nil {
		listener()
	}
}

// Clear unsets the event. Call it before looking for what the event announces: a Set that comes
// during the look is then not missed.
func (e *Event) Clear() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.set = false
}

// OnSet registers f, replacing any earlier listener. f runs once, at the next Set; if the event has
// been set since the last Clear, f runs before OnSet returns. f runs on the goroutine that sets the
// event, under whatever locks that goroutine holds, so it must not block.
func (e *Event) OnSet(f func()) {
	e.mu.Lock()
	set := e.set
	if e.listener = f; set {
		e.listener = nil
	}
	e.mu.Unlock()
	if set {
		f()
	}
}

// Chan returns a channel that is closed when a listener registered by [Event.OnSet] would run. It
// replaces any earlier listener.
func (e *Event) Chan() <-chan struct{} {
	set := make(chan struct{})
	e.OnSet(func() { close(set) })
	return set
}
