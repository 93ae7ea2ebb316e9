package parking_test

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

	"restante/parking"
)

// bell is what the requests of these tests wait for.
type bell struct {
	mu   sync.Mutex
	rung bool
	ring func()
	left int
}

func (b *bell) OnReady(f func()) {
	b.mu.Lock()
	rung := b.rung
	if !rung {
		b.ring = f
	}
	b.mu.Unlock()
	if rung {
		f()
	}
}

func (b *bell) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left++
}

// now rings it.
func (b *bell) now() {
	b.mu.Lock()
	ring := b.ring
	b.rung, b.ring = true, nil
	b.mu.Unlock()
	if ring != nil {
		ring()
	}
}

func (b *bell) answer() (rung bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rung
}

// house is a server whose GET /wait waits, and whose GET /now does not.
type house struct {
	testing.TB
	lot     *parking.Lot
	server  *http.Server
	address string

	parked  atomic.Int64 // how often a request was
	resumed atomic.Int64
	stirred atomic.Int64 // how often because its connection stirred
	bells   sync.Map     // by the request's query
}

func open(t testing.TB) *house {
	t.Helper()
	lot, err := parking.New(slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	h := &house{TB: t, lot: lot}
	h.server = &http.Server{Handler: h, ConnContext: lot.ConnContext, Protocols: new(http.Protocols), ReadHeaderTimeout: time.Minute}
	h.server.Protocols.SetHTTP1(true)
	h.server.Protocols.SetUnencryptedHTTP2(true)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.address = l.Addr().String()
	var serving sync.WaitGroup
	for _, l := range []net.Listener{l, lot} {
		serving.Go(func() { _ = h.server.Serve(l) })
	}
	t.Cleanup(func() {
		_ = h.server.Close()
		_ = lot.Close()
		serving.Wait()
	})
	return h
}

func (h *house) bell(of string) *bell {
	b, _ := h.bells.LoadOrStore(of, &bell{})
	return b.(*bell)
}

func (h *house) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/wait" {
		_, _ = io.WriteString(w, "at once")
		return
	}
	waiting, stirs := parking.Resume(r)
	b, resumed := waiting.(*bell)
	if !resumed {
		b = h.bell(r.URL.RawQuery)
	} else {
		h.resumed.Add(1)
	}
	if again, _ := parking.Resume(r); again != nil {
		h.Error("it is resumed twice")
	}
	if stirs {
		h.stirred.Add(1)
	}
	if !b.answer() && !stirs {
		h.parked.Add(1)
		if h.lot.Park(w, r, b) {
			return
		}
		h.parked.Add(-1)
	}
	for !b.answer() { // without the lot
		select {
		case <-r.Context().Done():
			b.Close()
			return
		case <-time.After(time.Millisecond):
		}
	}
	w.Header().Set("Said", r.Header.Get("Say"))
	_, _ = io.WriteString(w, r.RemoteAddr)
}

// caller is a connection to it.
type caller struct {
	testing.TB
	net.Conn
	in *bufio.Reader
}

func (h *house) call() *caller {
	h.Helper()
	conn, err := new(net.Dialer).DialContext(h.Context(), "tcp", h.address)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &caller{h.TB, conn, bufio.NewReader(conn)}
}

func (c *caller) say(text string) {
	c.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.Fatal(err)
	}
}

func (c *caller) expect(want string) http.Header {
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

// eventually waits until something is so.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not come to pass that %s", what)
		}
	}
}
