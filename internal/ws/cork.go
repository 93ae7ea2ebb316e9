package ws

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"restante/internal/idleconn"
)

// corkConn is a connection whose writes can be corked: several messages then share a packet and a system call. Its
// reads are buffered, with a buffer that it has only while something is read.
type corkConn struct {
	net.Conn

	buffer *[]byte // nil while nothing is read; the goroutine that reads owns it, and the next field
	unread []byte

	mu      sync.Mutex
	corked  bool
	pending *[]byte // nil while nothing is corked
}

// corkBuffers are shared by the connections, which need one only while they are corked.
var corkBuffers = sync.Pool{New: func() any { return new([]byte) }}

// maxCorkBuffer is the largest buffer that is kept for another time, in bytes.
const maxCorkBuffer = 64 << 10

// readBuffers are shared by the connections, which need one only while something is read.
var readBuffers = sync.Pool{New: func() any { return new(make([]byte, 4<<10)) }}

// Read implements [net.Conn].
func (c *corkConn) Read(into []byte) (int, error) {
	if len(c.unread) == 0 {
		if c.buffer == nil {
			c.buffer, _ = readBuffers.Get().(*[]byte)
		}
		n, err := c.Conn.Read(*c.buffer)
		if n == 0 {
			return 0, err
		}
		c.unread = (*c.buffer)[:n]
	}
	n := copy(into, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

// errBufferFull reports that nothing more can be read ahead.
var errBufferFull = errors.New("the read buffer is full")

// readAhead receives more, behind what was received and has not been read.
func (c *corkConn) readAhead() error {
	if c.buffer == nil {
		c.buffer, _ = readBuffers.Get().(*[]byte)
	}
	buffer := *c.buffer
	kept := copy(buffer, c.unread)
	c.unread = buffer[:kept]
	if kept == len(buffer) {
		return errBufferFull
	}
	n, err := c.Conn.Read(buffer[kept:])
	c.unread = buffer[:kept+n]
	if n > 0 {
		return nil
	}
	return err
}

// buffered reports whether something was received that has not been read.
func (c *corkConn) buffered() bool { return len(c.unread) > 0 }

// releaseBuffer gives the read buffer back. Nothing may be buffered.
func (c *corkConn) releaseBuffer() {
	if c.buffer != nil {
		readBuffers.Put(c.buffer)
		c.buffer, c.unread = nil, nil
	}
}

// Write implements [net.Conn].
func (c *corkConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.corked {
		return c.Conn.Write(b)
	}
	*c.pending = append(*c.pending, b...)
	return len(b), nil
}

// Cork holds back what is written from now on.
func (c *corkConn) Cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.corked = true
	c.pending, _ = corkBuffers.Get().(*[]byte)
}

// stride is how many bytes the peer must take within the time limit of a write. A peer may be slow, but it must make
// progress.
const stride = 16 << 10

// Uncork writes what was held back.
func (c *corkConn) Uncork(limit time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := *c.pending
	defer func() {
		if *c.pending = b[:0]; cap(b) <= maxCorkBuffer {
			corkBuffers.Put(c.pending)
		}
		c.corked, c.pending = false, nil
	}()
	for rest := b; len(rest) > 0; {
		if err := c.SetWriteDeadline(time.Now().Add(limit)); err != nil {
			return err
		}
		n, err := c.Conn.Write(rest[:min(stride, len(rest))])
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// hijacker is a ResponseWriter whose connection, once it is taken over, is a corkConn.
type hijacker struct {
	http.ResponseWriter
	below *corkConn
	in    *bufio.Reader
	early *EarlyError // the client has sent something already
}

// readAhead is the least that a WebSocket buffers, in bytes. What it reads from has a buffer of its own.
const readAhead = 257

// Hijack implements [http.Hijacker].
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	if buffered.Reader.Buffered() > 0 {
		h.early = &EarlyError{conn: conn, header: h.Header().Clone(), status: http.StatusBadRequest}
		return nil, nil, h.early
	}
	h.below = &corkConn{Conn: idleconn.Unwrap(conn)}
	h.in = bufio.NewReaderSize(h.below, readAhead)
	return h.below, bufio.NewReadWriter(h.in, buffered.Writer), nil
}
