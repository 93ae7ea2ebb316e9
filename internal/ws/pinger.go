package ws

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// pingSlots is the number of groups into which connections are divided. The groups are pinged one after the other.
const pingSlots = 60

// Pinger pings connections, and closes them when the server stops. One goroutine serves all of them, and only while
// there are any. Its exported fields are set before first use.
type Pinger struct {
	// Interval is the time between two pings of a connection.
	Interval time.Duration
	// Stopping is closed when the server stops.
	Stopping <-chan struct{}
	// Spread is the span over which the connections are then closed: every client comes back.
	Spread time.Duration

	mu    sync.Mutex
	slots [pingSlots]map[*Conn]struct{}
	next  int // the slot that is pinged next
	count int
	none  chan struct{} // closed when there are no connections any more
}

// Add pings a connection until remove is called.
func (p *Pinger) Add(c *Conn) (remove func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	slot := (p.next + pingSlots - 1) % pingSlots // which was pinged last
	if p.slots[slot] == nil {
		p.slots[slot] = map[*Conn]struct{}{}
	}
	p.slots[slot][c] = struct{}{}
	if p.count++; p.count == 1 {
		p.none = make(chan struct{})
		go p.run(p.none)
	}
	select {
	case <-p.Stopping:
		p.sendGoingAway(c) // it came just before
	default:
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.slots[slot], c)
		if p.count--; p.count == 0 {
			close(p.none)
		}
	}
}

// run pings connections until there are none.
func (p *Pinger) run(none <-chan struct{}) {
	tick := time.NewTicker(p.Interval / pingSlots)
	defer tick.Stop()
	stopping := p.Stopping
	for {
		select {
		case <-stopping:
			p.each(p.sendGoingAway)
			stopping = nil
		case <-tick.C:
			p.ping()
		case <-none:
			return
		}
	}
}

// sendGoingAway closes a connection after a random part of the spread.
func (p *Pinger) sendGoingAway(c *Conn) {
	pause := rand.N(max(p.Spread, 1)) // #nosec G404 -- spreads a load, hides nothing
	time.AfterFunc(pause, func() { c.SendClose(&CloseError{websocket.CloseGoingAway, "the server is stopping"}) })
}

// each calls f with each connection.
func (p *Pinger) each(f func(*Conn)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, slot := range p.slots {
		for c := range slot {
			f(c)
		}
	}
}

// ping pings the connections of the next slot.
func (p *Pinger) ping() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.slots[p.next] {
		c.WakeIfGone(p.Interval + p.Interval/pingSlots)
		go func() { _ = c.Ping() }() // it waits for a peer that does not read; reading notices a peer that has gone
	}
	p.next = (p.next + 1) % pingSlots
}
