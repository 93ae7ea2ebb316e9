package main

import (
	"net"
	"net/http"
	"sync"

	"restante/parking"
)

// strangers are the connections on which nothing has been said. Browsers open some in case that they
// will need them. [http.Server.Shutdown] waits for each until it is five seconds old; there is no reason to.
type strangers struct {
	mu   sync.Mutex
	here map[net.Conn]bool // nil once they are not welcome any more
}

func newStrangers() *strangers { return &strangers{here: map[net.Conn]bool{}} }

// watch is the server's ConnState.
func (s *strangers) watch(c net.Conn, is http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case is != http.StateNew || parking.Returns(c):
		delete(s.here, c)
	case s.here == nil:
		_ = c.Close() // nothing was said on it
	default:
		s.here[c] = true
	}
}

// leave closes all that are here, and all that come.
func (s *strangers) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.here {
		_ = c.Close() // nothing was said on it
	}
	s.here = nil
}
