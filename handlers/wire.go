package handlers

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"restante/internal/idleconn"
	"restante/rendezvous"
)

// closingTime is for a close frame to go.
const closingTime = time.Second

// writeBuffers are shared by the sockets, which need one only while they write.
var writeBuffers sync.Pool

func (s *Server) upgrader() *websocket.Upgrader {
	return &websocket.Upgrader{
		HandshakeTimeout: 5 * time.Second,
		ReadBufferSize:   0, // it reads from the hijacker's
		WriteBufferSize:  1024,
		WriteBufferPool:  &writeBuffers,
		CheckOrigin:      func(*http.Request) bool { return true }, // any page may be a client: there are no cookies to abuse
		Error: func(w http.ResponseWriter, r *http.Request, _ int, _ error) {
			w.Header().Set("Sec-WebSocket-Version", "13") // the one that is spoken: RFC 6455, §4.4
			s.fail(w, r, &invalid{rendezvous.InvalidRequest, violations("#/header/Upgrade", "websocket", "must be a WebSocket handshake of version 13 (RFC 6455)")})
		},
	}
}

// accept switches a request over to a WebSocket. If there is no place for one, or
// the request is no handshake, it is answered and conn is nil.
func (s *Server) accept(w http.ResponseWriter, r *http.Request, header http.Header) (conn *socketConn, leave func()) {
	select {
	case <-s.Service.Stopping():
		s.fail(w, r, &rendezvous.Failure{Code: rendezvous.Draining, Detail: "this server is stopping; try again"})
		return nil, nil
	default:
	}
	leave, admitted := s.sockets.enter(addressOf(r.Context()), s.Limits.Sockets)
	if !admitted {
		s.fail(w, r, tooMany())
		return nil, nil
	}
	h := &hijacker{ResponseWriter: w}
	upgraded, err := s.upgrader().Upgrade(h, r, header)
	if err != nil {
		leave()
		return nil, nil // it has been answered
	}
	return &socketConn{upgraded, h.taken, h.in}, leave
}

// socketConn is a WebSocket and the connection below it.
type socketConn struct {
	*websocket.Conn
	below *gatherer
	in    *bufio.Reader // what the socket reads from, which reads from below
}

// detach serves a connection that was taken over on a goroutine of its own: that of the request
// keeps all that it was answered with, which is more than a socket that waits needs.
func (s *Server) detach(serve func()) {
	go func() {
		defer func() {
			if v := recover(); v != nil {
				s.Log.Error("panic on a socket", "panic", v, "stack", string(debug.Stack()))
			}
		}()
		serve()
	}()
}

// sockets counts those that are open, and the event streams, by address.
type sockets struct {
	mu   sync.Mutex
	open map[string]int
	all  sync.WaitGroup
}

// enter counts one in, unless there are too many of its address.
func (s *sockets) enter(address string, most int) (leave func(), admitted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[address] >= most {
		return nil, false
	}
	if s.open == nil {
		s.open = map[string]int{}
	}
	s.open[address]++
	s.all.Add(1)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.open[address]--; s.open[address] == 0 {
			delete(s.open, address)
		}
		s.all.Done()
	}, true
}

// Wait waits until every socket and stream has ended, or ctx ends. [rendezvous.Service.Drain] has them end.
func (s *Server) Wait(ctx context.Context) {
	closed := make(chan struct{})
	go func() {
		s.sockets.all.Wait()
		close(closed)
	}()
	select {
	case <-closed:
	case <-ctx.Done():
	}
}

// goodbye ends a socket: an error first, where there is one to tell, and a close code.
type goodbye struct {
	code   int
	reason string
}

func (g *goodbye) Error() string { return g.reason }

// wire is a WebSocket, whatever is spoken on it. One goroutine reads; any may send.
type wire struct {
	server   *Server
	conn     *socketConn
	pool     *idleconn.Pool     // where it sleeps; nil: nowhere
	cancel   context.CancelFunc // ends everything
	address  string
	patience time.Duration // without a sign of life, after which the peer counts as dead

	writing sync.Mutex // guards writing to conn, and what follows
	gone    bool       // the peer hears nothing any more
	held    [][]byte   // messages that go with the next

	reading sync.Mutex // guards the deadline for reading from conn, and what follows
	parting bool       // the deadline is the last one
	heard   time.Time  // the last sign of life
	rouse   func()     // ends the sleep it is in, or was
}

// listen begins to take in what the peer says; each control frame is told to heard.
func (c *wire) listen(heard func()) {
	c.alive()
	c.conn.SetPongHandler(func(string) error { c.alive(); heard(); return nil })
	c.conn.SetPingHandler(func(payload string) error {
		c.alive()
		heard()
		return c.control(websocket.PongMessage, []byte(payload))
	})
}

// read is the next message: the beginning, if it is larger than a request's body may be.
func (c *wire) read() ([]byte, error) {
	_, message, err := c.conn.NextReader()
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(message, c.server.Limits.Body+1))
	if err == nil {
		c.alive()
	}
	return raw, err
}

// ping asks the peer for a sign of life.
func (c *wire) ping() error { return c.control(websocket.PingMessage, nil) }

// alive puts off the moment at which the peer counts as dead.
func (c *wire) alive() {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.heard = time.Now()
	c.readUntil(c.heard.Add(c.patience))
}

// part has reading end soon, whatever else the peer says.
func (c *wire) part(in time.Duration) {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.parting = false
	c.readUntil(time.Now().Add(in))
	c.parting = true
	if c.rouse != nil {
		c.rouse() // so that somebody reads
	}
}

// readUntil sets the deadline for reading; reading is held.
func (c *wire) readUntil(deadline time.Time) {
	if !c.parting {
		_ = c.conn.SetReadDeadline(deadline) // fails only on a closed socket, which reading notices
	}
}

// bye says goodbye and has reading end.
func (c *wire) bye(g *goodbye) {
	_ = c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(g.code, g.reason), time.Now().Add(closingTime)) // a peer that is gone does not hear it
	c.part(closingTime)                                                                                                          // for its own close frame to come
}

// errSlow ends a socket whose peer does not read.
var errSlow = errors.New("the peer does not read")

// hold has a message go with the next one that is sent.
func (c *wire) hold(message []byte) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.held = append(c.held, message)
}

// send writes messages in one go, and before them those that were held.
func (c *wire) send(messages ...[]byte) error {
	return c.write(func(time.Time) error {
		messages := append(c.held, messages...)
		c.held = nil
		if len(messages) == 0 {
			return nil
		}
		var err error
		c.conn.below.gather()
		for _, message := range messages {
			err = errors.Join(err, c.conn.WriteMessage(websocket.TextMessage, message))
		}
		return errors.Join(err, c.conn.below.release(c.server.Limits.WriteTime))
	})
}

// control writes a control frame. It may take as long as any other: one that does not go breaks the socket.
func (c *wire) control(kind int, payload []byte) error {
	return c.write(func(deadline time.Time) error { return c.conn.WriteControl(kind, payload, deadline) })
}

// write has its turn at writing. A peer that does not read is cut: its mailbox keeps
// what it missed. One that has left may have said something before, its close above all, so
// what it sent is still read, and answered to nobody.
func (c *wire) write(one func(deadline time.Time) error) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.gone {
		return nil
	}
	err := one(time.Now().Add(c.server.Limits.WriteTime))
	var network net.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &network) && network.Timeout():
		// It cannot even be told why: a close frame would have to go behind what it does not read.
		c.server.Log.Info("cut a socket", "error", errSlow, "after", c.server.Limits.WriteTime)
		c.gone = true
		c.cancel()
		c.part(0)
		return errSlow
	}
	c.gone = true
	c.part(closingTime)
	return nil
}
