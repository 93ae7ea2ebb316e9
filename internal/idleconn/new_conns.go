package idleconn

import (
	"net"
	"net/http"
	"sync"
)

// newConns are the connections on which the client has sent nothing. Browsers open some in case that they need
// them later. [http.Server.Shutdown] waits until each is five seconds old; there is no reason to.
type newConns struct {
	mu   sync.Mutex
	open map[net.Conn]bool // nil once the server stops
}

// watch is the server's ConnState.
func (n *newConns) watch(c net.Conn, state http.ConnState) {
	_, resumed := c.(*resumedConn)
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case state != http.StateNew || resumed:
		delete(n.open, c)
	case n.open == nil:
		_ = c.Close() // nothing was sent on it
	default:
		n.open[c] = true
	}
}

// close closes all of them, and from then on each one that comes.
func (n *newConns) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.open {
		_ = c.Close() // nothing was sent on it
	}
	n.open = nil
}
