package handlers

import (
	"context"
	"sync"
	"time"
)

// readinessTTL is how long the server counts as ready after it was found so.
const readinessTTL = time.Second

// readiness remembers that the server is ready. Anyone may ask, as often as it likes: one asks the storage, and the
// others get its answer. A failure is not remembered.
type readiness struct {
	mu    sync.Mutex
	until time.Time
}

// ask returns why the server is not ready. What the service knows to be wrong counts at once.
func (r *readiness) ask(ctx context.Context, ready func(context.Context) error, known func() error) error {
	if err := known(); err != nil {
		return err
	}
	r.mu.Lock()
	fresh := time.Now().Before(r.until)
	r.mu.Unlock()
	if fresh {
		return nil
	}
	err := ready(ctx)
	if err == nil {
		r.mu.Lock()
		r.until = time.Now().Add(readinessTTL)
		r.mu.Unlock()
	}
	return err
}
