package idleconn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"restante/internal/idleconn"
)

func TestARequestIsServedAgainAsItWas(t *testing.T) {
	h := open(t)
	c := h.dial()
	for i := range 3 { // one after the other, on one connection
		query := fmt.Sprint(i)
		c.say(wait(query))
		eventually(t, "it waits", func() bool { return h.waited.Load() == int64(i+1) })
		h.event(query).set()
		if said := c.expect(c.LocalAddr().String()).Get("Said"); said != "a word" {
			t.Errorf("the request that goes on says %q", said)
		}
		c.say("GET /now HTTP/1.1\r\nHost: x\r\n\r\n")
		c.expect("at once")
	}
	if n := h.resumed.Load(); n != 3 {
		t.Errorf("%d were resumed, want 3", n)
	}
	if n := h.again.Load(); n != 0 {
		t.Errorf("%d were resumed before they were ready, want none", n)
	}
}

func TestRequestsWaitWithoutGoroutines(t *testing.T) {
	h := open(t)
	const many = 300
	clients := make([]*client, many)
	for i := range clients {
		clients[i] = h.dial()
		clients[i].say(wait("all"))
	}
	eventually(t, "all wait", func() bool { return h.waited.Load() == many })
	eventually(t, "no goroutine of theirs is left", func() bool { return runtime.NumGoroutine() < many/10 })
	h.event("all").mu.Lock()
	h.event("all").isSet = true // the event has one listener: what comes on their connections wakes the others
	h.event("all").mu.Unlock()
	for _, c := range clients {
		c.say("GET /now HTTP/1.1\r\nHost: x\r\n\r\n")
		c.expect(c.LocalAddr().String())
		c.expect("at once")
	}
}

func TestRequestsOnUnixSocketsWait(t *testing.T) {
	h := openOn(t, "unix", filepath.Join(t.TempDir(), "s"))
	c := h.dial()
	c.say(wait("a"))
	eventually(t, "it waits", func() bool { return h.waited.Load() == 1 })
	eventually(t, "its goroutine has ended", func() bool { return !strings.Contains(stacks(), "net/http.(*conn).serve(") })
	h.event("a").set()
	c.expect("@")
	c.say(wait("b"))
	eventually(t, "it waits again", func() bool { return h.waited.Load() == 2 })
	_ = c.Close()
	eventually(t, "that the client hung up is noticed", func() bool { return h.event("b").timesClosed() == 1 })
}

// stacks returns the stack of each goroutine.
func stacks() string {
	all := make([]byte, 1<<20)
	return string(all[:runtime.Stack(all, true)])
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	tests := map[string]func(c *client, waits func()){
		"in one packet": func(c *client, _ func()) {
			c.say(wait("a") + "GET /now HTTP/1.1\r\nHost: x\r\n\r\n" + wait("b"))
		},
		"while it waits": func(c *client, waits func()) {
			c.say(wait("a"))
			waits()
			c.say("GET /now HTTP/1.1\r\nHost: x\r\n\r\n" + wait("b"))
		},
		"byte by byte": func(c *client, _ func()) {
			for _, b := range []byte(wait("a") + "GET /now HTTP/1.1\r\nHost: x\r\n\r\n" + wait("b")) {
				c.say(string(b))
			}
		},
		"and is longer than any buffer": func(c *client, waits func()) {
			c.say(wait("a"))
			waits()
			c.say("GET /now HTTP/1.1\r\nHost: x\r\nLong: " + strings.Repeat("x", 20_000) + "\r\n\r\n" + wait("b"))
		},
	}
	for name, say := range tests {
		t.Run(name, func(t *testing.T) {
			h := open(t)
			c := h.dial()
			say(c, func() { eventually(t, "it waits", func() bool { return h.waited.Load() == 1 }) })
			time.AfterFunc(20*time.Millisecond, h.event("a").set)
			time.AfterFunc(40*time.Millisecond, h.event("b").set)
			c.expect(c.LocalAddr().String())
			c.expect("at once")
			c.expect(c.LocalAddr().String())
		})
	}
}

func TestAClientThatHangsUpIsNoticed(t *testing.T) {
	h := open(t)
	c := h.dial()
	c.say(wait("a"))
	eventually(t, "it waits", func() bool { return h.waited.Load() == 1 })
	_ = c.Close()
	eventually(t, "the waiter is closed", func() bool { return h.event("a").timesClosed() == 1 })
	if n := h.again.Load(); n != 1 {
		t.Errorf("%d were resumed before they were ready, want 1", n)
	}
}

func TestWhatWaitsOnItsGoroutine(t *testing.T) {
	tests := map[string]string{
		"a connection that is to be closed": "GET /wait?a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"one of HTTP/1.0":                   "GET /wait?a HTTP/1.0\r\n\r\n",
		"a request with a body":             "GET /wait?a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi",
		"one with a long head":              "GET /wait?a HTTP/1.1\r\nHost: x\r\nLong: " + strings.Repeat("x", 9000) + "\r\n\r\n",
	}
	for name, request := range tests {
		t.Run(name, func(t *testing.T) {
			h := open(t)
			time.AfterFunc(20*time.Millisecond, h.event("a").set)
			c := h.dial()
			c.say(request)
			c.expect(c.LocalAddr().String())
			if n := h.resumed.Load(); n != 0 {
				t.Error("it left its goroutine")
			}
		})
	}
	t.Run("a stream of HTTP/2", func(t *testing.T) {
		h := open(t)
		time.AfterFunc(20*time.Millisecond, h.event("a").set)
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
	t.Run("any request of a server without a pool", func(t *testing.T) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		none := idleconn.PoolOf(t.Context())
		if _, ok := none.WhenReadable(nil, nil); ok || none != nil || none.Close() != nil {
			t.Error("there is a pool")
		}
		if idleconn.Wait(nil, request, nil) || idleconn.Waiting(request) || idleconn.Resume(request) != nil {
			t.Error("a request waits without a pool")
		}
	})
}

func TestStopping(t *testing.T) {
	t.Run("waits until all requests are answered", func(t *testing.T) {
		h := open(t)
		c := h.dial()
		c.say(wait("a"))
		eventually(t, "it waits", func() bool { return h.waited.Load() == 1 })
		stopped := make(chan error)
		go func() { stopped <- h.server.Shutdown(t.Context()) }()
		select {
		case err := <-stopped:
			t.Fatalf("stopped with %v while a request waits", err)
		case <-time.After(20 * time.Millisecond):
		}
		h.event("a").set()
		c.expect(c.LocalAddr().String())
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	t.Run("waits for a request that waits only now", func(t *testing.T) {
		h := open(t)
		h.held = make(chan struct{})
		c := h.dial()
		c.say(wait("a"))
		eventually(t, "it is about to wait", func() bool { return h.begun.Load() == 1 })
		stopped := make(chan error)
		go func() { stopped <- h.server.Shutdown(t.Context()) }()
		eventually(t, "nothing more is accepted", func() bool {
			conn, err := new(net.Dialer).DialContext(t.Context(), h.network, h.address)
			if err == nil {
				_ = conn.Close()
			}
			return err != nil
		})
		close(h.held)
		h.event("a").set()
		c.expect(c.LocalAddr().String())
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	t.Run("closes what waits for too long, and its waiter", func(t *testing.T) {
		h := open(t)
		c := h.dial()
		c.say(wait("a"))
		eventually(t, "it waits", func() bool { return h.waited.Load() == 1 })
		soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := h.server.Shutdown(soon); !errors.Is(err, context.DeadlineExceeded) && err != nil {
			t.Errorf("stopped with %v", err)
		}
		if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("the connection: %v, want its end", err)
		}
		if n := h.event("a").timesClosed(); n != 1 {
			t.Errorf("the waiter was closed %d times, want 1", n)
		}
	})
	t.Run("closes connections on which nothing was sent", func(t *testing.T) {
		h := open(t)
		c := h.dial()
		c.say("GET /now HTTP/1.1\r\nHost: x\r\n\r\n")
		c.expect("at once")
		silent := h.dial()
		c.say(wait("a"))
		eventually(t, "it waits, so the silent connection has been accepted", func() bool { return h.waited.Load() == 1 })
		h.event("a").set()
		c.expect(c.LocalAddr().String())
		soon, cancel := context.WithTimeout(t.Context(), 4*time.Second) // http.Server.Shutdown alone takes five
		defer cancel()
		if err := h.server.Shutdown(soon); err != nil {
			t.Error(err)
		}
		if _, err := silent.in.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("the connection: %v, want its end", err)
		}
	})
	t.Run("lets nothing wait once the pool is closed", func(t *testing.T) {
		h := open(t)
		c := h.dial()
		c.say("GET /now HTTP/1.1\r\nHost: x\r\n\r\n")
		c.expect("at once")
		_ = h.pool.Load().Close()
		c.say(wait("a"))
		if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("the connection: %v, want its end", err)
		}
		if n := h.event("a").timesClosed(); n != 1 {
			t.Errorf("the waiter was closed %d times, want 1", n)
		}
	})
}

// Whenever events are set and clients leave, each request is answered once, or its client has left.
func TestNoRequestIsLost(t *testing.T) {
	h := open(t)
	var clients sync.WaitGroup
	for client := range 40 {
		clients.Go(func() {
			c := h.dial()
			for n := range 50 {
				query := fmt.Sprintf("%d-%d", client, n)
				e := h.event(query)
				timer := time.AfterFunc(rand.N(2*time.Millisecond), e.set)
				c.say(wait(query))
				if rand.IntN(10) == 0 {
					<-time.After(rand.N(2 * time.Millisecond))
					_ = c.Close()
					timer.Stop()
					c = h.dial()
					continue
				}
				c.expect(c.LocalAddr().String())
			}
		})
	}
	clients.Wait()
	soon, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	if err := h.server.Shutdown(soon); err != nil {
		t.Errorf("something still waits: %v", err)
	}
	if h.resumed.Load() == 0 {
		t.Error("nothing ever waited")
	}
}
