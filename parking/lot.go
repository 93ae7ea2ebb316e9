package parking

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
)

// Lot is where connections are parked. [New] makes one; a nil Lot parks nothing.
//
// A Lot is a [net.Listener] too: what goes on is served by the [http.Server] that serves it.
type Lot struct {
	log    *slog.Logger
	poller *poller
	polled chan struct{} // closed when polling has ended

	done    chan struct{} // closed with the lot
	arrived chan struct{} // holds one if something came to back

	mu       sync.Mutex // guards the following
	places   map[int32]*place
	last     uint32        // generation
	back     []*returning  // goes on
	requests int           // parked, and not resumed since
	settled  chan struct{} // closed when there are none; nil while nobody asks
	closed   bool
}

// place is a parked connection's, until it stirs or is called.
type place struct {
	conn       syscall.RawConn
	descriptor int32
	generation uint32           // tells it from others that the descriptor had
	out        func(stirs bool) // is called once, under the lot's lock
}

// New makes a Lot. It fails where the system has no means for one.
func New(log *slog.Logger) (*Lot, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	l := &Lot{
		log: log, poller: p, polled: make(chan struct{}), places: map[int32]*place{},
		done: make(chan struct{}), arrived: make(chan struct{}, 1),
	}
	go l.poll()
	return l, nil
}

// enter gives a connection a place, of which it can be called out from then on.
func (l *Lot) enter(conn net.Conn, out func(stirs bool)) (*place, error) {
	tcp, is := conn.(*net.TCPConn)
	if !is {
		return nil, errors.ErrUnsupported
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	p := &place{conn: raw, out: out}
	if err := raw.Control(func(descriptor uintptr) { p.descriptor = int32(descriptor) }); err != nil { // #nosec G115 -- the kernel's are
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, net.ErrClosed
	}
	l.last++
	p.generation = l.last
	l.places[p.descriptor] = p
	return p, nil
}

// attend has a connection called out when it stirs, which may be now, if it has not been called out before.
func (l *Lot) attend(p *place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.places[p.descriptor] != p {
		return
	}
	var failed error
	err := p.conn.Control(func(uintptr) { failed = l.poller.add(p.descriptor, p.generation) })
	if err != nil || failed != nil {
		l.leaveLocked(p, true) // it is served as others are
	}
}

// call calls a connection out, unless it was before.
func (l *Lot) call(p *place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leaveLocked(p, false)
}

// leaveLocked does not undo what the poller was asked for: at most, that tells of a generation that
// is gone.
func (l *Lot) leaveLocked(p *place, stirs bool) {
	if l.places[p.descriptor] == p {
		delete(l.places, p.descriptor)
		p.out(stirs)
	}
}

// poll calls out the connections that stir.
func (l *Lot) poll() {
	defer close(l.polled)
	err := l.poller.run(func(descriptor int32, generation uint32) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if p := l.places[descriptor]; p != nil && p.generation == generation {
			l.leaveLocked(p, true)
		}
	})
	if l.close() {
		l.log.Error("connections that wait are not parked any more", "error", err)
	}
}

// Close ends the lot: what is parked goes on, and can only end. It implements [net.Listener].
func (l *Lot) Close() error {
	if l != nil && l.close() {
		l.poller.close()
		<-l.polled
	}
	return nil
}

// close tells whether it did.
func (l *Lot) close() bool {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	l.closed = true
	close(l.done)
	for _, p := range l.places {
		l.leaveLocked(p, true)
	}
	back := l.back
	l.back = nil
	l.mu.Unlock()
	for _, b := range back {
		_ = b.Close() // nothing is under way on it
	}
	return true
}

// Sleep has wake called, on a goroutine of its own, when conn stirs: when there is
// something to read, its end included. It answers false if conn cannot be parked: then wake is not called.
// rouse has it called at once, unless it was.
func (l *Lot) Sleep(conn net.Conn, wake func()) (rouse func(), asleep bool) {
	if l == nil {
		return nil, false
	}
	p, err := l.enter(conn, func(bool) { go wake() })
	if err != nil {
		return nil, false
	}
	l.attend(p)
	return func() { l.call(p) }, true
}

// Settle waits until every request that was parked is served again, or ctx ends. It does not have them go on: what they wait for does.
func (l *Lot) Settle(ctx context.Context) {
	if l == nil {
		return
	}
	l.mu.Lock()
	if l.settled == nil {
		l.settled = make(chan struct{})
	}
	settled := l.settled
	l.countLocked(0)
	l.mu.Unlock()
	select {
	case <-settled:
	case <-ctx.Done():
	}
}

// countLocked counts the requests that are parked.
func (l *Lot) countLocked(more int) {
	if l.requests += more; l.requests == 0 && l.settled != nil {
		close(l.settled)
		l.settled = nil
	}
}
