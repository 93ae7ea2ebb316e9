package idleconn

import (
	"net"
	"net/http"
	"testing"
)

// conn is a connection that can only be closed.
type conn struct {
	net.Conn

	closed bool
}

func (c *conn) Close() error {
	c.closed = true
	return nil
}

func TestTheConnectionThatIsQuietForLongestGoesFirst(t *testing.T) {
	var q quietConns
	fresh, busy, idle, again := &conn{}, &conn{}, &conn{}, &conn{}
	for _, c := range []*conn{again, busy, idle, fresh} {
		q.watch(c, http.StateNew)
	}
	for _, c := range []*conn{idle, busy, again} {
		q.watch(c, http.StateActive)
	}
	for _, c := range []*conn{again, idle} {
		q.watch(c, http.StateIdle)
	}
	q.watch(again, http.StateActive)
	q.watch(again, http.StateIdle)
	for _, next := range []*conn{fresh, idle, again} {
		if next.closed || !q.closeFirst() || !next.closed {
			t.Fatal("another one went first")
		}
	}
	if q.closeFirst() || busy.closed {
		t.Error("a connection was closed on which a request is under way")
	}
	left := &conn{}
	q.watch(left, http.StateNew)
	q.closeNew()
	late := &conn{}
	q.watch(late, http.StateNew)
	if !left.closed || !late.closed || q.closeFirst() {
		t.Error("a connection on which nothing was sent outlives the server")
	}
}
