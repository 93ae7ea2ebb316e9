package repo

import "context"

// connPool hands out connections, each to one transaction at a time.
type connPool struct {
	open    func(context.Context) (*conn, error)
	idle    chan *conn // as many as may be in use; nil is one that is not open yet
	closing chan struct{}
}

func newConnPool(n int, closing chan struct{}, open func(context.Context) (*conn, error)) *connPool {
	p := &connPool{open: open, idle: make(chan *conn, n), closing: closing}
	for range n {
		p.idle <- nil
	}
	return p
}

// acquire returns a connection and waits for one until ctx ends. The caller releases it.
func (p *connPool) acquire(ctx context.Context) (*conn, error) {
	select {
	case <-p.closing:
		return nil, errClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	case c := <-p.idle:
		if c != nil {
			return c, nil
		}
	}
	c, err := p.open(context.Background())
	if err != nil {
		p.idle <- nil
	}
	return c, err
}

// begin opens a transaction on an acquired connection. A connection that died since its last
// transaction is replaced: nothing was sent on it yet.
func (p *connPool) begin(c **conn, statement string) error {
	err := (*c).begin(statement)
	if err == nil || !(*c).broken || !(*c).usedBefore {
		return err
	}
	fresh, failed := p.open(context.Background())
	if failed != nil {
		return failed
	}
	(*c).discard()
	*c = fresh
	return fresh.begin(statement)
}

// release takes a connection back.
func (p *connPool) release(c *conn) {
	if c.broken {
		c.discard()
		c = nil
	}
	p.idle <- c
}

// close waits until every connection is released, and closes them all.
func (p *connPool) close() {
	for range cap(p.idle) {
		if c := <-p.idle; c != nil {
			c.discard()
		}
	}
}
