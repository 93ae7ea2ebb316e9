package handlers

import (
	"context"
	"errors"
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
	asked *readinessProbe // nil unless the storage is being asked
}

// errNoAnswer is what a question to the storage that broke down is answered with.
var errNoAnswer = errors.New("asking the storage broke down")

// readinessProbe is a question to the storage whether the server is ready.
type readinessProbe struct {
	done chan struct{} // closed when err is there
	err  error
}

// ask returns why the server is not ready. What the service knows to be wrong counts at once.
func (r *readiness) ask(ctx context.Context, ready func(context.Context) error, known func() error) error {
	if err := known(); err != nil {
		return err
	}
	r.mu.Lock()
	if time.Now().Before(r.until) {
		r.mu.Unlock()
		return nil
	}
	probe := r.asked
	if probe == nil {
		probe = &readinessProbe{done: make(chan struct{}), err: errNoAnswer}
		r.asked = probe
		defer r.finish(probe)
		r.mu.Unlock()
		probe.err = ready(context.WithoutCancel(ctx)) // the others get the answer, also if this client leaves
		return probe.err
	}
	r.mu.Unlock()
	select {
	case <-probe.done:
		return probe.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// finish gives the answer of the storage to those that wait for it.
func (r *readiness) finish(probe *readinessProbe) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked = nil; probe.err == nil {
		r.until = time.Now().Add(readinessTTL)
	}
	close(probe.done)
}
