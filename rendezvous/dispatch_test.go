package rendezvous_test

import (
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"restante/rendezvous"
)

// TestDispatchIsAbandoned holds that a dispatch is abandoned after a day without success, and after an hour of
// attempts: also if it had waited for longer before the first, because the server was off or it was abandoned already.
func TestDispatchIsAbandoned(t *testing.T) {
	t.Parallel()
	start := time.UnixMilli(0)
	for name, tt := range map[string]struct {
		waited, atLeast, atMost time.Duration
	}{
		"tried from the beginning":     {0, 24 * time.Hour, 25 * time.Hour},
		"that waited for a day before": {25 * time.Hour, time.Hour, 2 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := start.Add(tt.waited)
			first := now
			d := rendezvous.Dispatch{Since: start}
			for range 1000 {
				if d = d.Failed(false, now); d.Abandoned {
					break
				}
				now = d.Due
			}
			if tried := now.Sub(first); !d.Abandoned || tried < tt.atLeast || tried > tt.atMost {
				t.Errorf("it is abandoned (%v) after %v, %d attempts", d.Abandoned, tried, d.Attempts)
			}
		})
	}
	if d := (rendezvous.Dispatch{Since: start}).Failed(true, start); !d.Abandoned {
		t.Error("a receiver that wants no more is told more")
	}
}

// A dispatch that another program has damaged, so that it cannot be read, holds up no other of its app, however many there
// are and however long they wait. PostgreSQL stores no such value.
func TestAnUnreadableDispatchHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "restante.db")
	synctest.Test(t, func(t *testing.T) {
		w := open(t, path, nil, nil)
		defer func() { w.stop() }()
		w.SetWebhooks(map[rendezvous.AppID]bool{app: true})
		c := w.begin("a")
		for _, id := range []rendezvous.MailboxID{"k", "l", "m", "n", "o"} {
			c.open(id)
			c.add(id, "body")
			time.Sleep(time.Second)
		}
		plant(t, path, `UPDATE dispatches SET last = 'for ever' WHERE id IN ('k', 'l', 'n')`)
		const lease, limit = time.Minute, 2
		for range 3 {
			var claimed []rendezvous.MailboxID
			for range 3 { // those that cannot be read are as many as are claimed at once
				list, err := w.ClaimDispatches(t.Context(), app, "sender", lease, limit)
				c.must(err)
				for _, d := range list {
					claimed = append(claimed, d.ID)
				}
			}
			if want := []rendezvous.MailboxID{"m", "o"}; !slices.Equal(claimed, want) {
				t.Fatalf("%v are claimed, want %v", claimed, want)
			}
			time.Sleep(lease)
		}
	})
}
