package handlers

import (
	"io"
	"net/http"
	"time"
)

const (
	// maxUnread is how much of a body is read after its request was answered.
	maxUnread = 16 << 20
	// readByHTTP is how much of a body net/http reads before it answers, if the handler did not.
	readByHTTP = 256 << 10
)

// readOn reads what a client still sends of a body whose request was refused. A connection that is closed with something
// unread is reset by the system, and the client may then have an error instead of the answer, and try again. nginx calls
// this a lingering close.
func (s *Server) readOn(w http.ResponseWriter, r *http.Request) {
	info := infoOf(r)
	unread := info.bodyUnread || !info.bodyRead && (r.ContentLength < 0 || r.ContentLength > readByHTTP)
	asks := !info.bodyRead && r.Header.Get("Expect") != "" // the client sends its body only if it is told to
	if !unread || asks || info.code == "" || r.ProtoMajor != 1 {
		return
	}
	conn := http.NewResponseController(w)
	if err := conn.Flush(); err != nil {
		return
	}
	if err := conn.SetReadDeadline(time.Now().Add(s.Limits.WriteTime / 2)); err != nil { // see extendDeadline
		return
	}
	_, _ = io.CopyN(io.Discard, r.Body, maxUnread)
}
