package idleconn

import (
	"bytes"
	"runtime/debug"
	"sync"
	"time"
)

// Repeater is a [Waiter] whose client asks the same again and again, as one that polls does. While nothing happens, the
// [http.Server] has no part in that: the Repeater gives the answer, and a request that is the one before, byte for byte,
// waits at once. Everything else goes to the [http.Server]. The methods run on a goroutine of the pool.
type Repeater interface {
	Waiter
	// Answer is called once the Repeater is ready. It appends the whole answer to into, head and body, and closes the
	// Repeater. If it returns nil, nothing has changed: the request is served again, as one of any other Waiter.
	Answer(into []byte) []byte
	// Repeat begins to wait anew, when the request of the last Answer has come again. If it returns false, nothing has
	// changed: the request is served as a new one.
	Repeat() bool
}

// answerTime is how long a client may take to read the answer of a [Repeater].
const answerTime = 10 * time.Second

// buffers are shared by the goroutines of pools, which need one only for an answer or a request.
var buffers = sync.Pool{New: func() any { return new([maxHead]byte) }}

// answer has a Repeater answer, and then awaits the next request. If it does not answer, the server does.
func (p *Pool) answer(c *resumedConn, r Repeater) {
	defer p.closeAfterPanic(c)
	buffer, _ := buffers.Get().(*[maxHead]byte)
	defer buffers.Put(buffer)
	answer := r.Answer(buffer[:0])
	if answer == nil {
		p.resume(c)
		return
	}
	c.setWaiter(nil)
	defer p.end() // not before the connection is among the quiet ones, so that a server that stops knows of it
	c.unread = nil
	_ = c.SetWriteDeadline(time.Now().Add(answerTime)) // fails only on a closed connection, as the write does then
	if _, err := c.Conn.Write(answer); err != nil {
		_ = c.Close() // the client has hung up, or does not read
		return
	}
	_ = c.SetWriteDeadline(time.Time{})
	p.awaitRepeat(c, r)
}

// awaitRepeat awaits the next request on a connection on which nothing is under way. Meanwhile, the connection belongs
// to the one that takes it from the quiet ones.
func (p *Pool) awaitRepeat(c *resumedConn, r Repeater) {
	if !p.quiet.add(c) {
		return
	}
	stop := func() bool { return true }
	if p.idleTimeout > 0 {
		stop = time.AfterFunc(p.idleTimeout, func() { p.closeQuiet(c) }).Stop
	}
	e, err := p.enter(c.Conn, func(bool) {
		stop()
		p.workers.Run(func() { p.repeat(c, r) })
	})
	if err != nil {
		stop()
		p.closeQuiet(c) // the pool is closed
		return
	}
	c.setIdle(e)
	p.watch(e)
}

func (p *Pool) closeQuiet(c *resumedConn) {
	if p.quiet.remove(c) {
		_ = c.Close() // nothing is under way on it
	}
}

// repeat reads the next request. If it is the one before, it waits. If it is not, the server serves it.
func (p *Pool) repeat(c *resumedConn, r Repeater) {
	if !p.quiet.remove(c) {
		return // it is being closed
	}
	defer p.closeAfterPanic(c)
	c.setIdle(nil)
	if p.isClosed() { // then there may be nothing to read
		_ = c.Close()
		return
	}
	buffer, _ := buffers.Get().(*[maxHead]byte)
	defer buffers.Put(buffer)
	n, err := c.Conn.Read(buffer[:])
	if err != nil {
		_ = c.Close() // the client has hung up
		return
	}
	said := buffer[:n]
	if !bytes.Equal(said, c.request) || !p.begin() {
		p.serve(c, bytes.Clone(said))
		return
	}
	c.setWaiter(r)
	if !r.Repeat() {
		c.takeWaiter()
		p.serve(c, c.request)
		return
	}
	c.unread = c.request
	p.wait(c, r)
}

// serve has the server serve what a client has sent.
func (p *Pool) serve(c *resumedConn, sent []byte) {
	p.resume(&resumedConn{Conn: c.Conn, unread: sent, request: sent, pool: p})
}

// closeAfterPanic is deferred. It is for what runs without the [http.Server], which does the same for handlers.
func (p *Pool) closeAfterPanic(c *resumedConn) {
	if why := recover(); why != nil {
		p.log.Error("panic", "value", why, "stack", string(debug.Stack()))
		_ = c.Close()
	}
}

// isOneHead reports whether what was sent is the head of one request, and nothing else. Lines may end with LF alone, as
// [http.Server] takes them.
func isOneHead(sent []byte) bool {
	end := bytes.Index(sent, []byte("\n\r\n")) + len("\n\r\n")
	return end == len(sent) && !bytes.Contains(sent, []byte("\n\n"))
}
