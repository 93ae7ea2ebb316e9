package hub

import (
	"context"
	"errors"
	"sync"
)

// ErrSuperseded is the cause with which a holder's context ends when another holder takes its key.
var ErrSuperseded = errors.New("hub: superseded by a newer holder")

// Exclusive gives each key to its newest holder. The zero value is ready to use. An Exclusive must
// not be copied. Keys that are not held occupy no memory.
type Exclusive[K comparable] struct {
	mu      sync.Mutex // guards holders
	holders map[K]*holder
}

// holder is one holder of a key. Its address tells it from the next holder.
type holder struct{ superseded func() }

// Acquire makes the caller the holder of key. When Acquire returns, the previous holder has lost
// the key: its context has ended with the cause [ErrSuperseded].
//
// The returned context is a child of ctx. release gives the key back, unless a newer holder has it,
// and ends the context. It must be called, and may be called again. The end of ctx does not release
// the key.
func (x *Exclusive[K]) Acquire(ctx context.Context, key K) (held context.Context, release func()) {
	held, cancel := context.WithCancelCause(ctx)
	free := x.AcquireFunc(key, func() { cancel(ErrSuperseded) })
	return held, func() {
		free()
		cancel(nil) // the cause stays ErrSuperseded if it was
	}
}

// AcquireFunc is [Exclusive.Acquire] for a caller that waits without a goroutine. superseded runs at
// most once, when another holder takes the key and before that holder has it. It runs under the lock
// of x, so it must not block and must not use x.
func (x *Exclusive[K]) AcquireFunc(key K, superseded func()) (release func()) {
	mine := &holder{superseded}

	x.mu.Lock()
	defer x.mu.Unlock()
	if previous, held := x.holders[key]; held {
		// Under the lock: otherwise a third caller could hold the key while the first still believes that it does.
		previous.superseded()
	}
	if x.holders == nil {
		x.holders = make(map[K]*holder)
	}
	x.holders[key] = mine
	return func() { x.release(key, mine) }
}

func (x *Exclusive[K]) release(key K, mine *holder) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.holders[key] == mine {
		delete(x.holders, key)
	}
}
