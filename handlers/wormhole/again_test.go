package wormhole_test

import (
	"testing"
	"time"

	"restante/handlers/handlerstest"
	"restante/rendezvous"
)

// After a refusal that the reference server does not have, a client can follow the advice on the same connection.
func TestWormholeAdviceCanBeFollowed(t *testing.T) {
	const (
		tooMany  = "a side may hold 1 nameplates; release one first"
		tooOften = "too many nameplates were allocated and claimed from this address; wait a moment, and ask less often"
		tooOpen  = "a side may be in 2 mailboxes; close one first"
	)
	t.Run("claim: release one first", func(t *testing.T) {
		r := handlerstest.Start(t, handlerstest.Options{Config: func(c *rendezvous.Config) { c.Limits.Nameplates = 1 }})
		r.Bind(t, "app", "a").Request("claimed", "claim", "nameplate", "1")
		a := r.Bind(t, "app", "a")
		a.Refused(tooMany, "claim", "nameplate", "2")
		a.Refused("release without nameplate must follow claim", "release")
		a.Request("released", "release", "nameplate", "1")
		a.Request("claimed", "claim", "nameplate", "2")
		a.Refused("only one claim per connection", "claim", "nameplate", "2")
	})
	t.Run("claim: wait a moment", func(t *testing.T) {
		limits := func(c *rendezvous.Config) { c.Limits.ClaimRate, c.Limits.ClaimBurst = 1, 1 }
		handlerstest.Bubble(t, handlerstest.Options{Config: limits}, func(t *testing.T, r *handlerstest.Server) {
			r.Bind(t, "app", "b").Request("claimed", "claim", "nameplate", "1")
			a := r.Bind(t, "app", "a")
			a.Refused(tooOften, "claim", "nameplate", "1")
			elapse(time.Hour)
			a.Request("claimed", "claim", "nameplate", "1")
		})
	})
	t.Run("open: close one first", func(t *testing.T) {
		r := handlerstest.Start(t, handlerstest.Options{Config: func(c *rendezvous.Config) { c.Limits.Mailboxes = 2 }})
		r.Bind(t, "app", "a").Open("m").Drop()
		r.Bind(t, "app", "a").Open("n").Drop()
		a := r.Bind(t, "app", "a")
		a.Refused(tooOpen, "open", "mailbox", "o")
		a.Refused("close without mailbox must follow open", "close")
		a.Request("closed", "close", "mailbox", "m")
		a.Open("o").Add("p", "x")
	})
	t.Run("crowded: the reference server's rule", func(t *testing.T) {
		r := handlerstest.Start(t, handlerstest.Options{})
		for _, side := range []string{"a", "b"} {
			r.Bind(t, "app", side).Request("claimed", "claim", "nameplate", "4")
			r.Bind(t, "app", side).Open("m")
		}
		c := r.Bind(t, "app", "c")
		c.Refused("crowded", "claim", "nameplate", "4")
		c.Refused("only one claim per connection", "claim", "nameplate", "5")
		c.Refused("crowded", "open", "mailbox", "m")
		c.Request("closed", "close")
	})
}
