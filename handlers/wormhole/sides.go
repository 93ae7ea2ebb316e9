package wormhole

import (
	"sync"

	"restante/rendezvous"
)

// sideKey names a side of an app.
type sideKey struct {
	app  rendezvous.AppID
	side rendezvous.Side
}

// sides counts the connections of each side to this process.
type sides struct {
	mu    sync.Mutex
	count map[sideKey]int
}

// enter counts a connection until leave is called.
func (s *sides) enter(app rendezvous.AppID, side rendezvous.Side) (leave func()) {
	k := sideKey{app, side}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count == nil {
		s.count = map[sideKey]int{}
	}
	s.count[k]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.count[k]--; s.count[k] == 0 {
			delete(s.count, k)
		}
	}
}

// connected reports whether a side has a connection to this process.
func (s *sides) connected(app rendezvous.AppID, side rendezvous.Side) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[sideKey{app, side}] > 0
}
