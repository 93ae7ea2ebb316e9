package handlers

import (
	"context"
	"errors"
	"sync"
	"time"
)

// remembered gives an answer again for a while. Anyone may ask, as often as it likes: one has the answer made, and the
// others get the same. The zero value is ready to use.
type remembered[T any] struct {
	mu     sync.Mutex
	answer T
	until  time.Time        // when another one is to be made
	making *makingAnswer[T] // nil unless one is being made
}

// errNoAnswer is what those are told whose answer broke down while it was made.
var errNoAnswer = errors.New("making the answer broke down")

// makingAnswer is an answer that is being made.
type makingAnswer[T any] struct {
	done   chan struct{} // closed when the other fields are there
	answer T
	keep   bool
	err    error
}

// get returns the answer that is remembered, or has one made. If f says that its answer is to be kept, it is remembered
// for that long. f gets a context that does not end with the caller's, because the others get the answer, too.
func (r *remembered[T]) get(ctx context.Context, age time.Duration, f func(context.Context) (answer T, keep bool)) (T, error) {
	r.mu.Lock()
	if time.Now().Before(r.until) {
		defer r.mu.Unlock()
		return r.answer, nil
	}
	making := r.making
	if making == nil {
		making = &makingAnswer[T]{done: make(chan struct{}), err: errNoAnswer}
		r.making = making
		defer r.finish(making, age)
		r.mu.Unlock()
		making.answer, making.keep = f(context.WithoutCancel(ctx))
		making.err = nil
		return making.answer, nil
	}
	r.mu.Unlock()
	select {
	case <-making.done:
		return making.answer, making.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// finish gives the answer to those that wait for it.
func (r *remembered[T]) finish(making *makingAnswer[T], age time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.making = nil; making.keep {
		r.answer, r.until = making.answer, time.Now().Add(age)
	}
	close(making.done)
}
