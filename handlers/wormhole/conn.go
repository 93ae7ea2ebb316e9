package wormhole

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/gorilla/websocket"

	"restante/handlers/welcome"
	"restante/internal/rules"
	"restante/internal/tracing"
	"restante/internal/ws"
	"restante/rendezvous"
)

const (
	// IdleTimeout is the silence after which a client counts as gone.
	IdleTimeout = 3 * time.Minute

	// pingInterval is below the 45 s after which mobile networks forget a connection.
	pingInterval = 25 * time.Second
)

// The limits of connections, by the flags that set them.
const (
	LimitBind    rendezvous.Limit = "identify-within"
	LimitMessage rendezvous.Limit = "max-body"
)

// Options are what a [Server] needs.
type Options struct {
	Service *rendezvous.Service
	Log     *slog.Logger
	// Settings returns what clients are told and asked now.
	Settings func() welcome.Settings
	// Rules returns the operator's rules about clients as they are now.
	Rules func() *rules.Rules
	// Throttle waits until a client of an address may ask for more.
	Throttle func(ctx context.Context, address string) error
	// Observe is called for each command, with its type and what became of it: see outcome.
	Observe func(command, outcome string)
	// ClosedAt is called with the limit for which a connection is closed, and the client's address.
	ClosedAt func(limit rendezvous.Limit, address string)
	// Slowed is called with the limit for which a client is slowed down, and its address.
	Slowed func(limit rendezvous.Limit, address string)
	// Refused is called for each command that is refused, with the code and the client's address.
	Refused func(code rendezvous.Code, address string)
	// Tracer traces what is added and delivered; nil traces nothing.
	Tracer *tracing.Tracer
	// BindTimeout is the time in which a client must bind. That for the work which it is asked for comes before.
	BindTimeout time.Duration
	// Linger is how long a connection waits on its goroutine before it waits without one.
	Linger time.Duration
}

// Server serves wormhole clients.
type Server struct {
	Options
	pinger ws.Pinger
	sides  sides
}

// NewServer makes a Server.
func NewServer(o Options) *Server {
	return &Server{Options: o, pinger: ws.Pinger{Interval: pingInterval, Stopping: o.Service.Stopping(), Spread: o.Service.Config.DrainSpan}}
}

// Client is what is known of a client before it speaks.
type Client struct {
	// Address is what its limits count.
	Address string
	// IP is its address, for the operator's rules; invalid for a Unix socket.
	IP netip.Addr
	// YourAddress is its address as it is told: its port, and ipv4 or ipv6.
	YourAddress map[string]any
}

// Serve serves a connection on a goroutine of its own, until ctx or the connection ends. Then it calls cancel and leave.
func (s *Server) Serve(ctx context.Context, cancel context.CancelFunc, socket *ws.Conn, client Client, leave func()) {
	c := &conn{Conn: socket, server: s, client: client, settings: s.Settings(), cancel: cancel, leave: leave}
	c.meetRules()
	c.Go(func() { c.serve(ctx) })
}

// conn is one client's connection. One goroutine at a time reads and answers, and another sends what others add to
// the mailbox that is open. While nothing happens, there is neither.
type conn struct {
	*ws.Conn
	server     *Server
	client     Client
	settings   welcome.Settings
	rules      *rules.Rules // that the client has met
	cancel     context.CancelFunc
	leave      func()
	bindTimer  *time.Timer // nil once the client has bound
	working    bool        // the client may be doing the work that it is asked for
	stopPinger func()
	state

	leaveSide func() // the server counts the side as connected until then; nil before bind
}

// serve greets the client, and then reads and answers its commands.
func (c *conn) serve(ctx context.Context) {
	c.stopPinger = c.server.pinger.Add(c.Conn)
	c.OnControl(func() {})
	c.startBindTimer()
	if err := c.sendWelcome(); err != nil {
		c.end(ctx, err)
		return
	}
	c.Serve(c.server.Linger, func() error { return c.handleNext(ctx) }, func(why error) { c.end(ctx, why) })
}

// end closes the connection and releases all that it holds.
func (c *conn) end(ctx context.Context, why error) {
	defer c.leave()
	if c.leaveSide != nil {
		defer c.leaveSide()
	}
	defer c.Close() //nolint:errcheck // the peer has received what it will
	defer c.unsubscribe()
	defer c.cancel()
	defer c.stopPinger()
	c.stopBindTimer()
	_ = c.drain(ctx) // what was read is added, also if the client is gone
	if e, is := errors.AsType[*ws.CloseError](why); is {
		c.SendClose(e)
	}
	c.server.Log.LogAttrs(ctx, slog.LevelDebug, "socket closed", slog.Any("error", why))
}

// handleNext reads one command and answers it.
func (c *conn) handleNext(ctx context.Context) error {
	raw, err := c.Read()
	if errors.Is(err, ws.ErrTooLarge) {
		c.server.ClosedAt(LimitMessage, c.client.Address)
		if err := c.Send(encodeMessage("error", member{"error", "message too large"}, member{"orig", json.RawMessage("{}")})); err != nil {
			return err
		}
		return &ws.CloseError{Code: websocket.CloseMessageTooBig, Reason: "message too large"}
	}
	if err != nil {
		return err
	}
	if err := c.server.Throttle(ctx, c.client.Address); err != nil {
		return err
	}
	if err := c.meetNewRules(ctx); err != nil {
		return err
	}
	err = c.command(ctx, raw)
	if c.bound {
		c.stopBindTimer()
	}
	return err
}

// startBindTimer gives the client the time in which it must bind, or first that for the work it is asked for, unless it is
// refused whatever it does.
func (c *conn) startBindTimer() {
	limit := c.server.BindTimeout
	if c.working = c.settings.HashcashBits > 0 && c.settings.SignalError == ""; c.working {
		limit = max(limit, welcome.ChallengeTTL)
	}
	c.bindTimer = time.AfterFunc(limit, func() {
		c.server.ClosedAt(LimitBind, c.client.Address)
		c.SendClose(&ws.CloseError{Code: websocket.ClosePolicyViolation, Reason: "did not bind in time"})
	})
}

// stopWorking gives the client the time in which it must bind, once: it has done the work, or does not do it.
func (c *conn) stopWorking() {
	if c.working && c.bindTimer.Stop() {
		c.bindTimer.Reset(c.server.BindTimeout)
	}
	c.working = false
}

// stopBindTimer lets the client take its time: it has bound, or is gone.
func (c *conn) stopBindTimer() {
	if c.bindTimer != nil {
		c.bindTimer.Stop()
		c.bindTimer = nil
	}
}
