package rendezvous_test

import (
	"testing"
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
