package e2e_test

import (
	"testing"

	"restante/internal/e2e"
	"restante/repo/pgtest"
)

// TestOnPostgres is what people do with a server, one that has PostgreSQL.
func TestOnPostgres(t *testing.T) {
	t.Parallel()
	s := replicas(t, 1, pgtest.Database(t))[0]
	t.Run("the README's conversation", func(t *testing.T) {
		script, said := theConversation(t)
		ctx := e2e.Context(t)
		paste(ctx, t, s, script, said)
	})
	t.Run("two wormhole clients", func(t *testing.T) {
		s.Secret("mail-of-the-sender")
		from := e2e.RunClient(t, s.Address, e2e.Python, "send", "--text", "mail-of-the-sender")
		to := e2e.RunClient(t, s.Address, e2e.Python, "receive", from.WaitCode())
		from.MustSucceed("text message sent")
		to.MustSucceed("mail-of-the-sender")
	})
	t.Run("nothing is left of them", func(t *testing.T) {
		e2e.Eventually(t, "nothing is left", func() bool {
			counts := s.Status().Counts
			return counts.Mailboxes == 0 && counts.Nameplates == 0 && counts.Messages == 0
		})
	})
}
