package main

import (
	"context"
	"testing"
	"time"

	"restante/repo/pgtest"
)

// TestOnPostgres is what people do with a server, one that has PostgreSQL.
func TestOnPostgres(t *testing.T) {
	t.Parallel()
	s := replicas(t, 1, pgtest.Database(t))[0]
	t.Run("the README's conversation", func(t *testing.T) {
		script, said := theConversation(t)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		paste(ctx, t, s, script, said)
	})
	t.Run("two wormhole clients", func(t *testing.T) {
		s.secret("mail-of-the-sender")
		from := runs(t, s.address, python, "send", "--text", "mail-of-the-sender")
		to := runs(t, s.address, python, "receive", from.code())
		from.succeeds("text message sent")
		to.succeeds("mail-of-the-sender")
	})
	t.Run("nothing is left of them", func(t *testing.T) {
		eventually(t, 10*time.Second, "nothing is left", func() bool {
			counts := s.status().Counts
			return counts.Mailboxes == 0 && counts.Nameplates == 0 && counts.Messages == 0
		})
	})
}
