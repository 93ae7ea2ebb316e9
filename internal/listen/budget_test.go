package listen_test

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"restante/internal/listen"
)

// accepting serves a listener with a budget: it keeps each connection until its client closes it.
func accepting(t *testing.T, b *listen.Budget) (address string) {
	t.Helper()
	l := open(t, listen.Config{Plain: []string{"127.0.0.1:0"}, Budget: b})
	var serving sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			conn, err := l.All()[0].Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn) // until the client closes it
			})
		}
	})
	return l.Addrs()[0].String()
}

// answered connects and reports whether that is answered. The connection stays open.
func answered(t *testing.T, address, from string) (c net.Conn, is bool) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(t.Context(), "tcp", address)
	if err != nil {
		return nil, false // it was closed before it was noticed that it was open
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		return c, false
	}
	_, err = io.ReadFull(c, make([]byte, 1))
	return c, err == nil
}

func TestConnectionsOfAnAddress(t *testing.T) {
	var log bytes.Buffer
	b := &listen.Budget{PerAddress: 2, Log: slog.New(slog.NewTextHandler(&log, nil)), Name: func(a netip.Addr) string { return "name-of-" + a.String() }}
	address := accepting(t, b)
	first, one := answered(t, address, "127.0.0.1")
	if _, two := answered(t, address, "127.0.0.1"); !one || !two {
		t.Fatal("two are too many")
	}
	for range 5 {
		if _, is := answered(t, address, "127.0.0.1"); is {
			t.Error("a third is served")
		}
	}
	if _, is := answered(t, address, "127.0.0.2"); !is {
		t.Error("another address is not served")
	}
	if n := b.Refused.Load(); n != 5 {
		t.Errorf("%d are refused, want 5", n)
	}
	if lines := strings.Count(log.String(), "name-of-127.0.0.1"); lines < 1 || lines > 2 {
		t.Errorf("the log is\n%s", log.String())
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		if _, is := answered(t, address, "127.0.0.1"); is {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a connection that was closed is still counted")
		}
	}
}

func TestConnectionsInAll(t *testing.T) {
	b := &listen.Budget{
		PerAddress: 1, Total: 3, Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
		Log: slog.New(slog.DiscardHandler), Name: netip.Addr.String,
	}
	address := accepting(t, b)
	for i := range 3 {
		if _, is := answered(t, address, "127.0.0.1"); !is { // a proxy
			t.Errorf("connection %d is not served", i+1)
		}
	}
	for _, from := range []string{"127.0.0.1", "127.0.0.2"} {
		if _, is := answered(t, address, from); is {
			t.Errorf("a fourth is served, from %s", from)
		}
	}
}

// What is not needed makes room when there are too many in all, but not for an address that has too many itself.
func TestConnectionsThatAreNotNeededMakeRoom(t *testing.T) {
	var mu sync.Mutex
	var made int
	b := &listen.Budget{PerAddress: 2, Total: 3, Log: slog.New(slog.DiscardHandler), Name: netip.Addr.String}
	var idle net.Conn
	b.MakeRoom = func() bool {
		mu.Lock()
		defer mu.Unlock()
		made++
		return idle.Close() == nil // the server notices, as if it had closed it
	}
	address := accepting(t, b)
	mu.Lock()
	idle, _ = answered(t, address, "127.0.0.1")
	mu.Unlock()
	for _, from := range []string{"127.0.0.2", "127.0.0.2"} {
		if _, is := answered(t, address, from); !is {
			t.Fatalf("the connection from %s is refused", from)
		}
	}
	closed := func() int {
		mu.Lock()
		defer mu.Unlock()
		return made
	}
	if _, is := answered(t, address, "127.0.0.2"); is || closed() != 0 {
		t.Error("an address that has too many was given room, or others were closed for it")
	}
	for is := false; !is; { // until the server has noticed
		_, is = answered(t, address, "127.0.0.3")
	}
	if closed() == 0 {
		t.Error("nothing made room")
	}
}
