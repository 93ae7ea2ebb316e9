package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// release is how a parked receive was answered at a stop, and when.
type release struct {
	answer
	err   error
	after time.Duration
}

// park has clients begin their sessions and wait for frames; what they wait for
// comes once they all do, counted from when since is called.
func park(ctx context.Context, t *testing.T, s *server, n int) (waiting []*client, since func() (released func() []release)) {
	t.Helper()
	waiting = make([]*client, n)
	for i := range waiting {
		waiting[i] = newClient(s, fmt.Sprintf("waiting-%d", i))
	}
	if err := all(waiting, func(c *client) error { return c.shake(ctx) }); err != nil {
		t.Fatal(err)
	}
	releases := make([]release, n)
	at := make([]time.Time, n)
	var held sync.WaitGroup
	for i, c := range waiting {
		held.Go(func() {
			releases[i].answer, releases[i].err = c.poll(ctx)
			at[i] = time.Now()
		})
	}
	s.parked(n)
	return waiting, func() func() []release {
		start := time.Now()
		return func() []release {
			held.Wait()
			for i := range releases {
				releases[i].after = at[i].Sub(start)
			}
			return releases
		}
	}
}

// resumed has clients come back to a server that was restarted, where each finds its session.
func resumed(ctx context.Context, t *testing.T, clients []*client) {
	t.Helper()
	if err := all(clients, func(c *client) error { return c.shake(ctx) }); err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		if c.count.resumed.Load() != 1 {
			t.Fatalf("a session was resumed %d times, want once", c.count.resumed.Load())
		}
	}
}

// TestGracefulStop stops a server on which two hundred clients wait and others
// talk: those who wait are let go one by one, so that they do not all come back
// at once, and nothing that was said is lost.
func TestGracefulStop(t *testing.T) {
	const drain, clients = 2 * time.Second, 200
	s := serve(t, "--drain="+drain.String())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	waiting, stopping := park(ctx, t, s, clients)
	talk := begin(ctx, pairsOf(s, 3))
	eventually(t, 10*time.Second, "they talk", func() bool { return talk.said() > 50 })
	talk.goesOn(t)

	released := stopping()
	stopped := time.Now()
	s.signal(syscall.SIGTERM)
	var red string
	eventually(t, time.Second, "the server is not ready any more", func() bool {
		a, err := exchange(ctx, lone, http.MethodGet, s.url()+"/readyz", nil, "")
		switch {
		case err != nil:
			red = "connection refused"
			return true
		case a.status == http.StatusServiceUnavailable:
			p, err := problemOf(a)
			if err != nil || p.Code != "DRAINING" {
				t.Fatalf("readyz: %v %v", p, err)
			}
			red = p.Code
			return true
		}
		return false
	})
	turned := time.Since(stopped)
	if code := s.wait(drain + time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	ended := time.Since(stopped)

	quarters := make([]int, 4)
	var last time.Duration
	for i, r := range released() {
		var heartbeat struct {
			Heartbeat bool
			Frames    []json.RawMessage
		}
		if r.err != nil || r.status != http.StatusOK || json.Unmarshal(r.body, &heartbeat) != nil || !heartbeat.Heartbeat || len(heartbeat.Frames) > 0 {
			t.Fatalf("waiting client %d was answered %d %s (%v), want a heartbeat", i, r.status, r.body, r.err)
		}
		last = max(last, r.after)
		quarters[min(int(4*r.after/drain), 3)]++
	}
	for i, n := range quarters {
		if n < clients/20 {
			t.Errorf("of %d clients, %d were let go in the quarter %d of the %v: %v", clients, n, i+1, drain, quarters)
		}
	}
	s.start()
	s.ready()
	resumed(ctx, t, waiting)
	before := talk.said()
	eventually(t, 10*time.Second, "they talk again", func() bool { return talk.said() > before+20 })
	talk.goesOn(t)
	total := talk.end(ctx, t)
	t.Logf("not ready after %v (%s); %d waiting clients let go within %v, by quarters of the drain %v; exit 0 after %v; %d messages said by others meanwhile, all there (%d requests lost)",
		turned.Round(time.Millisecond), red, clients, last.Round(time.Millisecond), quarters, ended.Round(time.Millisecond), talk.said(), total.lost.Load())
}

// TestSecondSignal is for the operator who does not want to wait.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]os.Signal{"terminate": syscall.SIGTERM, "interrupt": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, "--drain=1m")
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			waiting, _ := park(ctx, t, s, 20)
			s.signal(syscall.SIGTERM)
			eventually(t, 5*time.Second, "it is stopping", func() bool { return s.says("stopping") })
			if s.gone() {
				t.Fatal("the server ended while clients were waiting")
			}
			s.signal(second)
			if code := s.wait(2 * time.Second); code != -1 {
				t.Errorf("exit code %d, want that the signal ended it", code)
			}
			s.start()
			s.ready()
			resumed(ctx, t, waiting)
		})
	}
}
