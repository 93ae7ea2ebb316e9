package parking

import (
	"net"
	"net/http"
	"sync"
)

// NewConnections are the connections on which nothing has been said. Browsers open some in case that they
// need them later. [http.Server.Shutdown] waits for each until it is five seconds old; there is no reason to.
type NewConnections struct {
	mu   sync.Mutex
	open map[net.Conn]bool // nil once the server stops
}

// NewNewConnections returns an empty set.
func NewNewConnections() *NewConnections { return &NewConnections{open: map[net.Conn]bool{}} }

// Watch is the server's ConnState.
func (n *NewConnections) Watch(c net.Conn, is http.ConnState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case is != http.StateNew || Returns(c):
		delete(n.open, c)
	case n.open == nil:
		_ = c.Close() // nothing was said on it
	default:
		n.open[c] = true
	}
}

// Close closes all new connections, and from then on each one that comes.
func (n *NewConnections) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.open {
		_ = c.Close() // nothing was said on it
	}
	n.open = nil
}
