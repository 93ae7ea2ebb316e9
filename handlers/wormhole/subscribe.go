package wormhole

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"restante/internal/tracing"
	"restante/internal/ws"
	"restante/rendezvous"
)

// subscription sends the messages of the mailbox that is open.
type subscription struct {
	key     rendezvous.MailboxKey
	mailbox rendezvous.MailboxID
	since   time.Time // when it began
	stop    func()
	release func() // the mailbox may be pruned again
	ended   chan struct{}

	mu    sync.Mutex // guards after, and is held while the messages up to it are sent
	after rendezvous.Position

	met     bool  // another side has said something
	crowded *bool // whether a third side had been refused, when this was looked at first
}

// subscribe sends the messages that a mailbox holds, and then those that are added.
func (c *conn) subscribe(ctx context.Context, key rendezvous.MailboxKey) {
	sub := &subscription{key: key, mailbox: *c.mailbox, since: time.Now(), release: c.server.Service.KeepAlive(key), ended: make(chan struct{})}
	c.subscription = sub
	opened, _ := json.Marshal(map[string]string{"type": "open", "mailbox": string(*c.mailbox)}) // strings can be encoded
	sub.stop = c.server.Service.Follow(key, func() error { return c.look(ctx, sub) }, func(err error) {
		if errors.Is(err, rendezvous.ErrRetired) {
			_ = c.sendError(mailboxGone, opened) // if it fails, the connection ends by itself
		}
		if _, is := errors.AsType[*rendezvous.Failure](err); is {
			c.SendClose(&ws.CloseError{Code: websocket.CloseTryAgainLater, Reason: "try again later"})
		}
		close(sub.ended)
	})
}

// unsubscribe ends the subscription, if there is one.
func (c *conn) unsubscribe() {
	if sub := c.subscription; sub != nil {
		sub.stop()
		sub.release()
		<-sub.ended
		c.subscription = nil
	}
}

// leaveEnded unsubscribes if the mailbox is gone, or if the side has closed it over another connection. Then the client
// may open one again.
func (c *conn) leaveEnded(ctx context.Context) error {
	sub := c.subscription
	if sub == nil {
		return nil
	}
	open, err := c.server.Service.HasOpenFor(ctx, c.side, sub.key)
	if err != nil {
		return c.clientError(err)
	}
	if !open {
		c.unsubscribe()
	}
	return nil
}

// look sends what is new.
func (c *conn) look(ctx context.Context, sub *subscription) error {
	if err := c.deliver(ctx, sub); err != nil {
		return err
	}
	return c.tellCrowded(ctx, sub)
}

// tellCrowded tells the client once that a third side was refused meanwhile, unless the two sides have met, or may
// meet because the other one is connected: otherwise a client has mistyped its nameplate and left, and this one waits
// for a message that never comes.
func (c *conn) tellCrowded(ctx context.Context, sub *subscription) error {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	if sub.met || sub.crowded != nil && *sub.crowded {
		return nil
	}
	sides, err := c.server.Service.CrowdedBy(ctx, sub.key)
	if err != nil {
		return err
	}
	is := len(sides) > 0
	was := sub.crowded
	sub.crowded = &is
	if was == nil || !is || slices.ContainsFunc(sides, func(s rendezvous.Side) bool { return s != c.side.Side && c.server.sides.connected(c.side.App, s) }) {
		return nil
	}
	open, err := json.Marshal(map[string]any{"type": "open", "mailbox": *c.mailbox})
	if err != nil {
		return err
	}
	return c.sendError(crowded, open)
}

// deliver sends the messages that have not been sent yet. It returns [rendezvous.ErrRetired] if the mailbox is gone;
// the follower tells the client.
func (c *conn) deliver(ctx context.Context, sub *subscription) error {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	for {
		if c.IsGone() {
			return nil // it may have sent commands before, so the subscription goes on
		}
		messages, err := c.server.Service.Tail(ctx, sub.key, sub.after)
		if err != nil || len(messages) == 0 {
			return err
		}
		for _, m := range messages {
			sub.met = sub.met || m.Side != c.side.Side
			c.Queue(encodeMessage("message",
				member{"side", string(m.Side)}, member{"phase", m.Phase}, member{"body", m.Body}, member{"id", m.ID}, member{"server_rx", seconds(m.Received)}))
		}
		if err := c.sendDelivery(ctx, sub.mailbox, messages); err != nil {
			return err
		}
		sub.after = messages[len(messages)-1].Position
		for _, m := range messages {
			if m.Side != c.side.Side {
				c.server.Service.ObserveDelivered(rendezvous.ByWormhole, sub.since, m)
			}
		}
	}
}

// sendDelivery sends the messages that are queued, and traces that. Those that the client added itself are echoes.
func (c *conn) sendDelivery(ctx context.Context, of rendezvous.MailboxID, messages []rendezvous.Message) error {
	_, span := c.server.Tracer.Start(ctx, "wormhole deliver")
	if span != nil {
		for _, m := range messages {
			if m.Side != c.side.Side {
				span.Delivers(tracing.Message{Mailbox: string(of), Position: int64(m.Position), Received: m.Received.UnixMilli()})
			}
		}
	}
	err := c.Send()
	span.End(err)
	return err
}
