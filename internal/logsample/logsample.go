// Package logsample thins out the lines of a log that a client can cause as often as it likes: writing a line for each
// refusal would cost more than what is refused.
//
// It is a package of its own because connections are refused in one place, and requests in another.
package logsample

import (
	"sync"
	"time"
)

const (
	// Interval is the time in which there is at most one line for each kind and address.
	Interval = time.Second
	// maxKeys bounds how many kinds and addresses are remembered.
	maxKeys = 10_000
)

// Sampler decides which lines are logged. Its zero value is ready, and any goroutine may use it.
type Sampler struct {
	mu   sync.Mutex
	seen map[key]*count
}

// key is what lines have in common of which few are logged.
type key struct{ kind, address string }

// count is when a line was logged last, and how many there were since.
type count struct {
	logged time.Time
	since  int
}

// Count counts what would be a line. It reports whether the line is to be logged, and for how many it stands.
func (s *Sampler) Count(kind, address string, now time.Time) (standsFor int, logIt bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil || len(s.seen) >= maxKeys {
		s.seen = map[key]*count{}
	}
	c, known := s.seen[key{kind, address}]
	if !known {
		c = &count{}
		s.seen[key{kind, address}] = c
	}
	c.since++
	if known && now.Sub(c.logged) < Interval {
		return 0, false
	}
	standsFor = c.since
	c.logged, c.since = now, 0
	return standsFor, true
}
