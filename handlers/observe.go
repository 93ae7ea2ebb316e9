package handlers

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"time"

	"github.com/go-chi/chi/v5"

	"restante/internal/idleconn"
	"restante/internal/tracing"
	"restante/rendezvous"
	"restante/session"
)

// requestInfo is what is known of a request, for its line in the log and for what comes later in the chain.
type requestInfo struct {
	began    time.Time
	poll     *waitingPoll       // what the request resumes, if it has waited without a goroutine
	client   netip.Addr         // the client's address; never logged
	address  string             // what stands for it
	read     *waitingRead       // the same for a read of a log
	delayed  time.Duration      // by the operator's rules, so far
	bound    bool               // the operation requires a session
	keyed    bool               // the request has an app and a secret instead
	session  *session.Key       // that the credential names
	side     rendezvous.SideRef // that the app and the secret make
	content  content
	receives receiving // if it receives frames
	reads    reading   // if it reads a log
	reply    replyHeaders
	bodyRead bool // the body was read, or could not be
	// bodyUnread is set if only the beginning of the body was read.
	bodyUnread bool
	wrote      bool // the answer has begun
	status     int
	sent       int64 // bytes of the answer's body
	id         string
	trace      string // that the client's traceparent names, or that the request began
	span       *tracing.Span
	code       rendezvous.Code
	err        error
	// goesOn, if it is set, is called when the handler has returned: the answer goes on without it. The request has ended
	// when end is called, once.
	goesOn func(end func())
}

// requestInfoKey is the one key under which the chain of handlers keeps anything in the context of a request: to add
// another is to copy the request.
type requestInfoKey struct{}

func newRequestInfo(r *http.Request) *requestInfo {
	switch waited := idleconn.Resume(r).(type) {
	case *waitingPoll:
		return &requestInfo{began: waited.began, poll: waited}
	case *waitingRead:
		return &requestInfo{began: waited.began, read: waited}
	}
	return &requestInfo{began: time.Now()}
}

// infoOf returns what is known of a request.
func infoOf(r *http.Request) *requestInfo { return infoIn(r.Context()) }

// infoIn returns what is known of the request of a context.
func infoIn(ctx context.Context) *requestInfo {
	info, ok := ctx.Value(requestInfoKey{}).(*requestInfo)
	if !ok {
		info = &requestInfo{} // only a request that bypasses the routes has none
	}
	return info
}

// observer passes an answer on, records its status, and limits how long the client may take to read it.
type observer struct {
	http.ResponseWriter
	info  *requestInfo
	limit time.Duration
	slow  func() // called when the client did not read in time
}

// chunk is how many bytes the client must read within the time limit.
const chunk = 16 << 10

func (o *observer) WriteHeader(status int) {
	if !o.info.wrote && status >= http.StatusOK {
		o.info.wrote, o.info.status = true, status
		o.extendDeadline()
		if !o.info.bodyRead { // the answer waits for a body that is not read, and that may never come
			_ = http.NewResponseController(o.ResponseWriter).SetReadDeadline(time.Now().Add(o.limit / 2)) // see extendDeadline
		}
	}
	o.ResponseWriter.WriteHeader(status)
}

// Write writes piece by piece, so that a client may be slow as long as it makes progress.
func (o *observer) Write(b []byte) (written int, err error) {
	if !o.info.wrote {
		o.WriteHeader(http.StatusOK)
	}
	for err == nil && written < len(b) {
		if written > 0 {
			o.extendDeadline()
		}
		var n int
		n, err = o.ResponseWriter.Write(b[written:min(written+chunk, len(b))])
		written += n
		o.info.sent += int64(n)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		o.slow()
	}
	return written, err
}

// extendDeadline restarts the client's time limit. Every connection has deadlines; the ResponseWriter of a test may
// have none.
func (o *observer) extendDeadline() {
	_ = http.NewResponseController(o.ResponseWriter).SetWriteDeadline(time.Now().Add(o.limit))
}

// Hijack implements [http.Hijacker]: the connection is no longer HTTP's.
func (o *observer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(o.ResponseWriter).Hijack()
	if err == nil && !o.info.wrote {
		o.info.wrote, o.info.status = true, http.StatusSwitchingProtocols
	}
	return conn, rw, err
}

// Unwrap makes the methods of the wrapped ResponseWriter available to [http.ResponseController].
func (o *observer) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// observe is the outermost middleware: each request gets a line in the log and an observation in the metrics, and a
// panic gets a problem document. A request that got no answer has its connection cut. It never logs a session id, a body or a nameplate: it logs the path as its pattern.
func (s *Server) observe(m *metrics) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			info, command := newRequestInfo(r), isCommand(r.Context())
			o := &observer{w, info, s.Limits.WriteTime, func() { s.closedAt(limitSlowReader, info.address) }}
			info.id, info.trace = newRequestID(), traceOf(r.Header.Get("Traceparent"))
			w.Header().Set("X-Request-ID", info.id)
			// The routing context is made here, so that the pattern is known afterwards.
			routes := chi.NewRouteContext()
			ctx := context.WithValue(s.traced(r, info), requestInfoKey{}, info)
			r = r.WithContext(context.WithValue(ctx, chi.RouteCtxKey, routes)) //nolint:contextcheck // it is that of the request
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
				if info.poll != nil {
					info.poll.Close() // in case it was refused before it came to the poll
				}
				if info.read != nil {
					info.read.Close()
				}
				pattern := routes.RoutePattern()
				if pattern == "" {
					pattern = s.patternOf(r)
				}
				end := s.endOf(m, r, info, pattern)
				if info.goesOn != nil {
					info.goesOn(end)
					return
				}
				end()
				if !info.wrote && !command {
					panic(http.ErrAbortHandler) // otherwise, net/http would answer 200
				}
				s.readOn(w, r)
			}()
			next.ServeHTTP(o, r)
		})
	}
}

// endOf returns what is called once a request has ended. It does not keep the request.
func (s *Server) endOf(m *metrics, r *http.Request, info *requestInfo, pattern string) func() {
	verb, ctx := method(r.Method), r.Context()
	if info.goesOn != nil {
		ctx = detached(ctx)
	}
	return func() { s.ended(ctx, m, info, verb, pattern) }
}

// ended counts and logs a request.
func (s *Server) ended(ctx context.Context, m *metrics, info *requestInfo, verb, pattern string) {
	took := time.Since(info.began)
	m.observe(verb, pattern, info, took)
	info.span.EndRequest(verb, pattern, info.status, string(info.code), info.id)
	s.log(ctx, info, verb, pattern, took)
}

// detached returns a context for what goes on after the request of ctx. It has what is needed of the request, and does
// not keep the rest in memory. It does not end.
func detached(ctx context.Context) context.Context {
	after := tracing.Detach(ctx)
	if prefix, is := ctx.Value(prefixKey{}).(string); is {
		after = context.WithValue(after, prefixKey{}, prefix)
	}
	return after
}

// log writes the request's line.
func (s *Server) log(ctx context.Context, info *requestInfo, verb, pattern string, took time.Duration) {
	level := slog.LevelDebug // a line for each request is too much, unless one is looked for
	switch {
	case info.status >= http.StatusInternalServerError && info.code != rendezvous.Draining:
		level = slog.LevelError
	case pattern == "/livez", pattern == "/readyz", pattern == "/metrics":
	case info.status >= http.StatusBadRequest, info.status == 0 && info.err != nil && ctx.Err() == nil:
		level = slog.LevelInfo
	}
	if !s.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", verb), slog.String("route", pattern),
		slog.Int("status", info.status), slog.Duration("took", took.Round(time.Microsecond)),
		slog.Int64("bytes", info.sent), slog.String("request", info.id),
	}
	if info.trace != "" {
		attrs = append(attrs, slog.String("trace", info.trace))
	}
	if info.address != "" {
		attrs = append(attrs, slog.String("address", info.address))
	}
	if info.session != nil {
		attrs = append(attrs, slog.String("session", info.session.String()))
	}
	if info.code != "" {
		attrs = append(attrs, slog.String("code", string(info.code)))
	}
	if s.isSampled(ctx, info) {
		standsFor, logIt := s.sample(string(info.code), info.address)
		if !logIt {
			return
		}
		if standsFor > 1 {
			attrs = append(attrs, slog.Int("standsFor", standsFor))
		}
	}
	if info.err != nil && (info.status == 0 || info.status >= http.StatusInternalServerError) {
		attrs = append(attrs, slog.String("error", info.err.Error()))
	}
	s.Log.LogAttrs(ctx, level, "request", attrs...)
}

// isSampled reports whether only some of the lines like this one are logged. A client that is refused for what it asks
// too much is told from others by few of them. All other refusals are logged if the level is debug.
func (s *Server) isSampled(ctx context.Context, info *requestInfo) bool {
	switch {
	case info.status == http.StatusTooManyRequests, info.code == rendezvous.Overloaded:
		return true
	case info.code == "", info.code == rendezvous.Internal:
		return false
	}
	return !s.Log.Enabled(ctx, slog.LevelDebug)
}

// method returns a method, or "other" for what a client makes up: that must not fill logs and metrics.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	default:
		return "other"
	}
}
