package parking_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
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

func (b *bell) Ring(f func()) {
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

func (b *bell) Leave() {
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
			b.Leave()
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

func TestAParkedRequestGoesOnAsItself(t *testing.T) {
	h := open(t)
	c := h.call()
	for i := range 3 { // one after the other, on one connection
		query := fmt.Sprint(i)
		c.say(wait(query))
		eventually(t, "it is parked", func() bool { return h.parked.Load() == int64(i+1) })
		h.bell(query).now()
		if said := c.expect(c.LocalAddr().String()).Get("Said"); said != "a word" {
			t.Errorf("the request that goes on says %q", said)
		}
		c.say("GET /now HTTP/1.1\r\nHost: x\r\n\r\n")
		c.expect("at once")
	}
	if n := h.resumed.Load(); n != 3 {
		t.Errorf("%d were resumed, want 3", n)
	}
	if n := h.stirred.Load(); n != 0 {
		t.Errorf("%d connections stirred, want none", n)
	}
}

func TestWhatIsParkedHasNoGoroutine(t *testing.T) {
	h := open(t)
	const many = 300
	callers := make([]*caller, many)
	for i := range callers {
		callers[i] = h.call()
		callers[i].say(wait("all"))
	}
	eventually(t, "all are parked", func() bool { return h.parked.Load() == many })
	eventually(t, "no goroutine of theirs is left", func() bool { return runtime.NumGoroutine() < many/10 })
	h.bell("all").mu.Lock()
	h.bell("all").rung = true // the bell has one listener: the others are told by what comes on their connections
	h.bell("all").mu.Unlock()
	for _, c := range callers {
		c.say("GET /now HTTP/1.1\r\nHost: x\r\n\r\n")
		c.expect(c.LocalAddr().String())
		c.expect("at once")
	}
}

func TestWhatWasSaidAheadIsAnsweredAfterwards(t *testing.T) {
	tests := map[string]func(c *caller, parked func()){
		"in one packet": func(c *caller, _ func()) {
			c.say(wait("a") + "GET /now HTTP/1.1\r\nHost: x\r\n\r\n" + wait("b"))
		},
		"while it is parked": func(c *caller, parked func()) {
			c.say(wait("a"))
			parked()
			c.say("GET /now HTTP/1.1\r\nHost: x\r\n\r\n" + wait("b"))
		},
		"byte by byte": func(c *caller, _ func()) {
			for _, b := range []byte(wait("a") + "GET /now HTTP/1.1\r\nHost: x\r\n\r\n" + wait("b")) {
				c.say(string(b))
			}
		},
		"and is longer than any buffer": func(c *caller, parked func()) {
			c.say(wait("a"))
			parked()
			c.say("GET /now HTTP/1.1\r\nHost: x\r\nLong: " + strings.Repeat("x", 20_000) + "\r\n\r\n" + wait("b"))
		},
	}
	for name, say := range tests {
		t.Run(name, func(t *testing.T) {
			h := open(t)
			c := h.call()
			say(c, func() { eventually(t, "it is parked", func() bool { return h.parked.Load() == 1 }) })
			time.AfterFunc(20*time.Millisecond, h.bell("a").now)
			time.AfterFunc(40*time.Millisecond, h.bell("b").now)
			c.expect(c.LocalAddr().String())
			c.expect("at once")
			c.expect(c.LocalAddr().String())
		})
	}
}

func TestAClientThatLeavesIsNoticed(t *testing.T) {
	h := open(t)
	c := h.call()
	c.say(wait("a"))
	eventually(t, "it is parked", func() bool { return h.parked.Load() == 1 })
	_ = c.Close()
	eventually(t, "who waits is told", func() bool {
		b := h.bell("a")
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.left == 1
	})
	if n := h.stirred.Load(); n != 1 {
		t.Errorf("%d connections stirred, want 1", n)
	}
}

func TestWhatIsNotParked(t *testing.T) {
	tests := map[string]string{
		"a connection that is to be closed": "GET /wait?a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"one of HTTP/1.0":                   "GET /wait?a HTTP/1.0\r\n\r\n",
		"a request with a body":             "GET /wait?a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi",
		"one with a long head":              "GET /wait?a HTTP/1.1\r\nHost: x\r\nLong: " + strings.Repeat("x", 9000) + "\r\n\r\n",
	}
	for name, request := range tests {
		t.Run(name, func(t *testing.T) {
			h := open(t)
			time.AfterFunc(20*time.Millisecond, h.bell("a").now)
			c := h.call()
			c.say(request)
			c.expect(c.LocalAddr().String())
			if n := h.resumed.Load(); n != 0 {
				t.Error("it was parked")
			}
		})
	}
	t.Run("a stream of HTTP/2", func(t *testing.T) {
		h := open(t)
		time.AfterFunc(20*time.Millisecond, h.bell("a").now)
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetUnencryptedHTTP2(true)
		defer transport.CloseIdleConnections()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+h.address+"/wait?a", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.ProtoMajor != 2 || h.resumed.Load() != 0 {
			t.Errorf("%s, %d resumed", response.Proto, h.resumed.Load())
		}
	})
	t.Run("anything without a lot", func(t *testing.T) {
		var none *parking.Lot
		request, err := http.NewRequestWithContext(none.ConnContext(t.Context(), nil), http.MethodGet, "/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		_, asleep := none.Sleep(nil, nil)
		none.Settle(t.Context())
		if none.Parks(request) || none.Park(nil, request, nil) || asleep || none.Close() != nil {
			t.Error("something is parked nowhere")
		}
	})
}

func TestStopping(t *testing.T) {
	t.Run("settles once all have gone on", func(t *testing.T) {
		h := open(t)
		c := h.call()
		c.say(wait("a"))
		eventually(t, "it is parked", func() bool { return h.parked.Load() == 1 })
		soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		h.lot.Settle(soon)
		if soon.Err() == nil {
			t.Error("it settled while a request was parked")
		}
		time.AfterFunc(20*time.Millisecond, h.bell("a").now)
		h.lot.Settle(t.Context())
		if err := h.server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		c.expect(c.LocalAddr().String())
	})
	t.Run("closes what has not, and tells it", func(t *testing.T) {
		h := open(t)
		c := h.call()
		c.say(wait("a"))
		eventually(t, "it is parked", func() bool { return h.parked.Load() == 1 })
		_ = h.lot.Close()
		if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("the connection: %v, want its end", err)
		}
		b := h.bell("a")
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.left != 1 {
			t.Errorf("who waited was told %d times, want 1", b.left)
		}
	})
	t.Run("parks nothing more", func(t *testing.T) {
		h := open(t)
		_ = h.lot.Close()
		c := h.call()
		c.say(wait("a"))
		eventually(t, "it would be parked", func() bool { return h.parked.Load() == 1 })
		if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("the connection: %v, want its end", err)
		}
	})
}

// Whatever rings when, and whoever leaves: each request is answered once, or its client has left.
func TestNoRequestIsLost(t *testing.T) {
	h := open(t)
	var callers sync.WaitGroup
	for client := range 40 {
		callers.Go(func() {
			c := h.call()
			for n := range 50 {
				query := fmt.Sprintf("%d-%d", client, n)
				b := h.bell(query)
				ring := time.AfterFunc(rand.N(2*time.Millisecond), b.now)
				c.say(wait(query))
				if rand.IntN(10) == 0 {
					time.Sleep(rand.N(2 * time.Millisecond))
					_ = c.Close()
					ring.Stop()
					c = h.call()
					continue
				}
				c.expect(c.LocalAddr().String())
			}
		})
	}
	callers.Wait()
	settled, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	h.lot.Settle(settled)
	if settled.Err() != nil {
		t.Error("something is left parked")
	}
	if h.resumed.Load() == 0 {
		t.Error("nothing was ever parked")
	}
}

// connected is both ends of a connection.
func connected(t testing.TB) (here, there net.Conn) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if there, err = new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if here, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = here.Close(), there.Close() })
	return here, there
}

func TestSleeping(t *testing.T) {
	tests := map[string]struct {
		do    func(there net.Conn, rouse func(), lot *parking.Lot)
		wakes int64
	}{
		"ends when something comes":          {func(there net.Conn, _ func(), _ *parking.Lot) { _, _ = there.Write([]byte("x")) }, 1},
		"ends when the other side has ended": {func(there net.Conn, _ func(), _ *parking.Lot) { _ = there.Close() }, 1},
		"ends when it is roused":             {func(_ net.Conn, rouse func(), _ *parking.Lot) { rouse(); rouse() }, 1},
		"ends once": {func(there net.Conn, rouse func(), _ *parking.Lot) {
			rouse()
			_, _ = there.Write([]byte("x"))
			_ = there.Close()
		}, 1},
		"ends with the lot": {func(_ net.Conn, _ func(), lot *parking.Lot) { _ = lot.Close() }, 1},
		"lasts otherwise":   {func(net.Conn, func(), *parking.Lot) {}, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := open(t)
			here, there := connected(t)
			var wakes atomic.Int64
			rouse, asleep := h.lot.Sleep(here, func() { wakes.Add(1) })
			if !asleep {
				t.Fatal("it cannot")
			}
			test.do(there, rouse, h.lot)
			eventually(t, "it ends", func() bool { return wakes.Load() >= test.wakes })
			time.Sleep(20 * time.Millisecond)
			if n := wakes.Load(); n != test.wakes {
				t.Errorf("woken %d times, want %d", n, test.wakes)
			}
		})
	}
	t.Run("again and again, each for what comes then", func(t *testing.T) {
		h := open(t)
		here, there := connected(t)
		for range 100 {
			woken := make(chan struct{})
			if _, asleep := h.lot.Sleep(here, func() { close(woken) }); !asleep {
				t.Fatal("it cannot")
			}
			_, _ = there.Write([]byte("x"))
			<-woken
			if n, err := here.Read(make([]byte, 2)); n != 1 || err != nil {
				t.Fatalf("read %d, %v", n, err)
			}
		}
	})
	t.Run("is nothing for what is no connection of the system's", func(t *testing.T) {
		h := open(t)
		here, there := net.Pipe()
		defer here.Close()
		defer there.Close()
		if _, asleep := h.lot.Sleep(here, nil); asleep {
			t.Error("a pipe sleeps")
		}
	})
}
