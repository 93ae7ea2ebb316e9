package torture

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// proxy passes connections on to a server, and harms some of them.
type proxy struct {
	listener net.Listener
	mu       sync.Mutex
	to       string
	open     map[net.Conn]struct{} // both ends of each connection
	rude     atomic.Int32          // how many connections out of a hundred are harmed
	paused   atomic.Int32          // above 0: nothing passes
	dice     *dice
	cut      atomic.Int64 // connections that were cut within an answer or a request
	delayed  atomic.Int64
	late     atomic.Int64 // requests that arrived after their client had been cut off
	overtake bool         // requests may arrive late, after those that were sent after them
	wg       sync.WaitGroup
}

// plan is what happens to one connection.
type plan struct {
	answer  int64         // cut after so many bytes of what the server sends; none: never
	request int64         // the same, of what the client sends
	delay   time.Duration // of each piece, either way
	late    time.Duration // the client is cut off, and what it sent last arrives so much later; 0: no
	pieces  int           // how many of what the client sends pass before that
}

// newProxy listens on a port of its own on 127.0.0.1.
func newProxy(d *dice, to string) (*proxy, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, to: to, open: map[net.Conn]struct{}{}, dice: d}
	p.wg.Go(p.accept)
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// retarget has new connections go to another server.
func (p *proxy) retarget(to string) {
	p.mu.Lock()
	p.to = to
	p.mu.Unlock()
	p.sever()
}

// sever cuts all connections.
func (p *proxy) sever() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		_ = c.Close()
	}
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.sever()
	p.wg.Wait()
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(c) })
	}
}

// draw decides about a connection. Half of the cuts are early, where heads are; the others may be anywhere.
func (p *proxy) draw() plan {
	harm := plan{answer: none, request: none}
	if p.dice == nil || !p.dice.chance(int(p.rude.Load())) {
		return harm
	}
	far := 200
	if p.dice.chance(50) {
		far = 4000
	}
	kinds := 4
	if p.overtake {
		kinds = 6
	}
	switch p.dice.below(kinds) {
	case 0:
		harm.request = int64(p.dice.below(far))
	case 1:
		harm.delay = p.dice.between(time.Millisecond, 60*time.Millisecond)
		p.delayed.Add(1)
	case 4, 5:
		harm.late, harm.pieces = p.dice.between(5*time.Millisecond, 3*time.Second), p.dice.below(3)
	default:
		harm.answer = int64(p.dice.below(far))
	}
	return harm
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close() //nolint:errcheck // there is nothing to lose
	p.mu.Lock()
	to := p.to
	p.mu.Unlock()
	server, err := new(net.Dialer).DialContext(context.Background(), "tcp", to)
	if err != nil {
		return
	}
	defer server.Close() //nolint:errcheck // nor here
	p.mu.Lock()
	p.open[client], p.open[server] = struct{}{}, struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, client)
		delete(p.open, server)
	}()
	harm := p.draw()
	if harm.late > 0 {
		p.serveLate(client, server, harm)
		return
	}
	ended := make(chan struct{}, 2)
	pass := func(to, from net.Conn, most int64) {
		defer func() { ended <- struct{}{} }()
		if p.pass(to, from, most, harm.delay) {
			p.cut.Add(1)
		}
		_ = to.Close()
		_ = from.Close()
	}
	go pass(server, client, harm.request)
	go pass(client, server, harm.answer)
	<-ended
	<-ended
}

// serveLate cuts the client off when it has sent something, and delivers that later: the client tries again meanwhile, and
// goes on, so that what it sends then arrives first.
func (p *proxy) serveLate(client, server net.Conn, harm plan) {
	answered := make(chan struct{})
	defer func() {
		_ = server.Close()
		<-answered
	}()
	go func() {
		defer close(answered)
		defer client.Close()                 //nolint:errcheck // there is nothing to lose
		_, _ = io.Copy(sink{client}, server) // what comes after the cut is dropped
	}()
	piece := make([]byte, 32<<10)
	for range harm.pieces {
		n, err := client.Read(piece)
		p.wait()
		if _, failed := server.Write(piece[:n]); err != nil || failed != nil {
			return
		}
	}
	n, err := client.Read(piece)
	if err != nil {
		return
	}
	_ = client.Close()
	time.Sleep(harm.late)
	p.wait()
	if _, err := server.Write(piece[:n]); err != nil {
		return
	}
	p.late.Add(1)
	select { // a server that sees the connection end may give the request up
	case <-answered:
	case <-time.After(time.Second):
	}
}

// sink is a writer that never fails.
type sink struct{ to io.Writer }

func (s sink) Write(b []byte) (int, error) {
	_, _ = s.to.Write(b)
	return len(b), nil
}

// wait waits until things pass again.
func (p *proxy) wait() {
	for p.paused.Load() > 0 {
		time.Sleep(5 * time.Millisecond)
	}
}

// pass copies until the end, or until most bytes; then it reports that it cut.
func (p *proxy) pass(to io.Writer, from io.Reader, most int64, delay time.Duration) (cut bool) {
	piece := make([]byte, 32<<10)
	for passed := int64(0); ; {
		n, err := from.Read(piece)
		p.wait()
		time.Sleep(delay)
		if most != none && passed+int64(n) > most {
			_, _ = to.Write(piece[:most-passed])
			return true
		}
		if _, failed := to.Write(piece[:n]); err != nil || failed != nil {
			return false
		}
		passed += int64(n)
	}
}
