package handlers

import (
	"context"
	"sync"
	"time"
)

const (
	sampleInterval = 10 * time.Second
	samplesKept    = 360 // an hour of them
)

// sample is what the status page plots, at one moment.
type sample struct {
	at                                                              time.Time
	sessions, clients, mailboxes, requests, frames, failed, updated float64
}

// history is the samples of the last hour, the latest last. It is kept in memory: a start begins a new one.
type history struct {
	mu      sync.Mutex
	samples []sample
	before  struct{ requests, frames, failed float64 } // the counters at the latest sample
}

// add adds a sample, in which requests, frames and failed are counters, and turns these into rates per second.
func (h *history) add(now sample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	counters := h.before
	h.before.requests, h.before.frames, h.before.failed = now.requests, now.frames, now.failed
	seconds := 0.0
	if n := len(h.samples); n > 0 {
		seconds = now.at.Sub(h.samples[n-1].at).Seconds()
	}
	for counter, before := range map[*float64]float64{&now.requests: counters.requests, &now.frames: counters.frames, &now.failed: counters.failed} {
		if seconds <= 0 {
			*counter = 0 // there is nothing to compare with
			continue
		}
		*counter = (*counter - before) / seconds
	}
	h.samples = append(h.samples, now)
	if len(h.samples) > samplesKept {
		h.samples = append(h.samples[:0], h.samples[1:]...)
	}
}

// last returns a copy of the samples.
func (h *history) last() []sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]sample(nil), h.samples...)
}

// RunHistory records the history of the status page until ctx ends.
func (s *Server) RunHistory(ctx context.Context) {
	tick := time.NewTicker(sampleInterval)
	defer tick.Stop()
	for {
		s.record(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// record adds a sample of now to the history.
func (s *Server) record(ctx context.Context) {
	now := s.status(ctx, true)
	s.history.add(sample{
		at: time.UnixMilli(now.ServerTime), sessions: float64(now.Counts.Sessions),
		clients:   float64(now.Clients.Polls + now.Clients.Streams + now.Clients.Sockets + now.Clients.Wormhole),
		mailboxes: float64(now.Counts.Mailboxes), updated: float64(now.UpdatedAgeMs) / 1000,
		requests: float64(s.metrics.answered.Load()), failed: float64(s.metrics.failed.Load()), frames: float64(s.Service.Stats().Frames.Load()),
	})
}
