package repo_test

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"restante/rendezvous"
	"restante/repo"
)

// TestReplicasPruneConcurrently has two replicas prune stale mailboxes at the same time while messages are added: each
// mailbox is retired once, with one usage record. There are several pages of them (a page has 500), and more at night.
func TestReplicasPruneConcurrently(t *testing.T) {
	t.Parallel()
	stale := 2000
	if os.Getenv("RESTANTE_NIGHTLY") != "" {
		stale = 10_000
	}
	url := newDatabase(t)
	var replicas []*rendezvous.Service
	for range 2 {
		s := &rendezvous.Service{Config: rendezvous.DefaultConfig(), Store: open(t, repo.Options{URL: url}), Log: slog.New(slog.DiscardHandler)}
		s.Config.BootGrace, s.Config.UsageRetention = 0, 100*365*24*time.Hour // all of it began in 1970
		replicas = append(replicas, s)
	}
	db := sqlx.MustOpen("postgres", url)
	t.Cleanup(func() { _ = db.Close() })
	db.MustExec(fmt.Sprintf(`INSERT INTO mailboxes (app, id, created, updated, ttl, stale_at, for_nameplate, crowded, last_position, bytes)
		SELECT 'app', 'stale ' || i, 1, 1, 1000, 1001, 1, 0, 0, 0 FROM generate_series(1, %d) AS i`, stale))
	db.MustExec(`INSERT INTO mailbox_sides (mailbox, app, side, entered) SELECT key, app, 'side ' || key, 1 FROM mailboxes`)
	db.MustExec(`INSERT INTO nameplates (app, id, number, mailbox, created, stale_at, crowded, waiting)
		SELECT app, CAST(1000 + key AS TEXT), NULL, key, 1, 1001, 0, 1 FROM mailboxes`)
	db.MustExec(`INSERT INTO claims (app, nameplate, side, since) SELECT app, id, 'side ' || mailbox, 1 FROM nameplates`)
	db.MustExec(`ANALYZE`)

	peer := rendezvous.SideRef{App: "app", Side: "alive"}
	if _, err := replicas[0].OpenFor(t.Context(), peer, "alive"); err != nil {
		t.Fatal(err)
	}
	adds := func(until func() bool) (took []time.Duration) {
		for i := 0; !until(); i++ {
			began := time.Now()
			if _, err := replicas[i%2].AddFor(t.Context(), peer, "alive", []rendezvous.Draft{{Phase: "p", Body: strings.Repeat("ab", 128)}}); err != nil {
				t.Error(err)
				return took
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		return took
	}
	quiet := time.Now().Add(time.Second)
	before := adds(func() bool { return time.Now().After(quiet) })

	pruned := make([]rendezvous.Pruned, 2)
	began := time.Now()
	var pruning sync.WaitGroup
	for i, s := range replicas {
		pruning.Go(func() { pruned[i] = s.Prune(t.Context()) })
	}
	done := make(chan struct{})
	go func() {
		pruning.Wait()
		close(done)
	}()
	meanwhile := adds(func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
	took := time.Since(began)

	retired := 0
	for i, p := range pruned {
		retired += p.Retired[rendezvous.KindMailbox]
		if p.Failed > 0 {
			t.Errorf("replica %d failed %d times: %v", i, p.Failed, replicas[i].PruneFailures())
		}
	}
	for what, want := range map[string]int{
		"SELECT COUNT(*) FROM mailboxes": 1, "SELECT COUNT(*) FROM nameplates": 0,
		"SELECT COUNT(*) FROM usage_mailboxes WHERE result = 'pruney'": stale, "SELECT COUNT(*) FROM usage_nameplates WHERE result = 'pruney'": stale,
	} {
		var got int
		if err := db.Get(&got, what); err != nil || got != want {
			t.Errorf("%s: %d (%v), want %d", what, got, err, want)
		}
	}
	if retired != stale {
		t.Errorf("they say that they retired %d, want %d", retired, stale)
	}
	p99 := func(took []time.Duration) time.Duration {
		if len(took) == 0 {
			return 0 // the machine had no time for one
		}
		return took[len(took)*99/100]
	}
	t.Logf("%d and %d retired in %v; adds: p99 %v before (%d of them), %v meanwhile (%d)",
		pruned[0].Retired[rendezvous.KindMailbox], pruned[1].Retired[rendezvous.KindMailbox], took.Round(time.Millisecond),
		p99(before), len(before), p99(meanwhile), len(meanwhile))
}
