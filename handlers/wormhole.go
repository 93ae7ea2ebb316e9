package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"
	"unicode/utf8"

	"restante/internal/idleconn"

	"github.com/gorilla/websocket"
)

// The wormhole interface: GET /v1 is the magic-wormhole mailbox protocol, as
// deployed clients speak it. It is an adapter over the same use cases and the same mailboxes, and
// stores nothing of its own. Where it deviates from the reference server, docs/wormhole.md says why.

const (
	pingEvery = time.Minute     // a socket is pinged
	deadAfter = 3 * time.Minute // without a sign of life
)

// wormhole is GET /v1.
func (s *Server) wormhole(w http.ResponseWriter, r *http.Request) { //nolint:contextcheck // the socket outlives the request
	w.Header().Set("Server", "Magic Wormhole Mailbox (Restante "+s.Version+")")
	if !websocket.IsWebSocketUpgrade(r) {
		s.page(w, r)
		return
	}
	conn, leave := s.accept(w, r, http.Header{"Server": w.Header()["Server"]})
	if conn == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &socket{wire: wire{server: s, conn: conn, pool: idleconn.PoolOf(r.Context()), cancel: cancel, address: addressOf(r.Context()), patience: deadAfter}, notices: s.told()}
	address := yourAddress(r)
	c.leave = leave
	s.detach(func() { c.serve(ctx, address) })
}

// socket is one wormhole client's connection. One goroutine at a time reads and answers, and another
// delivers what others add to a mailbox that is open. While nothing is said, there is neither.
type socket struct {
	wire
	notices Notices
	leave   func()
	hurry   *time.Timer // until it is bound
	letGo   func()      // of the keeper
	conversation
}

// serve is the socket's life.
func (c *socket) serve(ctx context.Context, address map[string]any) {
	c.letGo = c.server.keep(&c.wire)
	c.listen(func() {})
	c.hurry = time.AfterFunc(c.server.Limits.Identify, func() { c.bye(&goodbye{websocket.ClosePolicyViolation, "did not bind in time"}) })
	if err := c.welcome(address); err != nil {
		c.end(ctx, err)
		return
	}
	c.run(ctx, c.server.Limits.Linger)
}

// run reads and answers until nothing has been said for a while, which is at first shorter.
func (c *socket) run(ctx context.Context, linger time.Duration) {
	var err error
	over := true
	defer func() {
		if over { // also after a panic
			c.end(ctx, err)
		}
	}()
	for err == nil {
		var said bool
		said, err = c.wait(linger)
		if err == nil && !said {
			if over = !c.sleep(func() { c.server.detach(func() { c.run(ctx, upWithin) }) }); !over {
				return
			}
			_, err = c.wait(forever)
		}
		if err == nil {
			err = c.turn(ctx)
		}
		if c.bound {
			c.calm()
		}
		linger = c.server.Limits.Linger
	}
}

// end is the socket's.
func (c *socket) end(ctx context.Context, why error) {
	defer c.leave()
	defer c.conn.Close() //nolint:errcheck // whatever could be said has been said
	defer c.stopFollowing()
	defer c.cancel()
	defer c.letGo()
	c.calm()
	_ = c.settle(ctx) // what was read is added, also if the client is gone
	if bye, is := errors.AsType[*goodbye](why); is {
		c.bye(bye)
	}
	c.server.Log.LogAttrs(ctx, slog.LevelDebug, "socket closed", slog.Any("error", why))
}

// turn reads one command and answers it.
func (c *socket) turn(ctx context.Context) error {
	raw, err := c.read()
	if err != nil {
		return err
	}
	if int64(len(raw)) > c.server.Limits.Body {
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

// calm has the client no longer be hurried: it is bound, or gone.
func (c *socket) calm() {
	if c.hurry != nil {
		c.hurry.Stop()
		c.hurry = nil
	}
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
