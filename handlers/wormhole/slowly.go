package wormhole

import (
	"errors"
	"time"

	"restante/rendezvous"
)

// maxDelay is how long a client is slowed down before it is refused. Some clients ignore errors, and others connect
// again at once: a delay is what both of them notice.
const maxDelay = 10 * time.Second

// slowly asks for a nameplate, and asks again when it is its turn, if the client's address has to wait for one. The ack
// does not wait. A client that leaves meanwhile is refused: what it claimed would be in the way of the next one.
func (c *conn) slowly(ask func() (rendezvous.Claimed, error)) (rendezvous.Claimed, error) {
	for left := maxDelay; ; {
		claimed, err := ask()
		limited, is := errors.AsType[*rendezvous.Failure](err)
		if !is || limited.Code != rendezvous.RateLimited || limited.RetryAfter == 0 {
			return claimed, err
		}
		c.server.Slowed(limited.Limit, c.client.Address)
		late := limited.RetryAfter > left
		if late { // others may have its turn
			c.server.Service.LeaveQueue(c.side)
		}
		if err := c.Send(); err != nil {
			return claimed, err
		}
		if stays := c.Pause(min(left, limited.RetryAfter)); !stays || late {
			c.server.Service.LeaveQueue(c.side)
			return claimed, err
		}
		left -= limited.RetryAfter
	}
}
