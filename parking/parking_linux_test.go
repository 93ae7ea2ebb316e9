package parking_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"restante/parking"
)

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
