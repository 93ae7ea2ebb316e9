package conformance

import (
	"net/http"
	"slices"
	"strconv"
)

// claimed is where a nameplate leads.
type claimed struct{ Nameplate, Mailbox string }

// allocate allocates a nameplate.
func (c *client) allocate() claimed {
	return decode[claimed](c.command(http.MethodPost, "/v1/nameplates", nil).ok(http.StatusCreated))
}

func (c *client) claim(nameplate string) *answer {
	return c.command(http.MethodPut, "/v1/nameplates/"+nameplate, nil)
}

// waiting returns the nameplates that are listed.
func (c *client) waiting() (ids []string) {
	list := decode[struct{ Nameplates []struct{ ID string } }](c.ask(http.MethodGet, "/v1/nameplates", nil).ok(http.StatusOK))
	for _, n := range list.Nameplates {
		ids = append(ids, n.ID)
	}
	return ids
}

var nameplateRules = []Rule{
	{ID: "nameplates/meet", Text: "Two sides meet by a nameplate in the same mailbox; a third is told that it is crowded.", check: func(t *trial) {
		a, b, c := t.begin(), t.begin(), t.begin()
		got := a.allocate()
		if n, err := strconv.ParseUint(got.Nameplate, 10, 64); err != nil || n == 0 {
			t.failf("the nameplate is %q, want a short number", got.Nameplate)
		}
		equal(t, "the other side's mailbox", decode[claimed](b.claim(got.Nameplate).ok(http.StatusOK)).Mailbox, got.Mailbox)
		equal(t, "the mailbox of a claim that is repeated", decode[claimed](b.claim(got.Nameplate).ok(http.StatusOK)).Mailbox, got.Mailbox)
		c.claim(got.Nameplate).refused("CROWDED", "stop")
	}},
	{ID: "nameplates/list", Text: "Only nameplates that wait for a partner are listed.", check: func(t *trial) {
		a, b := t.begin(), t.begin()
		n := a.allocate().Nameplate
		if !slices.Contains(a.waiting(), n) {
			t.failf("%s waits, and is not listed", n)
		}
		b.claim(n).ok(http.StatusOK)
		if slices.Contains(a.waiting(), n) {
			t.failf("%s has both its sides, and is listed", n)
		}
	}},
	{ID: "nameplates/reclaimed", Text: "A side that released a nameplate cannot claim it again while the other side has it.", check: func(t *trial) {
		a, b := t.begin(), t.begin()
		n := a.allocate().Nameplate
		b.claim(n).ok(http.StatusOK)
		a.command(http.MethodDelete, "/v1/nameplates/"+n, nil).ok(http.StatusNoContent)
		a.claim(n).refused("RECLAIMED", "stop")
	}},
	{ID: "nameplates/release-nothing", Text: "Releasing is answered 204 also when there was nothing to release.", check: func(t *trial) {
		c := t.begin()
		c.command(http.MethodDelete, "/v1/nameplates/987654321", nil).ok(http.StatusNoContent)
	}},
	{ID: "nameplates/entered", Text: "A claim enters the mailbox: it is retired only when that side has closed it, too.", check: func(t *trial) {
		a, b := t.begin(), t.begin()
		got := a.allocate()
		b.claim(got.Nameplate).ok(http.StatusOK)
		b.open(got.Mailbox)
		b.add(got.Mailbox, "for later")
		b.command(http.MethodDelete, "/v1/mailboxes/"+got.Mailbox, nil).ok(http.StatusNoContent)
		a.open(got.Mailbox)
		equal(t, "the log", len(a.log(got.Mailbox)), 1)
	}},
	{ID: "nameplates/malformed", Text: "A nameplate that is no number is refused, and changes nothing.", check: func(t *trial) {
		c := t.begin()
		c.claim("seven").refused("INVALID_REQUEST", "stop")
		c.next-- // the number is not used
		c.open(random())
	}},
}
