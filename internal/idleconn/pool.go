package idleconn

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"restante/internal/workers"
)

// maxResting is how many goroutines a pool keeps that have nothing to do.
const maxResting = 64

// Pool holds the connections that wait. [NewPool] makes one; a nil Pool holds nothing.
//
// A Pool is also a [net.Listener]: its Accept returns the connections that are to be served again.
type Pool struct {
	log         *slog.Logger
	poller      *poller
	polled      chan struct{} // closed when polling has ended
	quiet       *quietConns
	workers     *workers.Pool
	idleTimeout time.Duration // how long the next request of a connection is awaited; 0 stands for ever

	done    chan struct{} // closed with the pool
	arrived chan struct{} // holds one value if resumed has grown

	mu       sync.Mutex // guards the following
	entries  map[int32]*entry
	last     uint32         // the last generation
	resumed  []*resumedConn // to be accepted
	requests int            // that wait and have not been resumed, and answers that go on
	settled  chan struct{}  // closed when requests is 0; nil while nothing waits for that
	stopping bool           // no more requests may wait in the pool
	closed   bool
}

// entry is a connection in the pool, until it is readable or woken.
type entry struct {
	conn       syscall.RawConn
	descriptor int32
	generation uint32              // tells it from earlier connections with the same descriptor
	out        func(readable bool) // is called once, under the pool's lock
}

// NewPool makes a Pool. It returns [errors.ErrUnsupported] where the system has no means for one.
func NewPool(log *slog.Logger) (*Pool, error) {
	poller, err := newPoller()
	if err != nil {
		return nil, err
	}
	p := &Pool{
		log: log, poller: poller, polled: make(chan struct{}), quiet: &quietConns{}, entries: map[int32]*entry{},
		done: make(chan struct{}), arrived: make(chan struct{}, 1),
	}
	p.workers = workers.NewPool(maxResting, p.done)
	go p.poll()
	return p, nil
}

// enter adds a connection to the pool. From then on, wake can remove it.
func (p *Pool) enter(conn net.Conn, out func(readable bool)) (*entry, error) {
	socket, is := conn.(syscall.Conn) // which a connection with TLS is not: it may hold what was read, and is not readable then
	if !is {
		return nil, errors.ErrUnsupported
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	e := &entry{conn: raw, out: out}
	if err := raw.Control(func(descriptor uintptr) { e.descriptor = int32(descriptor) }); err != nil { // #nosec G115 -- the kernel's are
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, net.ErrClosed
	}
	p.last++
	e.generation = p.last
	p.entries[e.descriptor] = e
	return e, nil
}

// watch removes the entry once its connection is readable, which may be at once. An entry that was removed stays
// removed.
func (p *Pool) watch(e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.entries[e.descriptor] != e {
		return
	}
	var failed error
	err := e.conn.Control(func(uintptr) { failed = p.poller.add(e.descriptor, e.generation) })
	if err != nil || failed != nil {
		p.removeLocked(e, true) // it is served on a goroutine
	}
}

// wake removes the entry, unless it was removed before.
func (p *Pool) wake(e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.removeLocked(e, false)
}

// drop removes the entry without a call, unless it was removed before.
func (p *Pool) drop(e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropLocked(e)
}

func (p *Pool) dropLocked(e *entry) {
	if p.entries[e.descriptor] == e {
		delete(p.entries, e.descriptor)
	}
}

// removeLocked does not withdraw the connection from the poller: at most, the poller reports a generation that
// is gone.
func (p *Pool) removeLocked(e *entry, readable bool) {
	if p.entries[e.descriptor] == e {
		delete(p.entries, e.descriptor)
		e.out(readable)
	}
}

// poll removes the entries whose connections are readable, until the pool is closed.
func (p *Pool) poll() {
	defer close(p.polled)
	err := p.poller.run(func(descriptor int32, generation uint32) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if e := p.entries[descriptor]; e != nil && e.generation == generation {
			p.removeLocked(e, true)
		}
	})
	if p.close() {
		p.log.Error("idle connections are no longer polled; clients wait on goroutines", "error", err)
	}
}

// Close ends the pool: every request in it is served again, and can only end. It implements [net.Listener].
func (p *Pool) Close() error {
	if p != nil && p.close() {
		p.poller.close()
		<-p.polled
	}
	return nil
}

// close reports whether this call closed the pool.
func (p *Pool) close() bool {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return false
	}
	p.closed = true
	close(p.done)
	for _, e := range p.entries {
		p.removeLocked(e, true)
	}
	resumed := p.resumed
	p.resumed = nil
	p.mu.Unlock()
	for _, c := range resumed {
		_ = c.Close() // nothing is under way on it
	}
	return true
}

func (p *Pool) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// WhenReadable calls f on a goroutine of its own once conn is readable, which it also is at its end. Calling wake
// has f run at once, unless it has run. If the pool cannot hold conn, ok is false and f never runs.
func (p *Pool) WhenReadable(conn net.Conn, f func()) (wake func(), ok bool) {
	if p == nil {
		return nil, false
	}
	e, err := p.enter(conn, func(bool) { p.workers.Run(f) })
	if err != nil {
		return nil, false
	}
	p.watch(e)
	return func() { p.wake(e) }, true
}

// begin counts one more request, before its connection leaves the server: at each moment, the server waits for it when it
// stops, or the pool does. It returns false once the server stops. Then requests wait on their goroutines.
func (p *Pool) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		return false
	}
	p.countLocked(1)
	return true
}

// end counts out what begin counted.
func (p *Pool) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.countLocked(-1)
}

// settle waits until every request in the pool is served again, or ctx ends. It does not wake them.
func (p *Pool) settle(ctx context.Context) {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.stopping = true
	if p.settled == nil {
		p.settled = make(chan struct{})
	}
	settled := p.settled
	p.countLocked(0)
	p.mu.Unlock()
	select {
	case <-settled:
	case <-ctx.Done():
	}
}

// countLocked counts the requests that wait.
func (p *Pool) countLocked(more int) {
	if p.requests += more; p.requests == 0 && p.settled != nil {
		close(p.settled)
		p.settled = nil
	}
}

// resume puts a connection where Accept takes it from, or closes it if the pool is closed.
func (p *Pool) resume(c *resumedConn) {
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.resumeLocked(c)
	}
	p.mu.Unlock()
	if closed {
		_ = c.Close() // nothing is under way on it
	}
}

func (p *Pool) resumeLocked(c *resumedConn) {
	p.resumed = append(p.resumed, c)
	select {
	case p.arrived <- struct{}{}:
	default: // Accept has not looked since the last one
	}
}

// Accept implements [net.Listener]: it waits for a connection that is to be served again.
func (p *Pool) Accept() (net.Conn, error) {
	for {
		if c := p.next(); c != nil {
			return c, nil
		}
		select {
		case <-p.arrived:
		case <-p.done:
			return nil, net.ErrClosed
		}
	}
}

func (p *Pool) next() *resumedConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.resumed) == 0 {
		p.resumed = nil
		return nil
	}
	c := p.resumed[0]
	p.resumed = p.resumed[1:]
	return c
}

// Addr implements [net.Listener]. There is no address to connect to.
func (p *Pool) Addr() net.Addr { return noAddr{} }

type noAddr struct{}

func (noAddr) Network() string { return "idleconn" }
func (noAddr) String() string  { return "idle connections" }
