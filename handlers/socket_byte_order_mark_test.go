package handlers_test

import "testing"

// As the body of a request, a message may begin with a byte order mark, which says nothing.
func TestMessagesMayBeginWithAByteOrderMark(t *testing.T) {
	w := start(t, options{})
	a := w.begin(t, "app", "a")
	l, _ := w.upgrade(t, nil)
	l.send("\ufeff" + `{"sessionId": ` + quote(a.id) + `}`)
	l.want("heartbeat")
	l.send("\ufeff" + `{"ack": 0}`)
	l.send("\ufeff" + `{"id": "1", "method": "GET", "path": "/v1/session"}`)
	l.want("reply")
}
