package torture

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// TestProxyCuts holds that a connection ends after exactly as many bytes as was decided.
func TestProxyCuts(t *testing.T) {
	t.Parallel()
	answer := make([]byte, 10_000)
	l := listen(t, func(c net.Conn) { _, _ = c.Write(answer) })
	p, err := newProxy(newDice(1, "proxy"), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	whole, cut := 0, 0
	for i := range 60 {
		if i == 20 {
			p.rude.Store(100)
		}
		switch n := read(t, p.address()); {
		case n == len(answer):
			whole++
		case i < 20:
			t.Errorf("%d bytes came though nothing was to be cut", n)
		default:
			cut++
		}
	}
	if int64(cut) != p.cut.Load() || cut == 0 || whole < 20 {
		t.Errorf("%d connections were cut and %d whole, and the proxy counts %d", cut, whole, p.cut.Load())
	}
}

// TestProxyDeliversLate holds that a request arrives after its client was cut off and another one was sent, and that nothing
// else is harmed by it.
func TestProxyDeliversLate(t *testing.T) {
	t.Parallel()
	arrived := make(chan string)
	l := listen(t, func(c net.Conn) {
		for piece := make([]byte, 100); ; {
			n, err := c.Read(piece)
			if err != nil {
				return
			}
			arrived <- string(piece[:n])
			_, _ = c.Write([]byte("answer"))
		}
	})
	p, err := newProxy(nil, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	dial := func(address string) net.Conn {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	client, near := net.Pipe()
	defer client.Close()
	p.paused.Add(1) // what is late stays so until the other one is there
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.serveLate(near, dial(l.Addr().String()), plan{answer: none, request: none, late: time.Millisecond})
	}()
	if _, err := client.Write([]byte("first")); err != nil {
		t.Fatal(err)
	}
	if n, err := client.Read(make([]byte, 10)); err == nil {
		t.Errorf("%d bytes came, want the end of the connection", n)
	}
	if _, err := dial(l.Addr().String()).Write([]byte("second")); err != nil {
		t.Fatal(err)
	}
	if got := <-arrived; got != "second" {
		t.Errorf("%q arrived first, want the second", got)
	}
	p.paused.Add(-1)
	if got := <-arrived; got != "first" {
		t.Errorf("%q arrived then, want the first", got)
	}
	<-done
	if p.late.Load() != 1 {
		t.Errorf("the proxy counts %d late requests, want 1", p.late.Load())
	}
}

// listen takes connections until the test ends, and has serve serve each.
func listen(t *testing.T, serve func(net.Conn)) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return l
}

func read(t *testing.T, address string) int {
	t.Helper()
	c, err := new(net.Dialer).DialContext(context.Background(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	body, _ := io.ReadAll(c) // it may be cut
	return len(body)
}

// TestDiceRepeat holds that a seed and a name give the same choices again, and others other ones.
func TestDiceRepeat(t *testing.T) {
	t.Parallel()
	draw := func(seed uint64, name string) (drawn [8]int) {
		d := newDice(seed, name)
		for i := range drawn {
			drawn[i] = d.below(1000)
		}
		return drawn
	}
	first := draw(1, "x")
	if first != draw(1, "x") {
		t.Error("the same seed and name gave other choices")
	}
	if first == draw(2, "x") || first == draw(1, "y") {
		t.Error("another seed or name gave the same choices")
	}
}
