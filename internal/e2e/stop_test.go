package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// release is how a parked receive was answered at a stop, and when.
type release struct {
	testclient.Answer
	err   error
	after time.Duration
}

// park has clients begin their sessions and wait for frames; what they wait for
// comes once they all do, counted from when since is called.
func park(ctx context.Context, t *testing.T, s *e2e.Server, n int) (waiting []*testclient.Client, since func() (released func() []release)) {
	t.Helper()
	waiting = make([]*testclient.Client, n)
	for i := range waiting {
		waiting[i] = e2e.NewClient(s, fmt.Sprintf("waiting-%d", i))
	}
	if err := e2e.AtOnce(waiting, func(c *testclient.Client) error { return c.Handshake(ctx) }); err != nil {
		t.Fatal(err)
	}
	releases := make([]release, n)
	at := make([]time.Time, n)
	var held sync.WaitGroup
	for i, c := range waiting {
		held.Go(func() {
			releases[i].Answer, releases[i].err = c.Poll(ctx)
			at[i] = time.Now()
		})
	}
	s.WaitPolls(n)
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
func resumed(ctx context.Context, t *testing.T, clients []*testclient.Client) {
	t.Helper()
	if err := e2e.AtOnce(clients, func(c *testclient.Client) error { return c.Handshake(ctx) }); err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		if c.Count.Resumed.Load() != 1 {
			t.Fatalf("a session was resumed %d times, want once", c.Count.Resumed.Load())
		}
	}
}

// TestGracefulStop stops a server on which a hundred clients wait and others
// talk: those who wait are let go one by one, so that they do not all come back
// at once, and nothing that was said is lost.
func TestGracefulStop(t *testing.T) {
	t.Parallel()
	const drain, clients = 8 * time.Second, 100
	s := e2e.Serve(t, "--drain="+drain.String(), "--heartbeat-interval=1h")
	ctx := e2e.Context(t)
	waiting, stopping := park(ctx, t, s, clients)
	talk := e2e.StartConversation(ctx, e2e.NewPairs(s, 3))
	e2e.Eventually(t, "they talk", func() bool { return talk.Said() > 50 })
	talk.MustGoOn(t)

	released := stopping()
	stopped := time.Now()
	s.Signal(syscall.SIGTERM)
	var red string
	e2e.Eventually(t, "the server is not ready any more", func() bool {
		a, err := testclient.Exchange(ctx, testclient.OneShot, http.MethodGet, s.URL()+"/readyz", nil, "")
		switch {
		case err != nil:
			red = "connection refused"
			return true
		case a.Status == http.StatusServiceUnavailable:
			p, err := testclient.ParseProblem(a)
			if err != nil || p.Code != "DRAINING" {
				t.Fatalf("readyz: %v %v", p, err)
			}
			red = p.Code
			return true
		}
		return false
	})
	turned := time.Since(stopped)
	if code := s.Wait(); code != 0 {
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
		if r.err != nil || r.Status != http.StatusOK || json.Unmarshal(r.Body, &heartbeat) != nil || !heartbeat.Heartbeat || len(heartbeat.Frames) > 0 {
			t.Fatalf("waiting client %d was answered %d %s (%v), want a heartbeat", i, r.Status, r.Body, r.err)
		}
		last = max(last, r.after)
		quarters[min(int(4*r.after/drain), 3)]++
	}
	// How even it is, a test in virtual time holds (of the package rendezvous); a machine that is busy delays some.
	if slices.Contains(quarters, clients) {
		t.Errorf("all %d clients were let go at once, by quarters of the %v: %v", clients, drain, quarters)
	}
	s.Start()
	s.WaitReady()
	resumed(ctx, t, waiting)
	before := talk.Said()
	e2e.Eventually(t, "they talk again", func() bool { return talk.Said() > before+20 })
	talk.MustGoOn(t)
	total := talk.End(ctx, t)
	t.Logf("not ready after %v (%s); %d waiting clients let go within %v, by quarters of the drain %v; exit 0 after %v; %d messages said by others meanwhile, all there (%d requests lost)",
		turned.Round(time.Millisecond), red, clients, last.Round(time.Millisecond), quarters, ended.Round(time.Millisecond), talk.Said(), total.Lost.Load())
}

// TestSecondSignal is for the operator who does not want to wait.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]os.Signal{"terminate": syscall.SIGTERM, "interrupt": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := e2e.Serve(t, "--drain=1m", "--heartbeat-interval=1h")
			ctx := e2e.Context(t)
			waiting, _ := park(ctx, t, s, 20)
			s.Signal(syscall.SIGTERM)
			e2e.Eventually(t, "it is stopping", func() bool { return s.Logged("stopping") })
			if s.Exited() {
				t.Fatal("the server ended while clients were waiting")
			}
			s.Signal(second)
			if code := s.Wait(); code != -1 {
				t.Errorf("exit code %d, want that the signal ended it", code)
			}
			s.Start()
			s.WaitReady()
			resumed(ctx, t, waiting)
		})
	}
}
