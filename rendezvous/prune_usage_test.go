package rendezvous_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"restante/rendezvous"
)

// statistics returns how many records each table of statistics has.
func (w *world) statistics() (n [3]int) {
	w.t.Helper()
	db := look(w.t, w.path)
	defer db.Close()
	query := `SELECT (SELECT COUNT(*) FROM usage_nameplates), (SELECT COUNT(*) FROM usage_mailboxes), (SELECT COUNT(*) FROM client_versions)`
	if err := db.QueryRowContext(w.t.Context(), query).Scan(&n[0], &n[1], &n[2]); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// TestStatisticsAreCapped has more nameplates and mailboxes end, and more clients come, than records are kept. The oldest
// records are deleted. How many ended, by result, stays as it was.
func TestStatisticsAreCapped(t *testing.T) {
	t.Parallel()
	config := func(c *rendezvous.Config) { c.PruneInterval, c.Limits.UsageRecords = 48*time.Hour, 10 }
	bubble(t, config, func(t *testing.T, w *world) {
		c := w.begin("a")
		for i := range 45 {
			mood := rendezvous.Happy
			if i >= 40 {
				mood = rendezvous.Scary
			}
			claimed := c.allocate()
			_, err := w.Release(t.Context(), c.command(), claimed.Nameplate)
			c.must(err)
			c.close(claimed.Mailbox, mood)
			w.RecordClient(app, [2]string{"x", fmt.Sprint(i)})
			time.Sleep(time.Second)
		}
		expect(t, w.statistics(), [3]int{45, 45, 45})
		before := w.Status(t.Context()).AllEnded

		var log bytes.Buffer
		pruning := &rendezvous.Service{Config: w.Config, Store: w.Store, Log: slog.New(slog.NewTextHandler(&log, nil))}
		expect(t, pruning.Prune(t.Context()).Retired[rendezvous.KindStatistic], 3*35)
		expect(t, w.statistics(), [3]int{10, 10, 10})
		expect(t, w.results("usage_mailboxes"), "lonely lonely lonely lonely lonely scary scary scary scary scary")
		if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "level=WARN") || !strings.Contains(text, "deleted=105 kept=10") {
			t.Errorf("the log has %q", text)
		}
		time.Sleep(time.Second)
		expect(t, fmt.Sprint(w.Status(t.Context()).AllEnded.List()), fmt.Sprint(before.List()))

		log.Reset()
		expect(t, pruning.Prune(t.Context()).Retired[rendezvous.KindStatistic], 0)
		expect(t, log.String(), "")
	})
}

// TestAnAddressDoesNotFillTheStorageWithStatistics has one address open and close mailboxes until the storage has as much
// as it may, which only SQLite's tells. Pruning makes room for the others.
func TestAnAddressDoesNotFillTheStorageWithStatistics(t *testing.T) {
	t.Parallel()
	config := func(c *rendezvous.Config) {
		c.PruneInterval, c.Limits.UsageRecords, c.Limits.StoredBytes = 48*time.Hour, 100, 512<<10
	}
	bubble(t, config, func(t *testing.T, w *world) {
		if strings.HasPrefix(w.path, "postgres:") {
			w.Config.Limits.StoredBytes = 1 << 40 // its empty database has more than that
		}
		synctest.Wait() // until what is stored was summed up
		one := rendezvous.SideRef{App: rendezvous.AppID(strings.Repeat("\U0001F511", 128)), Side: "a", Address: "addr-a"}
		full := false
		for i := 0; i < 600 && !full; i++ {
			mailbox := rendezvous.MailboxID(fmt.Sprint(i))
			_, err := w.OpenFor(t.Context(), one, mailbox)
			if full = code(t, err) == rendezvous.Overloaded; full {
				break
			}
			if err := w.CloseFor(t.Context(), one, mailbox, rendezvous.Happy); err != nil {
				t.Fatal(err)
			}
			if i%50 == 0 {
				time.Sleep(time.Minute) // what is stored is counted
			}
		}
		expect(t, full, !strings.HasPrefix(w.path, "postgres:"))
		w.Prune(t.Context())
		time.Sleep(time.Minute)
		synctest.Wait() // until it was counted again, which is due at the same moment
		expect(t, w.statistics()[1], 100)
		other := rendezvous.SideRef{App: app, Side: "b", Address: "addr-b"}
		if _, err := w.OpenFor(t.Context(), other, "m"); err != nil {
			t.Errorf("another address opens a mailbox: %v", err)
		}
		if _, err := w.AllocateFor(t.Context(), other); err != nil {
			t.Errorf("another address allocates: %v", err)
		}
	})
}
