package rendezvous_test

import (
	"testing"

	"restante/rendezvous"
	"restante/session"
)

// The limit of all sessions holds between two counts, too.
func TestSessionsInAll(t *testing.T) {
	bubble(t, func(c *rendezvous.Config) { c.Limits.Sessions = 5 }, func(t *testing.T, w *world) {
		begun := 0
		for range 20 {
			_, err := w.Handshake(t.Context(), rendezvous.Handshake{ID: session.NewID(), App: app})
			if c := code(t, err); c == "" {
				begun++
			} else {
				expect(t, c, rendezvous.Overloaded)
			}
		}
		// A count in the middle may take some for both stored and begun since, which refuses a few too early.
		if begun < 1 || begun > 5 {
			t.Errorf("%d sessions begin", begun)
		}
	})
}
