package parking_test

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"restante/parking"
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
