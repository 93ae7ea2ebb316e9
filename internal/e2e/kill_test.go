package e2e_test

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// TestKillNine kills the server again and again while clients talk, and
// holds it to what it promises: nothing acknowledged is lost, everything happens exactly
// once and in order, and no session ends.
func TestKillNine(t *testing.T) {
	t.Parallel()
	pairs, kills := e2e.Nightly(25, 8), e2e.Nightly(30, 6)
	s := e2e.NewServer(t, "--drain=0s")
	s.Start()
	s.WaitReady()
	ctx := e2e.Context(t)

	began := time.Now()
	talk := e2e.StartConversation(ctx, e2e.NewPairs(s, pairs))
	starting := 0
	for kill := range kills {
		// At any moment: while all talk, while they come back, and every third time while it starts.
		load := 300*time.Millisecond + rand.N(2*time.Second)
		if kill%3 == 2 {
			load = rand.N(60 * time.Millisecond)
		} else {
			s.WaitReady()
		}
		if kill == 3 { // a slow machine has let few of them begin so far
			e2e.Eventually(t, "all talk", func() bool {
				talk.MustGoOn(t)
				return talk.Least() > 0
			})
		}
		if err := testclient.Pause(ctx, load); err != nil {
			t.Fatal(err)
		}
		talk.MustGoOn(t)
		if served := s.Kill(); !served {
			starting++
		}
		s.Start()
	}
	s.WaitReady()
	killed := time.Since(began)
	least := int64(0)
	e2e.Eventually(t, "each client has resumed its session", func() bool {
		talk.MustGoOn(t)
		least = int64(kills)
		for _, p := range talk.Pairs {
			least = min(least, p[0].Count.Resumed.Load(), p[1].Count.Resumed.Load())
		}
		return least > 0
	})
	if err := testclient.Pause(ctx, 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	total := talk.End(ctx, t)
	if err := e2e.AtOnce(talk.Pairs, func(p e2e.Pair) error { return p.Part(ctx) }); err != nil {
		t.Fatal(err)
	}
	s.Signal(syscall.SIGTERM)
	if code := s.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	e2e.CheckNothingLeft(t, s, map[string]int{"usage_nameplates": pairs, "usage_mailboxes": pairs})
	t.Logf("%d kills in %v (%d while starting), %d clients: %d messages, each delivered once; %d frames came again, "+
		"%d sessions resumed (each client's at least %d times), %d requests lost, %d told to try again (%d gaps), %d replies replayed; all in %v",
		kills, killed.Round(time.Millisecond), starting, 2*pairs, talk.Said(), total.Again.Load(), total.Resumed.Load(), least,
		total.Lost.Load(), total.Refused.Load(), total.Gaps.Load(), total.Replayed.Load(), time.Since(began).Round(time.Millisecond))
}

// TestKilledWhileMade kills the server while it makes its database. What it
// leaves behind is what the next one goes on from.
func TestKilledWhileMade(t *testing.T) {
	t.Parallel()
	early := 0
	for range 6 {
		s := e2e.NewServer(t, "--drain=0s")
		s.Start()
		if err := testclient.Pause(t.Context(), rand.N(120*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if !s.Kill() {
			early++
		}
		s.Start()
		s.WaitReady()
		s.Signal(syscall.SIGTERM)
		if code := s.Wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	t.Logf("%d of 6 were killed before they served", early)
}
