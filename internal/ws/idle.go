package ws

import (
	"bufio"
	"errors"
	"io"
	"math"
	"os"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// lingerWoken is how long a connection that was woken waits for a message. What woke it may have been a pong.
	lingerWoken = 5 * time.Millisecond
	// forever is longer than any wait.
	forever time.Duration = math.MaxInt64
)

// Serve calls handle, which reads the message, whenever the peer begins one. Once handle or the connection fails, it
// calls end with the error, or with nil after a panic. Serve may return before that: once no message has come for
// linger, the connection waits without a goroutine if it can, and the next message is handled on another one.
func (c *Conn) Serve(linger time.Duration, handle func() error, end func(error)) {
	c.serve(linger, linger, handle, end)
}

// serve is Serve, but waits for the first message as long as first says.
func (c *Conn) serve(first, linger time.Duration, handle func() error, end func(error)) {
	var err error
	over := true
	defer func() {
		if over { // also after a panic
			end(err)
		}
	}()
	for wait := first; err == nil; wait = linger {
		var begun bool
		begun, err = c.Wait(wait)
		if err == nil && !begun {
			if over = !c.WhenReadable(func() { c.Go(func() { c.serve(lingerWoken, linger, handle, end) }) }); !over {
				return
			}
			_, err = c.Wait(forever)
		}
		if err == nil {
			err = handle()
		}
	}
}

// Wait waits until the peer begins a message. It returns false after atMost without one. The error tells that the peer
// has been silent for too long, or that the connection has failed. After a message that was too large, Wait first skips
// the rest of it, which takes as long as the peer takes to send it.
func (c *Conn) Wait(atMost time.Duration) (begun bool, err error) {
	if c.isEnding() {
		c.alive() // if the peer has left, what it asked for last may have taken longer than reading may
	}
	if c.rest != nil {
		if _, err := io.Copy(io.Discard, c.rest); err != nil {
			return false, c.failed(err)
		}
		c.rest = nil
	}
	for began := time.Now(); ; { // pings and pongs do not begin it again
		if c.in.Buffered() == 0 && !c.below.buffered() {
			if readable, err := c.peek(atMost - time.Since(began)); !readable {
				return false, err
			}
			c.alive()
		}
		if control, err := c.takeControl(); !control || err != nil {
			return err == nil, err
		}
	}
}

// peek waits until there is something to read.
func (c *Conn) peek(atMost time.Duration) (readable bool, err error) {
	for began := time.Now(); ; {
		now := time.Now()
		c.reading.Lock()
		ending := c.ending || c.left
		dead := c.heard.Add(c.options.IdleTimeout)
		c.readUntil(now.Add(min(atMost-now.Sub(began), dead.Sub(now))))
		c.reading.Unlock()
		_, err := c.in.Peek(1)
		if err == nil {
			return true, nil
		}
		switch now := time.Now(); {
		case ending, !errors.Is(err, os.ErrDeadlineExceeded), !now.Before(dead):
			return false, err
		case c.isEnding(): // since it began to wait: what came meanwhile may be unread
		case now.Sub(began) >= atMost:
			return false, nil
		}
	}
}

// takeControl takes in a ping or a pong that stands between two messages (RFC 6455, §5.5): to read the next message
// would be to wait for one.
func (c *Conn) takeControl() (taken bool, err error) {
	const (
		final, masked = 0x80, 0x80
		header        = 2 + 4 // flags and size, mask
	)
	head, err := c.in.Peek(2)
	if err != nil {
		return false, err
	}
	kind, size := int(head[0]&0xf), int(head[1]&^masked)
	if head[0]&0xf0 != final || head[1]&masked == 0 || size > 125 || kind != websocket.PingMessage && kind != websocket.PongMessage {
		return false, nil // a message, or something for which the reader of messages closes the connection
	}
	frame, err := c.in.Peek(header + size)
	if err != nil {
		return false, err
	}
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = frame[header+i] ^ frame[2+i%4]
	}
	if _, err := c.in.Discard(header + size); err != nil {
		return false, err
	}
	if kind == websocket.PingMessage {
		return true, c.conn.PingHandler()(string(payload))
	}
	return true, c.conn.PongHandler()(string(payload))
}

// WhenReadable calls f on another goroutine when the peer sends something, or when reading is to end. The caller must
// not read until then. A [Pinger] notices a peer that is silent for too long. It returns false if the connection
// cannot wait without a goroutine.
func (c *Conn) WhenReadable(f func()) (ok bool) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.ending || c.left {
		return false
	}
	c.below.releaseBuffer() // before another goroutine reads
	c.releaseReader()
	c.wake, ok = c.pool.WhenReadable(c.below.Conn, func() {
		c.takeReader()
		f()
	})
	if !ok {
		c.takeReader()
	}
	return ok
}

// readers are shared by the connections, which need one only while something is read.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, readAhead) }}

// releaseReader gives the buffer of in back. Nothing may be buffered.
func (c *Conn) releaseReader() {
	r := *c.in // conn keeps the pointer, so what it points to is exchanged
	r.Reset(nil)
	readers.Put(&r)
	*c.in = bufio.Reader{}
}

// takeReader gives in a buffer.
func (c *Conn) takeReader() {
	r, _ := readers.Get().(*bufio.Reader)
	r.Reset(c.below)
	*c.in = *r
}

// WakeIfGone has the connection read again when its peer counts as gone, if that may be before the next call. Without
// it, or a [Pinger], a connection that waits without a goroutine does not notice that.
func (c *Conn) WakeIfGone(next time.Duration) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if left := time.Until(c.heard.Add(c.options.IdleTimeout)); left <= next && c.wake != nil {
		time.AfterFunc(left, c.wake)
	}
}
