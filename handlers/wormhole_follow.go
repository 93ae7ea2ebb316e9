package handlers

import (
	"context"
	"errors"
	"sync"

	"github.com/gorilla/websocket"

	"restante/rendezvous"
)

// following is a mailbox that is being followed.
type following struct {
	key   rendezvous.MailboxKey
	stop  func()
	letGo func()
	ended chan struct{}

	mu    sync.Mutex // guards after, and holds it still while messages up to it are sent
	after rendezvous.Position
}

// follow begins to deliver a mailbox's messages: those it holds, then those to come.
func (c *socket) follow(ctx context.Context, key rendezvous.MailboxKey) {
	f := &following{key: key, letGo: c.server.Service.KeepAlive(key), ended: make(chan struct{})}
	c.following = f
	f.stop = c.server.Service.Follow(key, func() error { return c.deliver(ctx, f) }, func(err error) {
		if _, is := errors.AsType[*rendezvous.Failure](err); is {
			c.bye(&goodbye{websocket.CloseTryAgainLater, "try again later"})
		}
		close(f.ended)
	})
}

// stopFollowing ends that.
func (c *socket) stopFollowing() {
	if f := c.following; f != nil {
		f.stop()
		f.letGo()
		<-f.ended
		c.following = nil
	}
}

// deliver sends what the mailbox holds and was not sent yet. A mailbox that is
// gone is said nothing of: clients do not expect to be told.
func (c *socket) deliver(ctx context.Context, f *following) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		messages, err := c.server.Service.Tail(ctx, f.key, f.after)
		if errors.Is(err, rendezvous.ErrRetired) {
			return nil
		}
		if err != nil || len(messages) == 0 {
			return err
		}
		for _, m := range messages {
			c.hold(told("message", fields{"side": m.Side, "phase": m.Phase, "body": m.Body, "id": m.ID, "server_rx": seconds(m.Received)}))
		}
		if err := c.send(); err != nil {
			return err
		}
		f.after = messages[len(messages)-1].Position
	}
}
