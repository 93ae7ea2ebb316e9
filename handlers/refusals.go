package handlers

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"restante/rendezvous"
)

const (
	// refusalInterval is the time in which the refusals of one kind to one address get one line in the log.
	refusalInterval = time.Second
	// maxRefusals bounds how many kinds and addresses are remembered.
	maxRefusals = 10_000
)

// refusals samples the log of requests that were refused because the client asks for too much: writing a line for each
// would cost more than what is refused.
type refusals struct {
	mu   sync.Mutex
	seen map[refusal]*sampled
}

// refusal is what is refused alike. The networks of one customer count as one address.
type refusal struct {
	code    rendezvous.Code
	address string
}

// sampled is when a refusal was logged last, and how many there were since.
type sampled struct {
	logged time.Time
	since  int
}

// count reports whether a refusal is to be logged, and for how many it stands.
func (r *refusals) count(code rendezvous.Code, address string, now time.Time) (standsFor int, logIt bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil || len(r.seen) >= maxRefusals {
		r.seen = map[refusal]*sampled{}
	}
	what := refusal{code, cmp.Or(rendezvous.NetworkID(address), address)}
	s, known := r.seen[what]
	if !known {
		s = &sampled{}
		r.seen[what] = s
	}
	s.since++
	if known && now.Sub(s.logged) < refusalInterval {
		return 0, false
	}
	standsFor = s.since
	s.logged, s.since = now, 0
	return standsFor, true
}

// logRefused logs a command of a wormhole client that was refused.
func (s *Server) logRefused(code rendezvous.Code, address string) {
	standsFor, logIt := s.refusals.count(code, address, time.Now())
	if !logIt {
		return
	}
	s.Log.LogAttrs(context.Background(), slog.LevelInfo, "refused a command of a wormhole client",
		slog.String("address", address), slog.String("code", string(code)), slog.Int("standsFor", standsFor))
}
