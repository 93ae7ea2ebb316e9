package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"restante/rendezvous"
)

// The wormhole interface: GET /v1 is the magic-wormhole mailbox protocol, as
// deployed clients speak it. It is an adapter over the same use cases and the same mailboxes, and
// stores nothing of its own. Where it deviates from the reference server, docs/wormhole.md says why.

const (
	pingEvery   = time.Minute     // a socket is pinged
	deadAfter   = 3 * time.Minute // without a sign of life
	closingTime = time.Second     // for a close frame to go
)

// writeBuffers are shared by the sockets, which need one only while they write.
var writeBuffers sync.Pool

func (s *Server) upgrader() *websocket.Upgrader {
	return &websocket.Upgrader{
		HandshakeTimeout: 5 * time.Second,
		ReadBufferSize:   1024,
		WriteBufferSize:  1024,
		WriteBufferPool:  &writeBuffers,
		CheckOrigin:      func(*http.Request) bool { return true }, // any page may be a client: there are no cookies to abuse
		Error: func(w http.ResponseWriter, r *http.Request, _ int, _ error) {
			w.Header().Set("Sec-WebSocket-Version", "13") // the one that is spoken: RFC 6455, §4.4
			s.fail(w, r, &invalid{rendezvous.InvalidRequest, violations("#/header/Upgrade", "websocket", "must be a WebSocket handshake of version 13 (RFC 6455)")})
		},
	}
}

// wormhole is GET /v1.
func (s *Server) wormhole(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "Magic Wormhole Mailbox (Restante "+s.Version+")")
	if !websocket.IsWebSocketUpgrade(r) {
		s.page(w)
		return
	}
	select {
	case <-s.Service.Stopping():
		s.fail(w, r, &rendezvous.Failure{Code: rendezvous.Draining, Detail: "this server is stopping; try again"})
		return
	default:
	}
	address := addressOf(r.Context())
	leave, admitted := s.sockets.enter(address, s.Limits.Sockets)
	if !admitted {
		s.fail(w, r, &rendezvous.Failure{Code: rendezvous.QuotaExceeded, Detail: "too many sockets from this address"})
		return
	}
	defer leave()
	conn, err := s.upgrader().Upgrade(w, r, http.Header{"Server": w.Header()["Server"]})
	if err != nil {
		return // it has been answered
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	c := &socket{server: s, conn: conn, cancel: cancel, notices: s.told(), address: address}
	c.serve(ctx, yourAddress(r))
}

// sockets counts those that are open, by address.
type sockets struct {
	mu   sync.Mutex
	open map[string]int
	all  sync.WaitGroup
}

// enter counts a socket in, unless there are too many of its address.
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

// Wait waits until every socket is closed, or ctx ends. [rendezvous.Service.Drain] has them close.
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

// socket is one wormhole client's connection. One goroutine reads and answers;
// while a mailbox is open a second one delivers what others add.
type socket struct {
	server  *Server
	conn    *websocket.Conn
	cancel  context.CancelFunc // ends everything
	notices Notices
	address string

	writing sync.Mutex // guards writing to conn, and gone
	gone    bool       // the peer hears nothing any more

	reading sync.Mutex // guards the deadline for reading from conn, and parting
	parting bool       // the deadline is the last one

	conversation
}

// goodbye ends a socket: an error first, where there is one to tell, and a close code.
type goodbye struct {
	code   int
	reason string
}

func (g *goodbye) Error() string { return g.reason }

// serve is the socket's life.
func (c *socket) serve(ctx context.Context, address map[string]any) {
	defer c.conn.Close() //nolint:errcheck // whatever could be said has been said
	defer c.stopFollowing()
	defer c.cancel()
	go c.keepAlive(ctx)
	c.alive()
	c.conn.SetPongHandler(func(string) error { c.alive(); return nil })
	c.conn.SetPingHandler(func(payload string) error {
		c.alive()
		_ = c.conn.WriteControl(websocket.PongMessage, []byte(payload), time.Now().Add(closingTime)) // a peer that is gone is noticed by reading
		return nil
	})
	identify := time.AfterFunc(c.server.Limits.Identify, func() { c.bye(&goodbye{websocket.ClosePolicyViolation, "did not bind in time"}) })
	defer identify.Stop()
	err := c.welcome(address)
	for err == nil {
		err = c.turn(ctx)
		if c.bound {
			identify.Stop()
		}
	}
	if bye, is := errors.AsType[*goodbye](err); is {
		c.bye(bye)
	}
	c.server.Log.LogAttrs(ctx, slog.LevelDebug, "socket closed", slog.String("error", err.Error()))
}

// turn reads one command and answers it.
func (c *socket) turn(ctx context.Context) error {
	_, frame, err := c.conn.NextReader()
	if err != nil {
		return err
	}
	limit := c.server.Limits.Body
	raw, err := io.ReadAll(io.LimitReader(frame, limit+1))
	if err != nil {
		return err
	}
	c.alive()
	if int64(len(raw)) > limit {
		if err := c.send(told("error", fields{"error": "message too large", "orig": json.RawMessage("{}")})); err != nil {
			return err
		}
		return &goodbye{websocket.CloseMessageTooBig, "message too large"}
	}
	if err := c.server.limiters.wait(ctx, c.address); err != nil {
		return err
	}
	return c.command(ctx, raw)
}

// alive puts off the moment at which the peer counts as dead.
func (c *socket) alive() { c.readUntil(time.Now().Add(deadAfter), false) }

// part has reading end soon, whatever else the peer says.
func (c *socket) part(in time.Duration) { c.readUntil(time.Now().Add(in), true) }

func (c *socket) readUntil(deadline time.Time, parting bool) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.parting && !parting {
		return
	}
	c.parting = parting
	_ = c.conn.SetReadDeadline(deadline) // fails only on a closed socket, which reading notices
}

// keepAlive pings, and says goodbye when the server stops.
func (c *socket) keepAlive(ctx context.Context) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.server.Service.Stopping():
			// Not all at once: they will all come back.
			pause := time.NewTimer(rand.N(max(c.server.Service.Config.DrainSpan, 1))) // #nosec G404 -- spreads a load, hides nothing
			defer pause.Stop()
			select {
			case <-ctx.Done():
			case <-pause.C:
				c.bye(&goodbye{websocket.CloseGoingAway, "the server is stopping"})
			}
			return
		case <-tick.C:
			_ = c.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(closingTime)) // see alive
		}
	}
}

// bye says goodbye and has reading end.
func (c *socket) bye(g *goodbye) {
	_ = c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(g.code, g.reason), time.Now().Add(closingTime)) // a peer that is gone does not hear it
	c.part(closingTime)                                                                                                          // for its own close frame to come
}

// errSlow ends a socket whose peer does not read.
var errSlow = errors.New("the peer does not read")

// send writes one message. A peer that does not read is cut: its mailbox keeps
// what it missed. One that has left may have said something before, its close above all, so
// what it sent is still read, and answered to nobody.
func (c *socket) send(message []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.gone {
		return nil
	}
	_ = c.conn.SetWriteDeadline(time.Now().Add(c.server.Limits.WriteTime)) // cannot fail
	err := c.conn.WriteMessage(websocket.TextMessage, message)
	var network net.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &network) && network.Timeout():
		c.cancel()
		c.part(0)
		return errSlow
	}
	c.gone = true
	c.part(closingTime)
	return nil
}

// object is a command as it came: every member unread.
type object map[string]json.RawMessage

// parse reads a command. What is no JSON object is none.
func parse(raw []byte) (object, bool) {
	var o object
	if !utf8.Valid(raw) || json.Unmarshal(raw, &o) != nil || o == nil {
		return nil, false
	}
	return o, true
}

// text is a member that must be a string.
func (o object) text(name string) (value string, is bool) {
	raw, there := o[name]
	if !there || len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	return value, json.Unmarshal(raw, &value) == nil
}

// has tells whether there is such a member.
func (o object) has(name string) bool {
	_, there := o[name]
	return there
}
