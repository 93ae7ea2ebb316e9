package rendezvous

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

const (
	watchTick     = time.Second      // how often the storage and the clock are watched
	countInterval = time.Minute      // how often the sessions are counted, for their limit
	pauseNoticed  = 15 * time.Second // a tick that is this late means that the process was paused
	probeTimeout  = 2 * time.Second
)

// health is whether the storage can be used, as far as this process knows.
type health struct {
	mu        sync.Mutex
	downSince time.Time // zero while it can be used
	confirmed bool      // it was tried again and could not be used
}

func (h *health) markDown(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.downSince.IsZero() {
		h.downSince = now
	}
}

// markUp ends an outage. It returns when the outage began.
func (h *health) markUp() (since time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	since, h.downSince, h.confirmed = h.downSince, time.Time{}, false
	return since
}

// confirmDown records that the storage was tried again without success.
func (h *health) confirmDown() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.confirmed = true
}

// confirmedDown reports that the storage is known to be unavailable. One failure is not enough for
// that: it may be the failure of one connection.
func (h *health) confirmedDown() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.confirmed
}

func (h *health) down() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.downSince.IsZero()
}

// Ready returns nil if requests can be served now, and otherwise a [Failure] with DRAINING or
// STORAGE_UNAVAILABLE.
func (s *Service) Ready(ctx context.Context) error {
	if s.draining.Load() {
		return serverStopping()
	}
	if s.health.down() {
		return storageUnavailable()
	}
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := s.read(ctx, func(t *txn) error {
		_, err := t.Updated()
		return err
	})
	if err != nil && ctx.Err() != nil && caller.Err() == nil {
		s.health.markDown(s.now())
		return &Failure{Code: StorageUnavailable, Detail: "the storage does not answer", Err: err}
	}
	return err
}

// storageUnavailable is the refusal while the storage is known to be unavailable. It comes at once:
// otherwise every request would wait until it finds that out for itself.
func storageUnavailable() *Failure {
	return refuse(StorageUnavailable, "the storage cannot be used at the moment; nothing was changed, try again")
}

// watchLoop notices that the storage is available again and that the process was paused. In both cases
// clients could not reach this process, so nothing expires for a while.
func (s *Service) watchLoop(ctx context.Context) {
	tick := time.NewTicker(watchTick)
	defer tick.Stop()
	recount := time.NewTicker(countInterval)
	defer recount.Stop()
	s.logErrors("count", func() error { return s.count(ctx) })
	s.tick()
	defer s.lastTick.Store(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-recount.C:
			s.logErrors("count", func() error { return s.count(ctx) })
			continue
		case <-tick.C:
		}
		if late := s.paused(s.now()); late > 0 {
			s.startBootGrace()
			s.Log.Warn("this process was paused; nothing expires for a while", "for", late.Round(time.Second), "bootGrace", s.Config.BootGrace)
		}
		s.tick()
		if s.health.down() {
			s.logErrors("probe the storage", func() error { return s.probe(ctx) })
		}
	}
}

// tick records that the process runs. It uses the wall clock, because the monotonic one stands still
// while a machine sleeps.
func (s *Service) tick() { s.lastTick.Store(millis(s.now())) }

// paused returns for how long the process has not run, or 0 if that was too short to matter.
func (s *Service) paused(now time.Time) time.Duration {
	lastTick := s.lastTick.Load()
	if late := now.Sub(time.UnixMilli(lastTick)); lastTick > 0 && late > pauseNoticed {
		return late
	}
	return 0
}

// probe tries the storage after a failure.
func (s *Service) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if err := s.Store.Probe(ctx); err != nil {
		s.health.confirmDown()
		return err
	}
	since := s.health.markUp()
	s.startBootGrace()
	s.Log.Warn("the storage can be used again; nothing expires for a while", "wasAwayFor", s.now().Sub(since).Round(time.Millisecond), "bootGrace", s.Config.BootGrace)
	return nil
}

// logErrors runs one step of a loop that must go on. An error or a panic is logged.
func (s *Service) logErrors(step string, f func() error) {
	if err := recoverPanic(f); err != nil && !errors.Is(err, context.Canceled) { // which is the server stopping
		s.Log.Error("could not "+step, "error", err)
	}
}

// recoverPanic runs f and turns a panic into an error.
func recoverPanic(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}
