package repo

import (
	"context"
)

// readers lends connections that see snapshots and cannot write.
type readers struct {
	open    func(context.Context) (*conn, error)
	idle    chan *conn // as many as may be lent; nil stands for one that is not open
	closing chan struct{}
}

func newReaders(n int, closing chan struct{}, open func(context.Context) (*conn, error)) *readers {
	r := &readers{open: open, idle: make(chan *conn, n), closing: closing}
	for range n {
		r.idle <- nil
	}
	return r
}

// take lends a connection; the caller gives it back.
func (r *readers) take(ctx context.Context) (*conn, error) {
	select {
	case <-r.closing:
		return nil, errClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	case c := <-r.idle:
		if c != nil {
			return c, nil
		}
	}
	c, err := r.open(context.Background())
	if err != nil {
		r.idle <- nil
	}
	return c, err
}

// give takes one back.
func (r *readers) give(c *conn) {
	if c.broken {
		c.discard()
		c = nil
	}
	r.idle <- c
}

// close waits for those that are lent and closes all.
func (r *readers) close() {
	for range cap(r.idle) {
		if c := <-r.idle; c != nil {
			c.discard()
		}
	}
}
