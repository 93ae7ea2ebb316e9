package hub

import (
	"context"
	"errors"
	"sync"
)

// ErrSuperseded is the cause with which a holder's context ends when another takes its seat.
var ErrSuperseded = errors.New("hub: superseded by a newer holder of the seat")

// Seats give each key's seat to the newest who asks for it. The zero value is
// ready to use; Seats must not be copied. Free seats occupy nothing.
type Seats[K comparable] struct {
	mu    sync.Mutex // guards the following
	taken map[K]*seat
}

// seat is one holder; its address tells it from the next one's.
type seat struct{ unseat func() }

// Take gives the caller the seat of key. Whoever held it has lost it when Take
// returns: its context has ended, with the cause [ErrSuperseded].
//
// The seated context is a child of ctx. leave frees the seat, unless someone else
// has it by now, and ends the context; it must be called, and may be called again.
// A ctx that ends does not free the seat by itself.
func (s *Seats[K]) Take(ctx context.Context, key K) (seated context.Context, leave func()) {
	seated, unseat := context.WithCancelCause(ctx)
	free := s.Sit(key, func() { unseat(ErrSuperseded) })
	return seated, func() {
		free()
		unseat(nil) // the cause stays ErrSuperseded if it was
	}
}

// Sit is [Seats.Take] for who waits without a goroutine: unseat is called, once at most, when another
// takes the seat, before that one has it. It is called under the lock of the seats: it must
// return at once, and not use them.
func (s *Seats[K]) Sit(key K, unseat func()) (leave func()) {
	mine := &seat{unseat}

	s.mu.Lock()
	defer s.mu.Unlock()
	if before, held := s.taken[key]; held {
		// Under the lock, or a third could be seated while the first still believes it is.
		before.unseat()
	}
	if s.taken == nil {
		s.taken = make(map[K]*seat)
	}
	s.taken[key] = mine
	return func() { s.leave(key, mine) }
}

func (s *Seats[K]) leave(key K, mine *seat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[key] == mine {
		delete(s.taken, key)
	}
}

// Holders is how many seats are taken.
func (s *Seats[K]) Holders() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taken)
}
