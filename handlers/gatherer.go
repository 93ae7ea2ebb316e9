package handlers

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"time"

	"restante/internal/idleconn"
)

// gatherer is a connection whose writes can be gathered, so that several messages
// go in one packet and cost one system call; and they are read so, too.
type gatherer struct {
	net.Conn

	reading *[]byte // nil while nothing is read; it belongs to who reads, and so does the next
	unread  []byte

	mu        sync.Mutex
	gathering bool
	gathered  *[]byte // nil while there is none
}

// gatherings are buffers, of which a connection needs one only while it gathers.
var gatherings = sync.Pool{New: func() any { return new([]byte) }}

// largestGathering is the largest buffer that is kept for another time.
const largestGathering = 64 << 10

// readings are buffers, of which a connection needs one only while it is read from.
var readings = sync.Pool{New: func() any { return new(make([]byte, 4<<10)) }}

// Read implements net.Conn.
func (g *gatherer) Read(into []byte) (int, error) {
	if len(g.unread) == 0 {
		if g.reading == nil {
			g.reading, _ = readings.Get().(*[]byte)
		}
		n, err := g.Conn.Read(*g.reading)
		if n == 0 {
			return 0, err
		}
		g.unread = (*g.reading)[:n]
	}
	n := copy(into, g.unread)
	g.unread = g.unread[n:]
	return n, nil
}

// pending tells whether something was received that has not been read.
func (g *gatherer) pending() bool { return len(g.unread) > 0 }

// rest gives back what is needed only to read. Nothing may be pending.
func (g *gatherer) rest() {
	if g.reading != nil {
		readings.Put(g.reading)
		g.reading, g.unread = nil, nil
	}
}

// Write implements net.Conn.
func (g *gatherer) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.gathering {
		return g.Conn.Write(b)
	}
	*g.gathered = append(*g.gathered, b...)
	return len(b), nil
}

// gather has what is written from now on wait.
func (g *gatherer) gather() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gathering = true
	g.gathered, _ = gatherings.Get().(*[]byte)
}

// stride is how much must be taken by the peer within the limit for writing. A peer may be slow, but it
// must move.
const stride = 16 << 10

// release has it go.
func (g *gatherer) release(limit time.Duration) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := *g.gathered
	defer func() {
		if *g.gathered = b[:0]; cap(b) <= largestGathering {
			gatherings.Put(g.gathered)
		}
		g.gathering, g.gathered = false, nil
	}()
	for rest := b; len(rest) > 0; {
		if err := g.SetWriteDeadline(time.Now().Add(limit)); err != nil {
			return err
		}
		n, err := g.Conn.Write(rest[:min(stride, len(rest))])
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// hijacker is a ResponseWriter whose connection, once it is taken over, is a gatherer.
type hijacker struct {
	http.ResponseWriter
	taken *gatherer
	in    *bufio.Reader
}

// readAhead is the least that a WebSocket reads through. What it reads from has a buffer of its own.
const readAhead = 257

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.taken = &gatherer{Conn: idleconn.Unwrap(conn)}
	if buffered.Reader.Buffered() > 0 {
		return h.taken, buffered, nil // which is refused: nothing may be said yet
	}
	h.in = bufio.NewReaderSize(h.taken, readAhead)
	return h.taken, bufio.NewReadWriter(h.in, buffered.Writer), nil
}
