package wormhole

import (
	"context"
	"errors"
	"time"

	"restante/rendezvous"
)

// maxDelay is how long a client is slowed down before it is refused. Some clients ignore errors, and others connect
// again at once: a delay is what both of them notice.
const maxDelay = 10 * time.Second

// slowly asks for a nameplate, and asks again when it is its turn, if the client's address has to wait for one. The ack
// does not wait.
func (c *conn) slowly(ctx context.Context, ask func() (rendezvous.Claimed, error)) (rendezvous.Claimed, error) {
	for left := maxDelay; ; {
		claimed, err := ask()
		limited, is := errors.AsType[*rendezvous.Failure](err)
		if !is || limited.Code != rendezvous.RateLimited || limited.RetryAfter == 0 {
			return claimed, err
		}
		c.server.Slowed(limited.Limit, c.client.Address)
		if err := c.Send(); err != nil {
			return claimed, err
		}
		late := limited.RetryAfter > left
		if late { // others may have its turn
			c.server.Service.LeaveQueue(c.side)
		}
		delay := time.NewTimer(min(left, limited.RetryAfter))
		left -= limited.RetryAfter
		select {
		case <-delay.C:
		case <-ctx.Done():
			delay.Stop()
			c.server.Service.LeaveQueue(c.side)
			return claimed, ctx.Err()
		}
		if late {
			return claimed, err
		}
	}
}
