package idleconn

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Answer is an answer in chunks (RFC 9112, §7.1) that goes on after its handler has returned, for example an event
// stream. It has no goroutine, and no buffer while nothing is written. One goroutine at a time may use it.
type Answer struct {
	conn   net.Conn
	pool   *Pool
	entry  *entry // nil: what comes on the connection is not watched
	unread []byte // what the client has sent already
}

// Detach takes an answer over from the [http.Server], which has written its head and what the handler has flushed. If
// it returns true, the handler must return and use neither w nor r, and the answer must be finished or closed. If it returns false, nothing has changed: the
// system, the protocol or the request does not allow it.
func Detach(w http.ResponseWriter, r *http.Request) (*Answer, bool) {
	c := connectionOf(r.Context())
	if !c.canWait(r) || !r.ProtoAtLeast(1, 1) { // HTTP/1.0 has no chunks
		return nil, false
	}
	if !c.pool.begin() {
		return nil, false
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		c.pool.end()
		return nil, false
	}
	unread, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	if before, is := conn.(*resumedConn); is {
		conn, unread = before.Conn, slices.Concat(unread, before.unread)
	}
	return &Answer{conn: conn, pool: c.pool, unread: slices.Clone(unread)}, true
}

// OnHangUp calls f, on a goroutine of its own, when the client hangs up or the pool is closed. As with an
// [http.Server], that is no longer noticed before a write fails once the client has sent something.
func (a *Answer) OnHangUp(f func()) {
	if len(a.unread) > 0 {
		return
	}
	e, err := a.pool.enter(a.conn, func(bool) {
		go func() {
			if a.pool.isClosed() || hasHungUp(a.conn) {
				f()
			}
		}()
	})
	if err != nil {
		go f()
		return
	}
	a.entry = e
	a.pool.watch(e)
}

// chunkBuffers are shared by the answers, which need one only while they write.
var chunkBuffers = sync.Pool{New: func() any { return new([]byte) }}

const (
	// maxChunkBuffer is the largest buffer that is kept for another time, in bytes.
	maxChunkBuffer = 64 << 10
	// stride is how many bytes the client must take within the time limit of a write. A client may be slow, but it must
	// make progress.
	stride = 16 << 10
)

// Write writes a chunk. The client must take each piece of it within the limit.
func (a *Answer) Write(chunk []byte, limit time.Duration) error {
	if len(chunk) == 0 {
		return nil // an empty chunk would be the last
	}
	buffer, _ := chunkBuffers.Get().(*[]byte)
	framed := append(append(fmt.Appendf((*buffer)[:0], "%x\r\n", len(chunk)), chunk...), "\r\n"...)
	err := a.write(framed, limit)
	if *buffer = framed[:0]; cap(framed) <= maxChunkBuffer {
		chunkBuffers.Put(buffer)
	}
	return err
}

func (a *Answer) write(b []byte, limit time.Duration) error {
	for len(b) > 0 {
		if err := a.conn.SetWriteDeadline(time.Now().Add(limit)); err != nil {
			return err
		}
		n, err := a.conn.Write(b[:min(stride, len(b))])
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// Finish ends the answer. The [http.Server] then serves the next request on the connection.
func (a *Answer) Finish(limit time.Duration) {
	if err := a.write([]byte("0\r\n\r\n"), limit); err != nil {
		a.Close()
		return
	}
	a.forget()
	_ = a.conn.SetWriteDeadline(time.Time{}) // fails only on a closed connection, which the server notices
	defer a.pool.end()
	a.pool.resume(&resumedConn{Conn: a.conn, unread: a.unread, pool: a.pool, answered: len(a.unread) == 0})
}

// Close closes the connection, so that the client finds the answer incomplete.
func (a *Answer) Close() {
	a.forget()
	_ = a.conn.Close() // the client has been told what it could be
	a.pool.end()
}

// forget ends the watch for the client to hang up.
func (a *Answer) forget() {
	if a.entry != nil {
		a.pool.drop(a.entry)
	}
}

// hasHungUp reports whether a readable connection is at its end, without reading what else was sent.
func hasHungUp(conn net.Conn) bool {
	socket, is := conn.(syscall.Conn)
	if !is {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return true
	}
	hungUp := false
	err = raw.Control(func(descriptor uintptr) { hungUp = atEnd(descriptor) })
	return err != nil || hungUp
}
