package repo

import (
	"context"
	"slices"
	"sync"
	"time"
)

// openPause is for how long no connection is opened after the database had no room for one, while there are others.
const openPause = time.Second

// connPool hands out connections, each to one transaction at a time.
type connPool struct {
	open    func(context.Context) (*conn, error)
	isFull  func(error) bool // reports whether a connection was not opened because there are too many
	slots   chan struct{}    // one for each connection that is acquired, or is being
	closing chan struct{}

	mu        sync.Mutex   // guards the following fields
	idle      []*conn      // the one that was used last is the last
	count     int          // connections that are open or being opened
	waiting   []chan *conn // those that wait for an open connection, in the order in which they came; none while one is idle
	fullUntil time.Time    // none is opened before, except the first
	failed    bool         // a connection was discarded since the last renew
	renewals  int
	refused   []statement // one message that the database refused, until a probe has it planned
}

func newConnPool(n int, closing chan struct{}, isFull func(error) bool, open func(context.Context) (*conn, error)) *connPool {
	return &connPool{open: open, isFull: isFull, slots: make(chan struct{}, n), closing: closing}
}

// acquire returns a connection and waits for one until ctx ends. The caller releases it. A caller that left while one was
// opened for it gets none, because nothing waits any more for what it would begin.
func (p *connPool) acquire(ctx context.Context) (*conn, error) {
	select {
	case <-p.closing:
		return nil, errClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	case p.slots <- struct{}{}:
	}
	c, err := p.take(ctx)
	if err != nil {
		<-p.slots
		return nil, err
	}
	if left := ctx.Err(); left != nil {
		p.release(c)
		return nil, left
	}
	return c, nil
}

// take returns the idle connection that was used last. If none is idle it opens one, or waits for one where the database
// has no room for more.
func (p *connPool) take(ctx context.Context) (*conn, error) {
	c, turn := p.takeIdle()
	for {
		switch {
		case c != nil:
			return c, nil
		case turn == nil:
			var err error
			if c, err = p.openOne(); err == nil {
				return c, nil
			}
			if c, turn = p.afterFailure(err); c == nil && turn == nil {
				return nil, err
			}
			continue
		}
		select {
		case c = <-turn: // or nil: there may be room for another one
			turn = nil
		case <-ctx.Done():
			p.leave(turn)
			return nil, ctx.Err()
		case <-p.closing:
			p.leave(turn)
			return nil, errClosed
		}
	}
}

// takeIdle returns an idle connection, or a turn to wait for; neither if one is to be opened, which it counts.
func (p *connPool) takeIdle() (c *conn, turn chan *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.popIdle(); c != nil {
		return c, nil
	}
	if p.count > 0 && time.Now().Before(p.fullUntil) {
		return nil, p.queue()
	}
	p.count++
	return nil, nil
}

// openOne opens a connection that is counted. It runs on no caller's context: the next caller can use the connection.
func (p *connPool) openOne() (*conn, error) {
	p.mu.Lock()
	renewals := p.renewals
	p.mu.Unlock()
	c, err := p.open(context.Background())
	if err == nil {
		c.renewals = renewals
	}
	return c, err
}

// afterFailure returns an idle connection, or a turn to wait for one, after the database had no room for another one. It
// returns neither if the failure was another, or if there is no connection to wait for.
func (p *connPool) afterFailure(err error) (c *conn, turn chan *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count--
	if !p.isFull(err) || p.count == 0 {
		p.passOn(nil)
		return nil, nil
	}
	p.fullUntil = time.Now().Add(openPause)
	if c := p.popIdle(); c != nil {
		return c, nil
	}
	return nil, p.queue()
}

func (p *connPool) popIdle() *conn {
	if len(p.idle) == 0 {
		return nil
	}
	last := len(p.idle) - 1
	c := p.idle[last]
	p.idle = slices.Delete(p.idle, last, last+1)
	return c
}

func (p *connPool) queue() chan *conn {
	turn := make(chan *conn, 1)
	p.waiting = append(p.waiting, turn)
	return turn
}

// passOn gives a connection to the first that waits, and reports whether there was one. nil is the right to open one,
// which is counted then.
func (p *connPool) passOn(c *conn) bool {
	if len(p.waiting) == 0 {
		return false
	}
	if c == nil {
		p.count++
	}
	p.waiting[0] <- c
	p.waiting = slices.Delete(p.waiting, 0, 1)
	return true
}

// leave gives up a turn. What came for it meanwhile goes to the next.
func (p *connPool) leave(turn chan *conn) {
	p.mu.Lock()
	at := slices.Index(p.waiting, turn)
	if at >= 0 {
		p.waiting = slices.Delete(p.waiting, at, at+1)
	}
	p.mu.Unlock()
	if at < 0 {
		p.put(<-turn)
	}
}

// put takes a connection back; nil is the right to open one.
func (p *connPool) put(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c == nil {
		p.count--
	}
	if !p.passOn(c) && c != nil {
		p.idle = append(p.idle, c)
	}
}

// begin opens a transaction on an acquired connection. A connection that died since its last
// transaction is replaced: nothing was sent on it yet.
func (p *connPool) begin(c **conn, statement string) error {
	err := (*c).begin(statement)
	if err == nil || !(*c).broken || !(*c).usedBefore {
		return err
	}
	fresh, failed := p.openOne()
	if failed != nil {
		return failed
	}
	(*c).discard()
	*c = fresh
	return fresh.begin(statement)
}

// release takes a connection back. A broken one, and one of before the last renew, is closed.
func (p *connPool) release(c *conn) {
	p.mu.Lock()
	p.failed = p.failed || c.broken
	if len(p.refused) == 0 {
		p.refused = c.refused
	}
	stale := c.broken || c.renewals < p.renewals
	p.mu.Unlock()
	if stale {
		c.discard()
		c = nil
	}
	p.put(c)
	<-p.slots
}

// renew has the connections that are open now not be used again, if one was broken since the last renew: what broke it,
// like a setting that the database gave it, may be true of all that were opened before.
func (p *connPool) renew() {
	p.mu.Lock()
	var stale []*conn
	if p.failed {
		p.failed = false
		p.renewals++
		stale, p.idle = p.idle, nil
		p.count -= len(stale)
	}
	p.mu.Unlock()
	for _, c := range stale {
		c.discard()
	}
}

// refusal returns the statements that the database refused.
func (p *connPool) refusal() []statement {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused
}

// refusalEnded forgets the statements that the database refused.
func (p *connPool) refusalEnded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = nil
}

// close waits until every connection is released, and closes them all.
func (p *connPool) close() {
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	for _, c := range p.idle {
		c.discard()
	}
}
