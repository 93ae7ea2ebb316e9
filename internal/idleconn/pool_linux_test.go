package idleconn_test

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"restante/internal/idleconn"
)

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

func newPool(t testing.TB) *idleconn.Pool {
	t.Helper()
	pool, err := idleconn.NewPool(slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

func TestWhenReadable(t *testing.T) {
	tests := map[string]struct {
		do   func(there net.Conn, wake func(), pool *idleconn.Pool)
		runs int64
	}{
		"runs when something comes":          {func(there net.Conn, _ func(), _ *idleconn.Pool) { _, _ = there.Write([]byte("x")) }, 1},
		"runs when the other side has ended": {func(there net.Conn, _ func(), _ *idleconn.Pool) { _ = there.Close() }, 1},
		"runs when it is woken":              {func(_ net.Conn, wake func(), _ *idleconn.Pool) { wake(); wake() }, 1},
		"runs once": {func(there net.Conn, wake func(), _ *idleconn.Pool) {
			wake()
			_, _ = there.Write([]byte("x"))
			_ = there.Close()
		}, 1},
		"runs when the pool ends": {func(_ net.Conn, _ func(), pool *idleconn.Pool) { _ = pool.Close() }, 1},
		"does not run otherwise":  {func(net.Conn, func(), *idleconn.Pool) {}, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t)
			here, there := connected(t)
			ran := make(chan struct{}, 8)
			wake, ok := pool.WhenReadable(here, func() { ran <- struct{}{} })
			if !ok {
				t.Fatal("the pool does not take the connection")
			}
			test.do(there, wake, pool)
			for range test.runs {
				<-ran
			}
			select {
			case <-ran:
				t.Error("it runs too often")
			case <-time.After(20 * time.Millisecond):
			}
		})
	}
	t.Run("works again and again, each time for what comes then", func(t *testing.T) {
		pool := newPool(t)
		here, there := connected(t)
		for range 100 {
			ran := make(chan struct{})
			if _, ok := pool.WhenReadable(here, func() { close(ran) }); !ok {
				t.Fatal("the pool does not take the connection")
			}
			_, _ = there.Write([]byte("x"))
			<-ran
			if n, err := here.Read(make([]byte, 2)); n != 1 || err != nil {
				t.Fatalf("read %d, %v", n, err)
			}
		}
	})
	t.Run("refuses what is no connection of the system", func(t *testing.T) {
		here, there := net.Pipe()
		defer here.Close()
		defer there.Close()
		if _, ok := newPool(t).WhenReadable(here, nil); ok {
			t.Error("the pool takes a pipe")
		}
	})
}
