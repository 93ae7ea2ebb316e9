package idleconn

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// quietConns are the connections on which nothing is under way: the client has sent nothing yet, or has got its answer
// and may send the next request. Those on which it has sent nothing are closed when the server stops: browsers open some
// in case that they need them later. [http.Server.Shutdown] waits until each is five seconds old; there is no reason to.
type quietConns struct {
	mu      sync.Mutex
	order   list.List // of *quietConn: the one that has been quiet for longest is first
	of      map[net.Conn]*list.Element
	stopped bool
}

// quietConn is a connection on which nothing is under way.
type quietConn struct {
	net.Conn

	isNew bool // the client has sent nothing, or nothing since an answer that the [http.Server] has not written
}

// watch is the server's ConnState.
func (q *quietConns) watch(c net.Conn, state http.ConnState) {
	before, resumed := c.(*resumedConn)
	q.mu.Lock()
	defer q.mu.Unlock()
	if known := q.of[c]; known != nil {
		q.removeLocked(known)
	}
	isNew := state == http.StateNew && (!resumed || before.answered)
	switch {
	case isNew && q.stopped:
		_ = c.Close() // nothing was sent on it
	case isNew, state == http.StateIdle:
		q.addLocked(&quietConn{c, isNew})
	}
}

// add adds a connection of which no [http.Server] knows. If the server has stopped, it closes the connection and returns
// false.
func (q *quietConns) add(c net.Conn) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopped {
		_ = c.Close() // nothing is under way on it
		return false
	}
	q.addLocked(&quietConn{c, true})
	return true
}

// remove takes a connection out. It returns false if that was done already: to close it, in most cases.
func (q *quietConns) remove(c net.Conn) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	known := q.of[c]
	if known != nil {
		q.removeLocked(known)
	}
	return known != nil
}

// addLocked adds a connection. mu is held.
func (q *quietConns) addLocked(c *quietConn) {
	if q.of == nil {
		q.of = map[net.Conn]*list.Element{}
	}
	q.of[c.Conn] = q.order.PushBack(c)
}

// removeLocked takes a connection out, and returns it. mu is held.
func (q *quietConns) removeLocked(e *list.Element) *quietConn {
	c, _ := q.order.Remove(e).(*quietConn)
	delete(q.of, c.Conn)
	return c
}

// closeFirst closes the connection that has been quiet for longest. It returns false if there is none.
func (q *quietConns) closeFirst() bool {
	q.mu.Lock()
	first := q.order.Front()
	var c *quietConn
	if first != nil {
		c = q.removeLocked(first)
	}
	q.mu.Unlock()
	if c == nil {
		return false
	}
	_ = c.Close() // nothing is under way on it
	return true
}

// closeNew closes all on which the client has sent nothing, and from then on each one that comes.
func (q *quietConns) closeNew() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped = true
	for e := q.order.Front(); e != nil; {
		next := e.Next()
		if c, _ := e.Value.(*quietConn); c.isNew {
			_ = q.removeLocked(e).Close() // nothing was sent on it
		}
		e = next
	}
}
