package wormhole

import (
	"context"
	"errors"
	"slices"
	"sync"

	"restante/internal/ws"
	"restante/rendezvous"
)

const (
	// maxBatch is how many messages of a connection share a transaction, at most, and how many of them may be on
	// their way before the next command is read.
	maxBatch = 64
	// maxBatchBytes is the same in bytes of their commands.
	maxBatchBytes = 256 << 10
)

// pipeline holds the messages of a connection that are on their way into its mailbox. A client need not wait for one
// before it sends the next, so the messages that arrive while others are being added are added together. While there
// is nothing to add, it needs no goroutine.
type pipeline struct {
	mu      sync.Mutex
	waiting []addition
	bytes   int           // of all that are on their way
	count   int           // of all that are on their way
	moved   chan struct{} // closed when some are added, or have failed; nil while nothing is on its way
	failed  error         // ends the connection
}

// addition is one message and the command that it came with.
type addition struct {
	draft rendezvous.Draft
	raw   []byte
}

// enqueue puts a message behind the others, as soon as there is room. Nothing comes behind a failure.
func (c *conn) enqueue(ctx context.Context, a addition) error {
	q := &c.pipeline
	return c.await(ctx, func() bool {
		if q.count >= maxBatch || q.bytes >= maxBatchBytes {
			return false
		}
		q.waiting = append(q.waiting, a)
		q.count++
		q.bytes += len(a.raw)
		if q.moved == nil {
			q.moved = make(chan struct{})
			go c.flush(ctx, *c.mailbox, c.subscription)
		}
		return true
	})
}

// busy reports whether anything is on its way.
func (q *pipeline) busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.moved != nil
}

// drain waits until nothing is on its way: the next command must find it done.
func (c *conn) drain(ctx context.Context) error {
	return c.await(ctx, func() bool { return c.pipeline.count == 0 })
}

// await calls try, with the pipeline locked, whenever something has moved there, until try returns true or the pipeline
// has failed.
func (c *conn) await(ctx context.Context, try func() bool) error {
	q := &c.pipeline
	for {
		q.mu.Lock()
		failed, moved := q.failed, q.moved
		done := failed != nil || try()
		q.mu.Unlock()
		if done {
			return failed
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// flush adds the messages that wait, and those that come meanwhile, until there are none.
func (c *conn) flush(ctx context.Context, to rendezvous.MailboxID, sub *subscription) {
	q := &c.pipeline
	for {
		q.mu.Lock()
		batch := q.waiting
		q.waiting = nil
		q.mu.Unlock()
		err := c.addBatch(ctx, to, sub, batch)
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

// addBatch adds messages, sends their echoes, and sends an error for each message that was not added.
func (c *conn) addBatch(ctx context.Context, to rendezvous.MailboxID, sub *subscription, batch []addition) error {
	drafts := make([]rendezvous.Draft, len(batch))
	for i, a := range batch {
		drafts[i] = a.draft
	}
	adding, span := c.server.Tracer.Start(ctx, "wormhole add")
	refused, err := c.server.Service.AddFor(adding, c.side, to, drafts)
	span.End(err)
	if err != nil {
		refused = slices.Repeat([]error{c.clientError(err)}, len(batch))
	} else if err := c.deliver(ctx, sub); err != nil && !errors.Is(err, rendezvous.ErrRetired) {
		return c.clientError(err)
	}
	for i, why := range refused {
		if why == nil {
			continue
		}
		refusal, is := errors.AsType[protocolError](c.clientError(why))
		if !is {
			return why
		}
		if err := c.sendError(refusal, batch[i].raw); err != nil {
			return err
		}
	}
	return c.Send() // the acks, if the echoes have been sent before
}

// fail ends the connection, from another goroutine than the one that reads.
func (c *conn) fail(err error) {
	if e, is := errors.AsType[*ws.CloseError](err); is {
		c.SendClose(e)
		return
	}
	c.EndReading(0)
}
