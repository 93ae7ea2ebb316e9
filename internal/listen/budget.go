package listen

import (
	"iter"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"restante/internal/logsample"
)

// networkShare is how many times the limit of an IPv6 network of 64 bits applies to the network of 48 bits around it.
const networkShare = 4

// Budget is how many connections there may be. Its fields are set before the first use.
type Budget struct {
	PerAddress int            // from an address; an IPv6 network of 64 bits counts as one
	Total      int            // in all; 0 is no limit
	Exempt     []netip.Prefix // addresses that only Total limits: proxies, whose connections are those of many clients
	Log        *slog.Logger
	// MakeRoom closes a connection that is not needed, and returns false if there is none. It is called when there are
	// Total; nil makes no room.
	MakeRoom func() bool
	// Name returns what stands for an address in the log.
	Name func(netip.Addr) string

	// Refused counts the connections that were closed at once, and Failed those that could not be accepted.
	Refused, Failed atomic.Int64

	mu     sync.Mutex
	open   map[netip.Prefix]int
	total  int
	logged logsample.Sampler
}

// admit counts a connection in, or returns false if it is one too many. If there are too many in all, one that is not
// needed makes room.
func (b *Budget) admit(from netip.Addr) bool {
	admitted, full := b.enter(from, b.MakeRoom == nil)
	if full && b.MakeRoom != nil {
		b.MakeRoom()
		admitted, _ = b.enter(from, true)
	}
	return admitted
}

// enter counts a connection in. full reports that there are too many in all; it is refused then if refuse is true.
func (b *Budget) enter(from netip.Addr, refuse bool) (admitted, full bool) {
	exempt := b.exempt(from)
	b.mu.Lock()
	defer b.mu.Unlock()
	for p, share := range networks(from) {
		if !exempt && b.open[p] >= share*b.PerAddress {
			b.refuse(from)
			return false, false
		}
	}
	if b.Total > 0 && b.total >= b.Total {
		if refuse {
			b.refuse(from)
		}
		return false, true
	}
	b.count(from, 1)
	return true, false
}

// leave counts a connection out.
func (b *Budget) leave(from netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count(from, -1)
}

// count counts a connection in (1) or out (-1). mu is held.
func (b *Budget) count(from netip.Addr, by int) {
	b.total += by
	if b.exempt(from) {
		return
	}
	if b.open == nil {
		b.open = map[netip.Prefix]int{}
	}
	for p := range networks(from) {
		if b.open[p] += by; b.open[p] == 0 {
			delete(b.open, p)
		}
	}
}

// networks are those that an address belongs to, and the connections that each may have, as multiples of an address's.
func networks(a netip.Addr) iter.Seq2[netip.Prefix, int] {
	return func(yield func(netip.Prefix, int) bool) {
		share := 1
		for _, bits := range []int{64, 48} {
			if a.Is4() {
				bits = 32
			}
			if p, err := a.Prefix(bits); err != nil || !yield(p, share) || a.Is4() {
				return
			}
			share = networkShare
		}
	}
}

func (b *Budget) exempt(a netip.Addr) bool {
	for _, p := range b.Exempt {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// refuse counts and logs a connection that is closed at once. mu is held.
func (b *Budget) refuse(from netip.Addr) {
	b.Refused.Add(1)
	network := from
	if wide, err := from.Prefix(48); err == nil && from.Is6() {
		network = wide.Addr()
	}
	if standsFor, logIt := b.logged.Count("refused", network.String(), time.Now()); logIt {
		b.Log.Warn("too many connections; closed one at once", "address", b.Name(from), "open", b.total, "standsFor", standsFor)
	}
}

// failed counts and logs a connection that could not be accepted.
func (b *Budget) failed(err error) {
	b.Failed.Add(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if standsFor, logIt := b.logged.Count("failed", "", time.Now()); logIt {
		b.Log.Warn("could not accept a connection", "error", err, "open", b.total, "standsFor", standsFor)
	}
}

// limited is a listener that keeps a budget.
type limited struct {
	net.Listener
	budget *Budget
}

// Accept implements [net.Listener]. It closes the connections that are too many.
func (l limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			if temporary, is := err.(interface{ Temporary() bool }); is && temporary.Temporary() {
				l.budget.failed(err)
			}
			return nil, err
		}
		tcp, is := conn.(*net.TCPConn)
		if !is {
			return conn, nil // from a Unix socket: behind it is a proxy
		}
		peer, _ := netip.ParseAddrPort(tcp.RemoteAddr().String())
		if from := peer.Addr().Unmap().WithZone(""); l.budget.admit(from) {
			return &countedConn{TCPConn: tcp, budget: l.budget, from: from}, nil
		}
		_ = tcp.SetLinger(0) // a connection that is refused must not linger here
		_ = tcp.Close()      // at worst, the client has closed it
	}
}

// countedConn is a connection that is counted until it is closed. One that waits keeps this, so it holds no more than it
// needs.
type countedConn struct {
	*net.TCPConn
	budget *Budget
	from   netip.Addr
	left   atomic.Bool
}

// Close implements [net.Conn].
func (c *countedConn) Close() error {
	err := c.TCPConn.Close()
	if !c.left.Swap(true) {
		c.budget.leave(c.from)
	}
	return err
}
