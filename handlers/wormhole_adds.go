package handlers

import (
	"context"
	"errors"
	"slices"
	"sync"

	"restante/rendezvous"
)

const (
	// addsAtOnce is how many messages of a socket share a transaction, at most, and how
	// many it may have on their way before it is read further.
	addsAtOnce = 64
	// addsBytes bounds their commands.
	addsBytes = 256 << 10
)

// adding is the messages of a socket that are on their way into its mailbox. A client
// need not wait for one before it sends the next, so those that arrive while others are being
// added are added together. While there is nothing to add, nothing runs.
type adding struct {
	mu      sync.Mutex
	waiting []addition
	bytes   int           // of all that are on their way
	count   int           // of all that are on their way
	moved   chan struct{} // closed when some arrived, or failed; nil while nothing is on its way
	failed  error         // ends the socket
}

// addition is one message and the command that it came with.
type addition struct {
	draft rendezvous.Draft
	raw   []byte
}

// enqueue puts a message behind the others, once there is room.
func (c *socket) enqueue(ctx context.Context, a addition) error {
	q := &c.adding
	if err := c.await(ctx, func() bool { return q.count < addsAtOnce && q.bytes < addsBytes }); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, a)
	q.count++
	q.bytes += len(a.raw)
	if q.moved == nil {
		q.moved = make(chan struct{})
		go c.flush(ctx, *c.mailbox, c.following)
	}
	return nil
}

// busy tells whether anything is on its way.
func (q *adding) busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.moved != nil
}

// settle waits until nothing is on its way: what is asked for next must find it done.
func (c *socket) settle(ctx context.Context) error {
	return c.await(ctx, func() bool { return c.adding.count == 0 })
}

// await waits until something is true of the queue.
func (c *socket) await(ctx context.Context, is func() bool) error {
	q := &c.adding
	for {
		q.mu.Lock()
		done, failed, moved := is(), q.failed, q.moved
		q.mu.Unlock()
		if failed != nil || done {
			return failed
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// flush adds what waits, and what comes meanwhile, until nothing does.
func (c *socket) flush(ctx context.Context, to rendezvous.MailboxID, f *following) {
	q := &c.adding
	for {
		q.mu.Lock()
		batch := q.waiting
		q.waiting = nil
		q.mu.Unlock()
		err := c.addAll(ctx, to, f, batch)
		q.mu.Lock()
		for _, a := range batch {
			q.count--
			q.bytes -= len(a.raw)
		}
		close(q.moved)
		q.failed = err
		over := err != nil || q.count == 0 // what waits behind a failure is not added
		if q.moved = nil; !over {
			q.moved = make(chan struct{})
		}
		q.mu.Unlock()
		if err != nil {
			c.fail(err)
		}
		if over {
			return
		}
	}
}

// addAll adds messages, has them echoed, and complains of each that was not added.
func (c *socket) addAll(ctx context.Context, to rendezvous.MailboxID, f *following, batch []addition) error {
	drafts := make([]rendezvous.Draft, len(batch))
	for i, a := range batch {
		drafts[i] = a.draft
	}
	refused, err := c.server.Service.AddFor(ctx, c.peer, to, drafts)
	if err != nil {
		refused = slices.Repeat([]error{c.failed(err)}, len(batch))
	} else if err := c.deliver(ctx, f); err != nil {
		return c.failed(err)
	}
	for i, why := range refused {
		if why == nil {
			continue
		}
		complained, is := errors.AsType[complaint](c.failed(why))
		if !is {
			return why
		}
		if err := c.complain(complained, batch[i].raw); err != nil {
			return err
		}
	}
	return c.send() // the acks, if the echoes had gone before
}

// fail ends the socket from another goroutine than the one that reads.
func (c *socket) fail(err error) {
	if bye, is := errors.AsType[*goodbye](err); is {
		c.bye(bye)
		return
	}
	c.part(0)
}
