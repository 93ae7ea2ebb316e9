package hub

import "sync"

// Bell tells a listener that there is news, whoever rings, and however many do before the listener
// looks. The zero value is ready to use, and has not been rung; a Bell must not be copied.
type Bell struct {
	mu       sync.Mutex // guards the following
	rung     bool
	listener func()
}

// Ring tells that there is news. It returns when the listener, if there is one, does.
func (b *Bell) Ring() {
	b.mu.Lock()
	listener := b.listener
	b.rung, b.listener = true, nil
	b.mu.Unlock()
	if listener != nil {
		listener()
	}
}

// Listen has f called once, in the place of an earlier one, when the bell is rung; if it was since it was
// hushed last, before Listen returns. Whoever rings waits for f, with whatever locks it holds.
func (b *Bell) Listen(f func()) {
	b.mu.Lock()
	rung := b.rung
	if b.listener = f; rung {
		b.listener = nil
	}
	b.mu.Unlock()
	if rung {
		f()
	}
}

// Rung is closed when f of [Bell.Listen] would be called.
func (b *Bell) Rung() <-chan struct{} {
	rung := make(chan struct{})
	b.Listen(func() { close(rung) })
	return rung
}

// Hush is for who looks: what was rung before is no news any more.
func (b *Bell) Hush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rung = false
}
