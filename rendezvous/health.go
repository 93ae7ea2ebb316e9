package rendezvous

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

const (
	watchTick     = time.Second      // how often the storage and the clock are watched
	pauseNoticed  = 15 * time.Second // a tick that is this late means that the process was paused
	probeTimeout  = 2 * time.Second
	outageNoticed = 5 * time.Second  // failures for so long, and nothing else, are an outage
	failuresApart = 15 * time.Second // failures that are further apart have nothing to do with each other
)

// health is whether the storage can be used, as far as this process knows.
type health struct {
	mu        sync.Mutex
	downSince time.Time // zero while it can be used
	confirmed bool      // it was tried again and could not be used
	readable  bool      // while confirmed: it takes no changes, but can be read

	// Failures without a success between them are one outage, also if a probe between them succeeds.
	failing      atomic.Bool
	failingSince time.Time // the first of them
	lastFailure  time.Time
}

func (h *health) markDown(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.downSince.IsZero() {
		h.downSince = now
	}
	if !h.failing.Load() || now.Sub(h.lastFailure) > failuresApart {
		h.failingSince = now
	}
	h.lastFailure = now
	h.failing.Store(true)
}

// served records that a transaction succeeded.
func (h *health) served() {
	if h.failing.Load() {
		h.failing.Store(false)
	}
}

// markUp records that the storage was tried again with success. It returns when it failed first, and
// whether that was an outage: one failure is none, because it may be that of one connection or of one
// statement.
func (h *health) markUp(now time.Time) (since time.Time, outage bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	since, outage = h.downSince, h.confirmed
	if h.failing.Load() && now.Sub(h.failingSince) >= outageNoticed {
		since, outage = h.failingSince, true
	}
	h.downSince, h.confirmed, h.readable = time.Time{}, false, false
	return since, outage
}

// confirmDown records that the storage was tried again and failed with err.
func (h *health) confirmDown(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.confirmed, h.readable = true, errors.Is(err, ErrUnwritable)
}

// unwritable returns a refusal if the storage is known to take no changes. One failure is not enough for
// that: it may be the failure of one connection.
func (h *health) unwritable() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.confirmed {
		return storageUnavailable()
	}
	return nil
}

// unreadable returns a refusal if the storage is known to be unavailable for reads, too.
func (h *health) unreadable() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.confirmed && !h.readable {
		return storageUnavailable()
	}
	return nil
}

func (h *health) down() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.downSince.IsZero()
}

// Ready returns nil if requests can be served now, and otherwise a [Failure] with DRAINING or
// STORAGE_UNAVAILABLE.
func (s *Service) Ready(ctx context.Context) error {
	if err := s.KnownReady(); err != nil {
		return err
	}
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := s.read(ctx, func(t *txn) error {
		_, err := t.Updated()
		return err
	})
	if err != nil && ctx.Err() != nil && caller.Err() == nil {
		s.health.markDown(s.local())
		return &Failure{Code: StorageUnavailable, Detail: "the storage does not answer", Err: err}
	}
	return err
}

// KnownReady is Ready without asking the storage: it returns what this process knows already.
func (s *Service) KnownReady() error {
	switch {
	case s.draining.Load():
		return serverStopping()
	case s.health.down():
		return storageUnavailable()
	}
	return nil
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
	s.tick()
	defer s.lastTick.Store(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.watchOnce(ctx)
	}
}

// watchOnce is one tick of watchLoop.
func (s *Service) watchOnce(ctx context.Context) {
	if late := s.paused(s.local()); late > 0 {
		s.startBootGrace()
		s.Log.Warn("this process was paused; nothing expires for a while", "for", late.Round(time.Second), "bootGrace", s.Config.BootGrace)
	}
	s.tick()
	if s.health.down() {
		s.logErrors("probe the storage", func() error { return s.probe(ctx) })
	}
	s.watchClock(func() error {
		return s.read(ctx, func(t *txn) error {
			t.Now()
			return nil
		})
	})
}

// tick records that the process runs. It uses the wall clock, because the monotonic one stands still
// while a machine sleeps.
func (s *Service) tick() { s.lastTick.Store(millis(s.local())) }

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
		s.health.confirmDown(err)
		s.startBootGrace() // what can be read does not expire, because its clients may not be able to come back
		return err
	}
	since, outage := s.health.markUp(s.local())
	s.pruner.storageBack()
	away := s.local().Sub(since).Round(time.Millisecond)
	if !outage {
		s.Log.Warn("the storage failed once and can be used", "ago", away)
		return nil
	}
	s.startBootGrace()
	s.Log.Warn("the storage can be used again; nothing expires for a while", "wasAwayFor", away, "bootGrace", s.Config.BootGrace)
	return nil
}

// logErrors runs one step of a loop that must go on, and reports whether it went well. An error or a panic is logged.
func (s *Service) logErrors(step string, f func() error) bool {
	err := recoverPanic(f)
	if err != nil && !errors.Is(err, context.Canceled) { // which is the server stopping
		s.Log.Error("could not "+step, "error", err)
	}
	return err == nil
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
