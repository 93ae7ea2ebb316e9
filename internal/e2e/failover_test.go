package e2e_test

import (
	"net/http"
	"syscall"
	"testing"
	"time"

	"restante/internal/e2e"
)

// TestPatroniPromotesTheStandby kills the node of the primary while clients talk. Patroni promotes the synchronous
// standby: the servers find it, clients are told to try again until then, and nothing that was acknowledged is lost. By
// night, the node that was killed becomes the standby, and takes over in its turn.
func TestPatroniPromotesTheStandby(t *testing.T) {
	t.Parallel()
	pairs, failovers := e2e.Nightly(20, 6), e2e.Nightly(2, 1)
	servers := make([]*e2e.Server, 2)
	for i := range servers {
		servers[i] = e2e.NewServer(t, "--drain=0s", "--database-connections=8")
	}
	p := e2e.StartPatroni(t)
	for _, s := range servers {
		s.Database = p.URL()
		s.Start()
	}
	for _, s := range servers {
		s.WaitReady()
	}
	are := func(status int) func() bool {
		return func() bool {
			a, b := servers[0].Get("/readyz"), servers[1].Get("/readyz")
			return a.Status == status && b.Status == status
		}
	}
	ctx := e2e.Context(t)
	talk := e2e.StartConversation(ctx, scattered(e2e.NewPairs(servers[0], pairs), servers))
	for failover := range failovers {
		said := talk.Said()
		e2e.Eventually(t, "they talk", func() bool {
			talk.MustGoOn(t)
			return talk.Said() > said+20*pairs
		})
		killed := time.Now()
		n := p.KillPrimary()
		e2e.Eventually(t, "they are not ready", are(http.StatusServiceUnavailable))
		said = talk.Said()
		e2e.Eventually(t, "they are ready again", are(http.StatusOK))
		back := time.Since(killed)
		e2e.Eventually(t, "they go on to talk", func() bool {
			talk.MustGoOn(t)
			return talk.Said() > said+20*pairs
		})
		t.Logf("ready %v after the primary was killed, and %d messages more were added %v after it",
			back.Round(time.Millisecond), talk.Said()-said, time.Since(killed).Round(time.Millisecond))
		if failover < failovers-1 {
			p.Start(n)
			p.WaitForStandby()
		}
	}
	total := talk.End(ctx, t)
	if total.Refused.Load() == total.Gaps.Load() {
		t.Error("no request was told to try again: they did not notice")
	}
	if err := e2e.AtOnce(talk.Pairs, func(pair e2e.Pair) error { return pair.Part(ctx) }); err != nil {
		t.Fatal(err)
	}
	e2e.Eventually(t, "nothing is left", func() bool {
		counts := servers[0].Status().Counts
		return counts.Mailboxes == 0 && counts.Nameplates == 0 && counts.Messages == 0
	})
	for _, s := range servers {
		s.Signal(syscall.SIGTERM)
		if code := s.Wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	t.Logf("%d messages, each delivered once; %d requests lost, %d told to try again, %d sessions resumed",
		talk.Said(), total.Lost.Load(), total.Refused.Load(), total.Resumed.Load())
}
