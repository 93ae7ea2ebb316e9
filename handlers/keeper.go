package handlers

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// pingSlots is in how many groups sockets are pinged, one after the other, each every [pingEvery].
const pingSlots = 60

// keeper pings sockets, and says goodbye to all of them when the server stops. It is one
// goroutine for all, while there are any.
type keeper struct {
	mu    sync.Mutex
	slots [pingSlots]map[*wire]struct{}
	next  int // the slot that is pinged next
	kept  int
	none  chan struct{} // closed when there are none any more
}

// keep keeps a socket until it is let go of.
func (s *Server) keep(c *wire) (letGo func()) {
	k := &s.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	slot := (k.next + pingSlots - 1) % pingSlots // which was pinged last
	if k.slots[slot] == nil {
		k.slots[slot] = map[*wire]struct{}{}
	}
	k.slots[slot][c] = struct{}{}
	if k.kept++; k.kept == 1 {
		k.none = make(chan struct{})
		go s.keepAll(k.none)
	}
	select {
	case <-s.Service.Stopping():
		s.sendAway(c) // it came just before
	default:
	}
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.slots[slot], c)
		if k.kept--; k.kept == 0 {
			close(k.none)
		}
	}
}

// keepAll keeps sockets until there are none.
func (s *Server) keepAll(none <-chan struct{}) {
	tick := time.NewTicker(pingEvery / pingSlots)
	defer tick.Stop()
	stopping := s.Service.Stopping()
	for {
		select {
		case <-stopping:
			s.keeper.each(s.sendAway)
			stopping = nil
		case <-tick.C:
			s.keeper.ping()
		case <-none:
			return
		}
	}
}

// sendAway says goodbye to a socket, but not at the same time as to the others: they will all come back.
func (s *Server) sendAway(c *wire) {
	pause := rand.N(max(s.Service.Config.DrainSpan, 1)) // #nosec G404 -- spreads a load, hides nothing
	time.AfterFunc(pause, func() { c.bye(&goodbye{websocket.CloseGoingAway, "the server is stopping"}) })
}

// each calls f with each socket.
func (k *keeper) each(f func(*wire)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, slot := range k.slots {
		for c := range slot {
			f(c)
		}
	}
}

// ping pings the sockets whose turn it is.
func (k *keeper) ping() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for c := range k.slots[k.next] {
		c.watch(pingEvery + pingEvery/pingSlots)
		go func() { _ = c.ping() }() // which waits for a peer that does not read; who has gone is noticed by reading
	}
	k.next = (k.next + 1) % pingSlots
}
