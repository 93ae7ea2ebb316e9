package idleconn

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"syscall"
)

// Waiter is what a request waits for.
type Waiter interface {
	// OnReady registers f. f runs once, when the request is to be served again; if that is now, it runs before
	// OnReady returns. f does not block.
	OnReady(f func())
	// Close is called if the request is never served again, because the server has stopped.
	Close()
}

// maxHead is how much is kept of a request, in bytes. A longer request costs more than a goroutine.
const maxHead = 8 << 10

// connection is what is known of the connection below a request. Requests of HTTP/2 share one.
type connection struct {
	net.Conn
	pool    *Pool
	waiting bool // Wait has taken the connection away
}

type connectionKey struct{}

func (p *Pool) connContext(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, &connection{Conn: conn, pool: p})
}

func connectionOf(ctx context.Context) *connection {
	c, _ := ctx.Value(connectionKey{}).(*connection)
	return c
}

// PoolOf returns the pool of the server that serves a request with this context, or nil.
func PoolOf(ctx context.Context) *Pool {
	if c := connectionOf(ctx); c != nil {
		return c.pool
	}
	return nil
}

// Wait lets a request wait without a goroutine, if nothing of its answer has been written. If it returns true,
// the handler must return and use neither w nor r; the request is served again once waiter is ready, and then
// [Resume] returns waiter. If it returns false, nothing has changed: the system, the protocol or the request does
// not allow it, or the request has waited and its client sends more.
func Wait(w http.ResponseWriter, r *http.Request, waiter Waiter) bool {
	c := connectionOf(r.Context())
	if !c.canWait(r) {
		return false
	}
	head := headOf(r)
	if len(head) > maxHead {
		return false
	}
	if !c.pool.begin() {
		return false
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		c.pool.end()
		return false
	}
	c.waiting = true
	unread, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	waits := &resumedConn{pool: c.pool, waiter: waiter, repeats: r.ProtoAtLeast(1, 1)}
	if before, is := conn.(*resumedConn); is {
		conn, unread = before.Conn, slices.Concat(unread, before.unread)
		if len(unread) == 0 && isOneHead(before.request) {
			head, waits.request = before.request, before.request
		}
	}
	waits.Conn, waits.unread, waits.readable = conn, slices.Concat(head, unread), len(unread) > 0
	c.pool.wait(waits, waiter)
	return true
}

// Waiting reports whether Wait has taken this request away, so that it has no answer yet.
func Waiting(r *http.Request) bool {
	c := connectionOf(r.Context())
	return c != nil && c.waiting
}

func (c *connection) canWait(r *http.Request) bool {
	if c == nil || r.ProtoMajor != 1 || r.Close || r.Body != http.NoBody {
		return false
	}
	conn := c.Conn
	if resumed, is := conn.(*resumedConn); is {
		if resumed.readable {
			return false
		}
		conn = resumed.Conn
	}
	_, is := conn.(syscall.Conn)
	return is
}

// headOf is a request without a body as it was sent (RFC 9112, §3 and §5).
func headOf(r *http.Request) []byte {
	var head bytes.Buffer
	fmt.Fprintf(&head, "%s %s %s\r\nHost: %s\r\n", r.Method, r.RequestURI, r.Proto, r.Host)
	_ = r.Header.Write(&head) // a buffer takes all
	head.WriteString("\r\n")
	return bytes.Clone(head.Bytes())
}

// wait adds a connection to the pool, whose request is counted already. It may be served again before wait returns, so
// wait does not touch it once it can be woken.
func (p *Pool) wait(c *resumedConn, waiter Waiter) {
	if c.readable {
		p.resume(c)
		return
	}
	e, err := p.enter(c.Conn, func(readable bool) {
		if r, is := waiter.(Repeater); is && c.repeats && !readable && !p.stopping {
			p.workers.Run(func() { p.answer(c, r) })
			return
		}
		c.readable = readable
		p.resumeLocked(c)
	})
	if err != nil {
		c.readable = true // it is served on a goroutine
		p.resume(c)
		return
	}
	waiter.OnReady(func() { p.wake(e) })
	p.watch(e)
}

// resumedConn is a connection that goes back to the server. The server first reads what was read of it before.
type resumedConn struct {
	net.Conn
	unread   []byte
	request  []byte // the first request, as it was sent, if nothing else was; nil if that is not known
	readable bool   // the request must not wait again
	answered bool   // nothing is under way: an answer has ended that was written elsewhere
	repeats  bool   // a [Repeater] may answer

	pool   *Pool
	waiter Waiter // nil once it is taken; guarded by the pool's lock
	idle   *entry // nil unless the next request is awaited in the pool; guarded by the pool's lock
}

// Read implements [net.Conn].
func (c *resumedConn) Read(into []byte) (int, error) {
	if len(c.unread) == 0 {
		n, err := c.Conn.Read(into)
		if n > 0 {
			c.request = nil // there is more
		}
		return n, err
	}
	n := copy(into, c.unread)
	if c.unread = c.unread[n:]; len(c.unread) == 0 {
		c.unread = nil
	}
	return n, nil
}

// Close implements [net.Conn].
func (c *resumedConn) Close() error {
	if w := c.takeWaiter(); w != nil {
		w.Close()
	}
	c.setIdle(nil)
	return c.Conn.Close()
}

// setIdle sets the entry by which the next request is awaited. The one before is dropped.
func (c *resumedConn) setIdle(e *entry) {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	if c.idle != nil {
		c.pool.dropLocked(c.idle)
	}
	c.idle = e
}

func (c *resumedConn) setWaiter(w Waiter) {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	c.waiter = w
}

func (c *resumedConn) takeWaiter() Waiter {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	w := c.waiter
	if c.waiter = nil; w != nil {
		c.pool.countLocked(-1)
	}
	return w
}

// Unwrap returns the connection below one that has waited, once everything that was read of it before is read
// again. It returns any other connection itself.
func Unwrap(conn net.Conn) net.Conn {
	if c, is := conn.(*resumedConn); is && len(c.unread) == 0 {
		return c.Conn
	}
	return conn
}

// Resume returns what a request waited for, or nil if it did not wait. It is called once for each request, before
// any Wait. The caller closes the waiter, or passes it to Wait again.
func Resume(r *http.Request) Waiter {
	c := connectionOf(r.Context())
	if c == nil {
		return nil
	}
	resumed, is := c.Conn.(*resumedConn)
	if !is {
		return nil
	}
	w := resumed.takeWaiter()
	if w == nil {
		resumed.readable = false // that was of an earlier request
	}
	return w
}
