package wormhole_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"restante/handlers/handlerstest"
	"restante/rendezvous"
)

var errStorage = errors.New("the storage fails")

// lateStore is a store whose transactions take long, or fail.
type lateStore struct {
	rendezvous.Store
	mu    sync.Mutex // guards the following
	delay time.Duration
	fails error
}

// set has transactions take so long from now on, and fail unless the error is nil.
func (s *lateStore) set(delay time.Duration, fails error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay, s.fails = delay, fails
}

func (s *lateStore) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	s.mu.Lock()
	delay, fails := s.delay, s.fails
	s.mu.Unlock()
	<-time.After(delay)
	if fails != nil {
		return fails
	}
	return s.Store.Update(ctx, f)
}

// A command that takes long is acked long before it is done. So is one that fails, for which the connection ends.
func TestAnAckDoesNotWait(t *testing.T) {
	const ackWithin = 50 * time.Millisecond
	for name, c := range map[string]struct {
		delay  time.Duration
		fails  error
		ack    time.Duration
		closes bool
	}{
		"a slow command":                 {10 * time.Second, nil, ackWithin, false},
		"a command that fails":           {0, errStorage, 0, true},
		"a slow command that fails":      {10 * time.Second, errStorage, ackWithin, true},
		"a command that is done at once": {0, nil, 0, false},
	} {
		for _, command := range [][]any{{"claim", "claimed", "nameplate", "4"}, {"add", "message", "phase", "p", "body", "00"}} {
			t.Run(name+": "+command[0].(string), func(t *testing.T) {
				late := &lateStore{}
				handlerstest.Bubble(t, handlerstest.Options{Wrap: func(s rendezvous.Store) rendezvous.Store { late.Store = s; return late }}, func(t *testing.T, r *handlerstest.Server) {
					a := r.Bind(t, "app", "a").Open("m")
					late.set(c.delay, c.fails)
					defer late.set(0, nil)
					began := time.Now()
					a.Send(command[0].(string), command[2:]...)
					if took := time.Since(began); took != c.ack {
						t.Errorf("the ack took %v, want %v", took, c.ack)
					}
					if c.closes {
						a.WantClose(websocket.CloseTryAgainLater)
					} else {
						a.Want(command[1].(string))
					}
					if took := time.Since(began); took != c.delay {
						t.Errorf("the command took %v, want %v", took, c.delay)
					}
				})
			})
		}
	}
}
