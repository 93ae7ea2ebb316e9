package ws

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"restante/internal/idleconn"
)

const (
	// closeTimeout is how long the close frames of both sides may take.
	closeTimeout = time.Second
	// queueTime is how long a message is queued at most.
	queueTime = 50 * time.Millisecond
)

// The errors of a connection. Others are those of reading and writing.
var (
	// ErrHandshake is a request that is no WebSocket handshake of version 13. It has not been answered.
	ErrHandshake = errors.New("the request is no WebSocket handshake")
	// ErrTooLarge is a message of more than [Options.MaxMessage] bytes.
	ErrTooLarge = errors.New("the message is too large")
	// ErrSlow ends a connection whose peer does not read.
	ErrSlow = errors.New("the peer does not read")
)

// Options are what a connection needs to know.
type Options struct {
	Log *slog.Logger
	// WriteTimeout is how long a write may make no progress. After that, the peer is cut off.
	WriteTimeout time.Duration
	// MaxMessage is how long a message may be, in bytes.
	MaxMessage int64
	// IdleTimeout is the silence after which the peer counts as gone.
	IdleTimeout time.Duration
	// Cancel is called when the peer is cut off.
	Cancel context.CancelFunc
	// Slow is called before that if it is cut off because it does not read; nil is not called.
	Slow func()
	// Hasty is called for a ping or a pong that comes within a second after another; nil is not called. While it waits,
	// nothing else is read.
	Hasty func()
}

// haste is how soon after another one a ping or a pong is hasty. To answer a ping costs as much as many a command.
const haste = time.Second

// CloseError ends a connection with a close frame.
type CloseError struct {
	Code   int // of RFC 6455, §7.4
	Reason string
}

func (e *CloseError) Error() string { return e.Reason }

// Conn is a WebSocket. One goroutine at a time reads; any goroutine may write.
type Conn struct {
	options Options
	conn    *websocket.Conn
	below   *corkConn
	in      *bufio.Reader  // what conn reads from; it reads from below
	pool    *idleconn.Pool // nil: the connection waits on its goroutine
	rest    io.Reader      // of a message that is too large, if that was read last; the goroutine that reads owns it
	control time.Time      // when a ping or a pong came last; the goroutine that reads owns it

	writing sync.Mutex  // guards writing to conn, and the following
	gone    bool        // the peer receives nothing any more
	queue   [][]byte    // messages that go with the next one
	late    *time.Timer // sends the queue if there is no next one in time; nil while nothing is queued

	reading sync.Mutex // guards the read deadline of conn, and the following
	ending  bool       // the read deadline is the last one
	left    bool       // the peer has left: there is only what it sent before
	heard   time.Time  // the last sign of life
	wake    func()     // ends the wait without a goroutine, if there is or was one
}

// writeBuffers are shared by the connections, which need one only while they write.
var writeBuffers sync.Pool

// Upgrade switches a request over to a WebSocket. The error is [ErrHandshake] if the request is to be answered
// otherwise; if it is an [*EarlyError], the answer goes there. After any other error, the connection is closed.
func Upgrade(w http.ResponseWriter, r *http.Request, header http.Header, options Options) (*Conn, error) {
	if r.ContentLength != 0 || !r.ProtoAtLeast(1, 1) {
		return nil, ErrHandshake // a body would be taken for frames; HTTP/1.0 has no Upgrade (RFC 9110, §7.8)
	}
	answerable := false
	upgrader := &websocket.Upgrader{
		HandshakeTimeout: 5 * time.Second,
		ReadBufferSize:   0, // it reads from the hijacker's
		WriteBufferSize:  1024,
		WriteBufferPool:  &writeBuffers,
		CheckOrigin:      func(*http.Request) bool { return true }, // any page may be a client: there are no cookies to abuse
		Error:            func(http.ResponseWriter, *http.Request, int, error) { answerable = true },
	}
	h := &hijacker{ResponseWriter: w}
	conn, err := upgrader.Upgrade(h, r, header)
	switch {
	case h.early != nil:
		return nil, h.early
	case answerable:
		return nil, ErrHandshake
	case err != nil:
		return nil, err
	}
	c := &Conn{options: options, conn: conn, below: h.below, in: h.in, pool: idleconn.PoolOf(r.Context())}
	c.alive()
	return c, nil
}

// Go runs f on a goroutine of its own, and logs a panic. A request's goroutine keeps all that the request was
// answered with, which is more memory than an idle connection needs.
func (c *Conn) Go(f func()) {
	go func() {
		defer func() {
			if v := recover(); v != nil {
				c.options.Log.Error("panic on a socket", "panic", v, "stack", string(debug.Stack()))
			}
		}()
		f()
	}()
}

// Close closes the connection, from the goroutine that reads. It sends no close frame. If one was sent, Close first
// drains the connection: what is unread when a connection is closed has the system reset it, and drop what was sent last.
func (c *Conn) Close() error {
	if c.isEnding() {
		c.Drain()
	}
	err := c.conn.Close() // which ends a write that is under way
	c.writing.Lock()
	defer c.writing.Unlock()
	c.lose()
	return err
}

// OnControl has each ping and pong count as a sign of life, and calls f for it.
func (c *Conn) OnControl(f func()) {
	c.alive()
	c.conn.SetPongHandler(func(string) error { c.controlled(f); return nil })
	c.conn.SetPingHandler(func(payload string) error {
		c.controlled(f)
		return c.sendControl(websocket.PongMessage, []byte(payload))
	})
}

// controlled takes note of a ping or a pong, and calls f.
func (c *Conn) controlled(f func()) {
	if time.Since(c.control) < haste && c.options.Hasty != nil {
		c.options.Hasty()
	}
	c.control = time.Now()
	c.alive()
	f()
}

// Read returns the next message. With [ErrTooLarge] it returns the beginning of a message, up to [Options.MaxMessage]
// bytes; the next call returns the message after it.
func (c *Conn) Read() ([]byte, error) {
	c.rest = nil // which is skipped now
	_, message, err := c.conn.NextReader()
	if err != nil {
		return nil, c.failed(err)
	}
	raw, err := io.ReadAll(io.LimitReader(message, c.options.MaxMessage+1))
	if err != nil {
		return nil, c.failed(err)
	}
	c.alive()
	if int64(len(raw)) > c.options.MaxMessage {
		c.rest = message
		return raw[:c.options.MaxMessage], ErrTooLarge
	}
	return raw, nil
}

// failed has reading end if its error is that the peer breaks RFC 6455: then the peer was sent a close frame. It returns
// the error.
func (c *Conn) failed(err error) error {
	var network net.Error
	var closed *websocket.CloseError
	if !errors.As(err, &network) && !errors.As(err, &closed) {
		c.EndReading(closeTimeout)
	}
	return err
}

// Drain reads until the peer has closed the connection, or its time is over.
func (c *Conn) Drain() {
	var err error
	for err == nil {
		_, _, err = c.conn.NextReader()
	}
	if _, closed := errors.AsType[*websocket.CloseError](err); !closed {
		_, _ = io.Copy(io.Discard, c.in) // its frames cannot be told apart any more
	}
}

// alive postpones the moment at which the peer counts as gone.
func (c *Conn) alive() {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.heard = time.Now()
	c.readUntil(c.heard.Add(c.options.IdleTimeout))
}

// EndReading has reading end after a while, whatever else the peer sends.
func (c *Conn) EndReading(after time.Duration) {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.ending = false
	c.readUntil(time.Now().Add(after))
	c.ending = true
	if c.wake != nil {
		c.wake() // so that a goroutine reads
	}
}

// isEnding reports whether reading is to end.
func (c *Conn) isEnding() bool {
	c.reading.Lock()
	defer c.reading.Unlock()
	return c.ending || c.left
}

// endReadingAfterWhatCame has reading end when all is read that the peer sent before it left, however long it takes until
// then: at the latest, when nothing has come for closeTimeout.
func (c *Conn) endReadingAfterWhatCame() {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.left = true
	c.readUntil(time.Now().Add(closeTimeout))
	if c.wake != nil {
		c.wake() // so that a goroutine reads
	}
}

// readUntil sets the read deadline; reading is held.
func (c *Conn) readUntil(deadline time.Time) {
	if c.ending {
		return
	}
	if c.left {
		deadline = time.Now().Add(closeTimeout)
	}
	_ = c.conn.SetReadDeadline(deadline) // fails only on a closed connection, which reading notices
}

// SendClose sends the messages that are queued and a close frame, and has reading end.
func (c *Conn) SendClose(e *CloseError) {
	if c.Send() != nil {
		return // it is cut off
	}
	_ = c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(e.Code, e.Reason), time.Now().Add(closeTimeout)) // a peer that is gone does not receive it
	c.EndReading(closeTimeout)                                                                                                    // for its own close frame to come
	c.writing.Lock()
	defer c.writing.Unlock()
	c.lose()
}

// IsGone reports whether the peer receives nothing any more. What it sent before is still to be read.
func (c *Conn) IsGone() bool {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.gone
}

// lose drops what is queued, and has nothing more be sent; writing is held.
func (c *Conn) lose() {
	c.gone = true
	c.takeQueue()
}

// takeQueue returns the messages that are queued, and empties the queue; writing is held.
func (c *Conn) takeQueue() [][]byte {
	queue := c.queue
	c.queue = nil
	if c.late != nil {
		c.late.Stop()
		c.late = nil
	}
	return queue
}

// Queue adds a message that goes with the next one that is sent, or alone if that takes long.
func (c *Conn) Queue(message []byte) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.gone {
		return
	}
	c.queue = append(c.queue, message)
	if c.late == nil {
		c.late = time.AfterFunc(queueTime, func() { _ = c.Send() }) // if it fails, the peer has been cut off
	}
}

// Send writes the messages that are queued, and then these, as one write.
func (c *Conn) Send(messages ...[]byte) error {
	return c.write(func(time.Time) error {
		messages := append(c.takeQueue(), messages...)
		if len(messages) == 0 {
			return nil
		}
		var err error
		c.below.Cork()
		for _, message := range messages {
			err = errors.Join(err, c.conn.WriteMessage(websocket.TextMessage, message))
		}
		return errors.Join(err, c.below.Uncork(c.options.WriteTimeout))
	})
}

// Ping asks the peer for a sign of life.
func (c *Conn) Ping() error { return c.sendControl(websocket.PingMessage, nil) }

// sendControl writes a control frame. It has as much time as a message: a control frame that is not written breaks the
// connection.
func (c *Conn) sendControl(kind int, payload []byte) error {
	return c.write(func(deadline time.Time) error { return c.conn.WriteControl(kind, payload, deadline) })
}

// write calls one while no other write is under way. A peer that does not read is cut off: its mailbox keeps what it
// missed. A peer that has left may have sent something before, above all a close, so what it sent is still read.
func (c *Conn) write(one func(deadline time.Time) error) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.gone {
		return nil
	}
	err := one(time.Now().Add(c.options.WriteTimeout))
	var network net.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &network) && network.Timeout():
		// The peer cannot be told why: a close frame would have to go behind what it does not read.
		c.options.Log.Debug("cut a socket", "error", ErrSlow, "after", c.options.WriteTimeout)
		c.lose()
		if c.options.Slow != nil {
			c.options.Slow()
		}
		c.options.Cancel()
		c.EndReading(0)
		return ErrSlow
	}
	c.lose()
	c.endReadingAfterWhatCame()
	return nil
}
