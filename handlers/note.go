package handlers

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/go-chi/chi/v5"

	"restante/internal/idleconn"
	"restante/rendezvous"
	"restante/session"
)

// requestNote is what is remembered of a request for its line in the log.
type requestNote struct {
	began   time.Time
	poll    *waitingPoll // which the request has left to wait, and resumes; nil for any other request
	bound   bool         // it came to an operation of a session
	session *session.Key // which one it says it is
	took    bool         // its body was taken in, or could not be
	wrote   bool         // its answer has begun
	status  int
	code    rendezvous.Code
	err     error
}

type keyOfNote struct{}

func newNote(r *http.Request) *requestNote {
	if poll, is := idleconn.Resume(r).(*waitingPoll); is {
		return &requestNote{began: poll.began, poll: poll}
	}
	return &requestNote{began: time.Now()}
}

// note is the request's note.
func note(r *http.Request) *requestNote {
	n, ok := r.Context().Value(keyOfNote{}).(*requestNote)
	if !ok {
		n = &requestNote{} // only a request that bypasses the routes has none
	}
	return n
}

// observer passes an answer on, remembers its status, and bounds how long the
// client may take to read it.
type observer struct {
	http.ResponseWriter
	note  *requestNote
	limit time.Duration
}

// chunk is how much is written before the client must have shown that it reads.
const chunk = 16 << 10

func (o *observer) WriteHeader(status int) {
	if !o.note.wrote && status >= http.StatusOK {
		o.note.wrote, o.note.status = true, status
		o.patient()
		if !o.note.took { // the answer waits for a body that nobody asked for, and that may never come
			_ = http.NewResponseController(o.ResponseWriter).SetReadDeadline(time.Now().Add(o.limit / 2)) // see patient
		}
	}
	o.ResponseWriter.WriteHeader(status)
}

// Write writes piece by piece, so that a client may be slow as long as it reads at all.
func (o *observer) Write(b []byte) (written int, err error) {
	if !o.note.wrote {
		o.WriteHeader(http.StatusOK)
	}
	for err == nil && written < len(b) {
		if written > 0 {
			o.patient()
		}
		var n int
		n, err = o.ResponseWriter.Write(b[written:min(written+chunk, len(b))])
		written += n
	}
	return written, err
}

// patient gives the client its time anew. Not every ResponseWriter of a test has
// deadlines; every connection has.
func (o *observer) patient() {
	_ = http.NewResponseController(o.ResponseWriter).SetWriteDeadline(time.Now().Add(o.limit))
}

// Hijack implements http.Hijacker: the connection is no longer HTTP's.
func (o *observer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(o.ResponseWriter).Hijack()
	if err == nil {
		o.note.wrote, o.note.status = true, http.StatusSwitchingProtocols
	}
	return conn, rw, err
}

// Unwrap lets http.ResponseController through.
func (o *observer) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// observe is the outermost middleware: one line in the log for each request, one
// observation in the metrics, and a problem document for a panic. It never logs a session id, a body
// or a nameplate: the path is logged as its pattern.
func (s *Server) observe(m *metrics) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := newNote(r)
			o := &observer{w, n, s.Limits.WriteTime}
			r = r.WithContext(context.WithValue(r.Context(), keyOfNote{}, n))
			// The routes' context is made here, so that the pattern is known afterwards.
			routes := chi.NewRouteContext()
			r = r.WithContext(context.WithValue(r.Context(), chi.RouteCtxKey, routes))
			defer func() {
				if p := recover(); p != nil {
					if p == http.ErrAbortHandler {
						panic(p)
					}
					s.Log.Error("panic", "value", p, "stack", string(debug.Stack()))
					s.fail(o, r, &rendezvous.Failure{Code: rendezvous.Internal, Detail: "something failed here"})
				}
				if idleconn.Waiting(r) {
					return // it is answered later
				}
				if n.poll != nil {
					n.poll.Close() // if it was refused before it came to the poll
				}
				pattern := routes.RoutePattern()
				if pattern == "" {
					pattern = "unmatched"
				}
				took := time.Since(n.began)
				m.observe(r.Method, pattern, n.status, took)
				s.log(r, n, pattern, took)
			}()
			next.ServeHTTP(o, r)
		})
	}
}

// log writes the request's line.
func (s *Server) log(r *http.Request, n *requestNote, pattern string, took time.Duration) {
	level := slog.LevelInfo
	switch {
	case n.status >= http.StatusInternalServerError && n.code != rendezvous.Draining:
		level = slog.LevelError
	case pattern == "/livez", pattern == "/readyz", pattern == "/metrics":
		level = slog.LevelDebug
	}
	if !s.Log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", method(r.Method)), slog.String("route", pattern),
		slog.Int("status", n.status), slog.Duration("took", took.Round(time.Microsecond)),
	}
	if n.session != nil {
		attrs = append(attrs, slog.String("session", n.session.String()))
	}
	if n.code != "" {
		attrs = append(attrs, slog.String("code", string(n.code)))
	}
	if n.err != nil && (n.status == 0 || n.status >= http.StatusInternalServerError) {
		attrs = append(attrs, slog.String("error", n.err.Error()))
	}
	s.Log.LogAttrs(r.Context(), level, "request", attrs...)
}

// method keeps what a client invents out of logs and metrics.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	default:
		return "other"
	}
}
