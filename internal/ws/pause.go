package ws

import (
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/gorilla/websocket"
)

// lookInterval is how often a pause whose buffer is full looks whether the connection is to end.
const lookInterval = time.Second

// Pause waits before what the peer asked for last is done. It reads ahead, so that it notices a peer that leaves: then it
// returns false at once, and also if reading is to end. What else the peer sends waits to be read. If that fills the read
// buffer, what comes after it is not noticed.
func (c *Conn) Pause(d time.Duration) (stays bool) {
	for until := time.Now().Add(d); ; {
		left := time.Until(until)
		if left <= 0 {
			c.alive() // it was not the peer that was silent
			return true
		}
		c.reading.Lock()
		c.readUntil(until)
		ending := c.ending || c.left
		c.reading.Unlock()
		if c.leaves() {
			return false
		}
		err := c.below.readAhead()
		switch {
		case err == nil:
		case errors.Is(err, errBufferFull) && !ending:
			time.Sleep(min(left, lookInterval))
		case errors.Is(err, os.ErrDeadlineExceeded) && !c.isEnding():
		default:
			return false
		}
	}
}

// leaves reports whether there is a close frame in what was received and has not been read, which begins with a frame.
func (c *Conn) leaves() bool {
	received, _ := c.in.Peek(c.in.Buffered()) // what is buffered can be peeked
	return hasClose(append(slices.Clip(received), c.below.unread...))
}

// hasClose reports whether there is a close frame in a sequence of frames of which the last may be incomplete (RFC 6455,
// §5.2).
func hasClose(frames []byte) bool {
	for len(frames) >= 2 {
		if frames[0]&0xf == websocket.CloseMessage {
			return true
		}
		header, size := uint64(2), uint64(frames[1]&0x7f)
		switch {
		case size == 126 && len(frames) >= 4:
			header, size = 4, uint64(binary.BigEndian.Uint16(frames[2:]))
		case size == 127 && len(frames) >= 10:
			header, size = 10, binary.BigEndian.Uint64(frames[2:])
		case size > 125:
			return false
		}
		if frames[1]&0x80 != 0 {
			header += 4 // the mask
		}
		if rest := uint64(len(frames)); header > rest || size >= rest-header {
			return false
		}
		frames = frames[header+size:]
	}
	return false
}
