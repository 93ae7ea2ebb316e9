package repo

import (
	"context"
)

// lender lends connections, each to one transaction at a time.
type connPool struct {
	open    func(context.Context) (*conn, error)
	idle    chan *conn // as many as may be lent; nil stands for one that is not open
	closing chan struct{}
}

func newConnPool(n int, closing chan struct{}, open func(context.Context) (*conn, error)) *connPool {
	l := &connPool{open: open, idle: make(chan *conn, n), closing: closing}
	for range n {
		l.idle <- nil
	}
	return l
}

// take lends a connection; the caller gives it back.
func (l *connPool) acquire(ctx context.Context) (*conn, error) {
	select {
	case <-l.closing:
		return nil, errClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	case c := <-l.idle:
		if c != nil {
			return c, nil
		}
	}
	c, err := l.open(context.Background())
	if err != nil {
		l.idle <- nil
	}
	return c, err
}

// begin opens a transaction on a connection that was lent. One that has died since it
// was used last is replaced: nothing was sent on it yet.
func (l *connPool) begin(c **conn, statement string) error {
	err := (*c).begin(statement)
	if err == nil || !(*c).broken || !(*c).usedBefore {
		return err
	}
	fresh, failed := l.open(context.Background())
	if failed != nil {
		return failed
	}
	(*c).discard()
	*c = fresh
	return fresh.begin(statement)
}

// give takes one back.
func (l *connPool) release(c *conn) {
	if c.broken {
		c.discard()
		c = nil
	}
	l.idle <- c
}

// close waits for those that are lent and closes all.
func (l *connPool) close() {
	for range cap(l.idle) {
		if c := <-l.idle; c != nil {
			c.discard()
		}
	}
}
