package idleconn_test

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"restante/internal/idleconn"
)

// event is what the requests of these tests wait for.
type event struct {
	mu      sync.Mutex
	isSet   bool
	onReady func()
	closed  int
}

func (e *event) OnReady(f func()) {
	e.mu.Lock()
	isSet := e.isSet
	if !isSet {
		e.onReady = f
	}
	e.mu.Unlock()
	if isSet {
		f()
	}
}

func (e *event) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed++
}

// set makes the requests that wait for it ready.
func (e *event) set() {
	e.mu.Lock()
	onReady := e.onReady
	e.isSet, e.onReady = true, nil
	e.mu.Unlock()
	if onReady != nil {
		onReady()
	}
}

func (e *event) ready() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.isSet
}

func (e *event) timesClosed() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed
}

// harness is a server whose GET /wait waits, and whose GET /now does not.
type harness struct {
	testing.TB
	server  *idleconn.Server
	network string
	address string

	begun   atomic.Int64 // how often a request tried to leave its goroutine
	waited  atomic.Int64 // how often one left it
	resumed atomic.Int64
	again   atomic.Int64 // how often a resumed request was not ready, because its connection was readable
	events  sync.Map     // by the request's query
	pool    atomic.Pointer[idleconn.Pool]
	held    chan struct{} // if there is one, a request waits once it is closed
}

func open(t testing.TB) *harness {
	t.Helper()
	return openOn(t, "tcp", "127.0.0.1:0")
}

func openOn(t testing.TB, network, address string) *harness {
	t.Helper()
	h := &harness{}
	h.start(t, network, address, 0, h)
	return h
}

// openWith opens a harness with another handler, and with a time after which idle connections are closed.
func openWith(t testing.TB, idleTimeout time.Duration, handler http.Handler) *harness {
	t.Helper()
	h := &harness{}
	h.start(t, "tcp", "127.0.0.1:0", idleTimeout, handler)
	return h
}

func (h *harness) start(t testing.TB, network, address string, idleTimeout time.Duration, handler http.Handler) {
	t.Helper()
	h.TB, h.network = t, network
	server := &http.Server{Handler: handler, Protocols: new(http.Protocols), ReadHeaderTimeout: time.Minute, IdleTimeout: idleTimeout}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	h.server = idleconn.NewServer(server, idleconn.Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	l, err := new(net.ListenConfig).Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	h.address = l.Addr().String()
	var serving sync.WaitGroup
	serving.Go(func() { _ = h.server.Serve(l) })
	t.Cleanup(func() {
		_ = h.server.Close()
		serving.Wait()
	})
}

func (h *harness) event(name string) *event {
	e, _ := h.events.LoadOrStore(name, &event{})
	return e.(*event)
}

func (h *harness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.pool.Store(idleconn.PoolOf(r.Context()))
	waiter := idleconn.Resume(r)
	e, resumed := waiter.(*event)
	if r.URL.Path != "/wait" {
		if waiter != nil {
			h.Error("a request that did not wait is resumed")
		}
		_, _ = io.WriteString(w, "at once")
		return
	}
	if resumed {
		h.resumed.Add(1)
	} else {
		e = h.event(r.URL.RawQuery)
	}
	if resumed && !e.ready() {
		h.again.Add(1)
	}
	if !e.ready() {
		if !resumed {
			h.begun.Add(1)
			if h.held != nil {
				<-h.held
			}
		}
		if idleconn.Wait(w, r, e) {
			h.waited.Add(1)
			if resumed {
				h.Error("a request whose connection is readable waits again")
			}
			if !idleconn.Waiting(r) {
				h.Error("a request that waits does not say so")
			}
			return
		}
	}
	if idleconn.Waiting(r) {
		h.Error("a request on its goroutine says that it waits")
	}
	for !e.ready() { // on its goroutine
		select {
		case <-r.Context().Done():
			e.Close()
			return
		case <-time.After(time.Millisecond):
		}
	}
	w.Header().Set("Said", r.Header.Get("Say"))
	_, _ = io.WriteString(w, r.RemoteAddr)
}

// client is a connection to the harness.
type client struct {
	testing.TB
	net.Conn
	in *bufio.Reader
}

func (h *harness) dial() *client {
	h.Helper()
	conn, err := new(net.Dialer).DialContext(h.Context(), h.network, h.address)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(4 * time.Minute))
	return &client{h.TB, conn, bufio.NewReader(conn)}
}

func (c *client) say(text string) {
	c.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.Fatal(err)
	}
}

func (c *client) expect(want string) http.Header {
	c.Helper()
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.Fatal(err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		c.Fatal(err)
	}
	if string(got) != want {
		c.Errorf("answered %q, want %q", got, want)
	}
	return response.Header
}

func wait(query string) string {
	return "GET /wait?" + query + " HTTP/1.1\r\nHost: x\r\nSay: a word\r\n\r\n"
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(4 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			t.Fatalf("not within four minutes: %s", what)
		case <-tick.C:
		}
	}
}
