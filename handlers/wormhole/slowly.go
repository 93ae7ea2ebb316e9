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

// slowly asks for a nameplate, and asks again while the client's address has to wait for one. The ack does not wait.
func (c *conn) slowly(ctx context.Context, ask func() (rendezvous.Claimed, error)) (rendezvous.Claimed, error) {
	for left := maxDelay; ; {
		claimed, err := ask()
		limited, is := errors.AsType[*rendezvous.Failure](err)
		if !is || limited.Code != rendezvous.RateLimited || limited.RetryAfter == 0 || left <= 0 {
			return claimed, err
		}
		c.server.Slowed(limited.Limit, c.client.Address)
		if err := c.Send(); err != nil {
			return claimed, err
		}
		delay := time.NewTimer(min(left, limited.RetryAfter))
		left -= limited.RetryAfter
		select {
		case <-delay.C:
		case <-ctx.Done():
			delay.Stop()
			return claimed, ctx.Err()
		}
	}
}
