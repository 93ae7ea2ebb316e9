package repotest

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"restante/rendezvous"
)

var nameplates = []testCase{
	{"any nameplate comes back as it was stored", func(h *harness) {
		var m rendezvous.Mailbox
		h.update(func(tx rendezvous.Tx) { m = h.mailbox(tx) })
		h.forAllDrawn(func(t *rapid.T, h *harness) {
			n, then := drawNameplate(t, m.Key), drawNameplate(t, m.Key)
			then.App, then.ID, then.Created = n.App, n.ID, n.Created
			if len(then.Claims) < len(n.Claims) {
				then.Claims = n.Claims // a claim is never deleted
			}
			h.update(func(tx rendezvous.Tx) {
				h.must(tx.CreateNameplate(n))
				wantEqual(h, "created", value(tx.Nameplate(n.App, n.ID)), n)
				h.must(tx.UpdateNameplate(then))
				wantEqual(h, "updated", value(tx.Nameplate(n.App, n.ID)), then)
				h.must(tx.RetireNameplate(then, usage))
			})
		})
	}},
	{"a missing nameplate is not found", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			_, err := tx.Nameplate(app, "1")
			h.wantNotFound("Nameplate", err)
		})
		h.wantFailure("UpdateNameplate", func(tx rendezvous.Tx) error {
			return tx.UpdateNameplate(rendezvous.Nameplate{App: app, ID: "1"})
		})
		h.wantFailure("RetireNameplate", func(tx rendezvous.Tx) error {
			return tx.RetireNameplate(rendezvous.Nameplate{App: app, ID: "1"}, usage)
		})
		h.wantFailure("one that points nowhere", func(tx rendezvous.Tx) error {
			return tx.CreateNameplate(rendezvous.Nameplate{App: app, ID: "1", Mailbox: 999})
		})
		h.wantFailure("one that is there", func(tx rendezvous.Tx) error {
			n := h.nameplate(tx, "1", h.mailbox(tx))
			return tx.CreateNameplate(n)
		})
	}},
	{"a side's nameplates are those that it holds", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			m := h.mailbox(tx)
			both := h.nameplate(tx, "2", m, "b", "a")
			own := h.nameplate(tx, "1", m, "a")
			h.nameplate(tx, "3", m, "b")
			h.must(tx.UpdateNameplate(h.nameplate(tx, "4", m, "a").Release("a", at(3))))
			wantEqual(h, "all", value(tx.NameplatesOf(app, "a")), []rendezvous.Nameplate{own, both})
			wantEqual(h, "how many", value(tx.CountNameplatesOf(app, "a")), 2)
			wantEqual(h, "elsewhere", value(tx.NameplatesOf("other", "a")), nil)
			wantEqual(h, "how many elsewhere", value(tx.CountNameplatesOf("other", "a")), 0)
		})
	}},
	{"the nameplates of a mailbox are found", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			m := h.mailbox(tx)
			h.nameplate(tx, "1", h.mailbox(tx))
			n := h.nameplate(tx, "2", m, "a", "b")
			wantEqual(h, "all", value(tx.NameplatesTo(m.Key)), []rendezvous.Nameplate{n})
			wantEqual(h, "none", value(tx.NameplatesTo(999)), nil)
		})
	}},
	{"nameplates that wait for a partner are listed, sorted, up to the limit", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			m := h.mailbox(tx)
			h.nameplate(tx, "30", m, "a")
			h.nameplate(tx, "7", m, "a")
			h.nameplate(tx, "123", m, "a")
			h.nameplate(tx, "1", m)
			h.nameplate(tx, "2", m, "a", "b")
			h.must(tx.UpdateNameplate(h.nameplate(tx, "4", m, "a").Release("a", at(3))))
			met, _ := h.nameplate(tx, "5", m, "a").Claim("b", "", at(1))
			h.must(tx.UpdateNameplate(met))
			h.nameplate(tx, "6", value(tx.CreateMailbox(rendezvous.NewMailbox("other", "x", time.Second, at(0)))), "a")
			wantEqual(h, "all", value(tx.WaitingNameplates(app, 9)), []rendezvous.NameplateID{"123", "30", "7"})
			wantEqual(h, "two", value(tx.WaitingNameplates(app, 2)), []rendezvous.NameplateID{"123", "30"})
		})
	}},
	{"taken numbers are the canonical ones of a range, sorted", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			m := h.mailbox(tx)
			for _, id := range []rendezvous.NameplateID{"9", "10", "007", "5", "99", "100", "999999", "1000000", "0"} {
				h.nameplate(tx, id, m)
			}
			wantEqual(h, "one digit", value(tx.TakenNumbers(app, 1, 9)), []int{5, 9})
			wantEqual(h, "two digits", value(tx.TakenNumbers(app, 10, 99)), []int{10, 99})
			wantEqual(h, "all", value(tx.TakenNumbers(app, 1, 999_999)), []int{5, 9, 10, 99, 100, 999_999})
			wantEqual(h, "elsewhere", value(tx.TakenNumbers("other", 1, 9)), nil)
			wantEqual(h, "of some", slices.Sorted(slices.Values(value(tx.TakenOf(app, []int{5, 6, 100, 5, 999_999, 9_999})))), []int{5, 100, 999_999})
			wantEqual(h, "of none", value(tx.TakenOf(app, []int{6})), nil)
		})
	}},
	{"retiring deletes its claims", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			m := h.mailbox(tx)
			n := h.nameplate(tx, "1", m, "a")
			h.must(tx.RetireNameplate(n, usage))
			_, err := tx.Nameplate(app, "1")
			h.wantNotFound("it", err)
			wantEqual(h, "of a", value(tx.NameplatesOf(app, "a")), nil)
			h.nameplate(tx, "1", m)
			wantEqual(h, "claims", value(tx.Nameplate(app, "1")).Claims, nil)
			h.must(tx.RetireNameplate(n, usage))
			h.must(tx.RetireMailbox(m, usage))
		})
	}},
	{"stale nameplates come in order, after the cursor, up to the limit", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			m := h.mailbox(tx)
			for id, staleAt := range map[rendezvous.NameplateID]int64{"1": 5, "2": 3, "3": 5, "4": 4, "5": 6} {
				n := h.nameplate(tx, id, m)
				n.StaleAt = at(staleAt)
				h.must(tx.UpdateNameplate(n))
			}
			var got []rendezvous.NameplateID
			var after rendezvous.NameplateCursor
			for {
				some := value(tx.StaleNameplates(at(5), after, 2))
				if len(some) == 0 {
					break
				}
				for _, c := range some {
					got = append(got, c.ID)
					after = c
				}
			}
			wantEqual(h, "order", got, []rendezvous.NameplateID{"2", "4", "1", "3"})
			wantEqual(h, "cursor", after, rendezvous.NameplateCursor{StaleAt: at(5), App: app, ID: "3"})
		})
	}},
}

// drawNameplate draws a nameplate with up to two claims, the older first.
func drawNameplate(t *rapid.T, m rendezvous.MailboxKey) rendezvous.Nameplate {
	n := rendezvous.Nameplate{
		App: rendezvous.AppID(text.Draw(t, "app")), ID: rendezvous.NameplateID(rapid.StringMatching(`[0-9]{1,40}`).Draw(t, "id")),
		Mailbox: m, Created: drawTime(t, "created"), StaleAt: drawTime(t, "stale at"), Crowded: rapid.Bool().Draw(t, "crowded"),
	}
	since := drawTime(t, "since")
	for i := range rapid.IntRange(0, 2).Draw(t, "claims") {
		c := rendezvous.Claim{Side: rendezvous.Side([]byte{'b' - byte(i)}), Since: since.Add(time.Duration(i) * time.Millisecond)}
		if rapid.Bool().Draw(t, "released") {
			released := drawTime(t, "released at")
			c.Released = &released
		}
		n.Claims = append(n.Claims, c)
	}
	return n
}
