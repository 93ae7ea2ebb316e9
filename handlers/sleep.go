package handlers

import (
	"errors"
	"os"
	"time"

	"github.com/gorilla/websocket"
)

// upWithin is for how long a socket that was woken waits for what it was woken for. It may have been a pong.
const upWithin = 5 * time.Millisecond

// wait waits until the peer begins a message, but not for longer than it may: then there is none yet. That
// the peer has been silent for too long is an error.
func (c *wire) wait(atMost time.Duration) (begun bool, err error) {
	for {
		if c.conn.in.Buffered() == 0 && !c.conn.below.pending() {
			if said, err := c.peek(atMost); !said {
				return false, err
			}
			c.alive()
		}
		if control, err := c.between(); !control || err != nil {
			return err == nil, err
		}
	}
}

// peek waits until there is something to read.
func (c *wire) peek(atMost time.Duration) (said bool, err error) {
	for began := time.Now(); ; {
		now := time.Now()
		c.reading.Lock()
		dead := c.heard.Add(c.patience)
		c.readUntil(now.Add(min(atMost-now.Sub(began), dead.Sub(now))))
		c.reading.Unlock()
		_, err := c.conn.in.Peek(1)
		if err == nil {
			return true, nil
		}
		c.reading.Lock()
		parting := c.parting
		c.reading.Unlock()
		switch now := time.Now(); {
		case parting, !errors.Is(err, os.ErrDeadlineExceeded), !now.Before(dead):
			return false, err
		case now.Sub(began) >= atMost:
			return false, nil
		}
	}
}

// between takes in a ping or a pong that stands between two messages (RFC 6455, §5.5): to
// ask for the next message would be to wait for it.
func (c *wire) between() (taken bool, err error) {
	const (
		final, masked = 0x80, 0x80
		headed        = 2 + 4 // flags and size, mask
	)
	head, err := c.conn.in.Peek(2)
	if err != nil {
		return false, err
	}
	kind, size := int(head[0]&0xf), int(head[1]&^masked)
	if head[0]&0xf0 != final || head[1]&masked == 0 || size > 125 || kind != websocket.PingMessage && kind != websocket.PongMessage {
		return false, nil // a message, or what the reader of messages ends the socket for
	}
	frame, err := c.conn.in.Peek(headed + size)
	if err != nil {
		return false, err
	}
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = frame[headed+i] ^ frame[2+i%4]
	}
	if _, err := c.conn.in.Discard(headed + size); err != nil {
		return false, err
	}
	if kind == websocket.PingMessage {
		return true, c.conn.PingHandler()(string(payload))
	}
	return true, c.conn.PongHandler()(string(payload))
}

// sleep has wake called, on another goroutine, when the peer says something, or the socket parts; that the peer
// has been silent for too long is for whoever watches. It answers false if it cannot.
func (c *wire) sleep(wake func()) (asleep bool) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.parting {
		return false
	}
	c.conn.below.rest() // before somebody else reads
	c.rouse, asleep = c.pool.WhenReadable(c.conn.below.Conn, wake)
	return asleep
}

// watch has the socket woken when the peer counts as dead, if that may be before the next watch.
func (c *wire) watch(next time.Duration) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if left := time.Until(c.heard.Add(c.patience)); left <= next && c.rouse != nil {
		time.AfterFunc(left, c.rouse)
	}
}
