package repotest

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"restante/rendezvous"
)

var nameplates = []test{
	{"it comes back as it was stored, whatever it is", func(w *world) {
		var m rendezvous.Mailbox
		w.update(func(tx rendezvous.Tx) { m = w.mailbox(tx) })
		w.forAll(func(t *rapid.T, w *world) {
			n, then := drawNameplate(t, m.Key), drawNameplate(t, m.Key)
			then.App, then.ID, then.Created = n.App, n.ID, n.Created
			if len(then.Claims) < len(n.Claims) {
				then.Claims = n.Claims // none is ever removed
			}
			w.update(func(tx rendezvous.Tx) {
				w.must(tx.CreateNameplate(n))
				equal(w, "created", ok(tx.Nameplate(n.App, n.ID)), n)
				w.must(tx.UpdateNameplate(then))
				equal(w, "updated", ok(tx.Nameplate(n.App, n.ID)), then)
				w.must(tx.RetireNameplate(then, usage))
			})
		})
	}},
	{"one that is not there is not found", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			_, err := tx.Nameplate(app, "1")
			w.missing("Nameplate", err)
			w.missing("UpdateNameplate", tx.UpdateNameplate(rendezvous.Nameplate{App: app, ID: "1"}))
			w.missing("RetireNameplate", tx.RetireNameplate(rendezvous.Nameplate{App: app, ID: "1"}, usage))
		})
		w.refused("one that points nowhere", func(tx rendezvous.Tx) error {
			return tx.CreateNameplate(rendezvous.Nameplate{App: app, ID: "1", Mailbox: 999})
		})
		w.refused("one that is there", func(tx rendezvous.Tx) error {
			n := w.nameplate(tx, "1", w.mailbox(tx))
			return tx.CreateNameplate(n)
		})
	}},
	{"those of a side are the ones that it holds", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			m := w.mailbox(tx)
			both := w.nameplate(tx, "2", m, "b", "a")
			own := w.nameplate(tx, "1", m, "a")
			w.nameplate(tx, "3", m, "b")
			w.must(tx.UpdateNameplate(w.nameplate(tx, "4", m, "a").Release("a", at(3))))
			equal(w, "all", ok(tx.NameplatesOf(app, "a")), []rendezvous.Nameplate{own, both})
			equal(w, "how many", ok(tx.CountNameplatesOf(app, "a")), 2)
			equal(w, "elsewhere", ok(tx.NameplatesOf("other", "a")), nil)
			equal(w, "how many elsewhere", ok(tx.CountNameplatesOf("other", "a")), 0)
		})
	}},
	{"those that point to a mailbox are found", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			m := w.mailbox(tx)
			w.nameplate(tx, "1", w.mailbox(tx))
			n := w.nameplate(tx, "2", m, "a", "b")
			equal(w, "all", ok(tx.NameplatesTo(m.Key)), []rendezvous.Nameplate{n})
			equal(w, "none", ok(tx.NameplatesTo(999)), nil)
		})
	}},
	{"those that wait for a partner are listed, sorted, up to the limit", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			m := w.mailbox(tx)
			w.nameplate(tx, "30", m, "a")
			w.nameplate(tx, "7", m, "a")
			w.nameplate(tx, "123", m, "a")
			w.nameplate(tx, "1", m)
			w.nameplate(tx, "2", m, "a", "b")
			w.must(tx.UpdateNameplate(w.nameplate(tx, "4", m, "a").Release("a", at(3))))
			met, _ := w.nameplate(tx, "5", m, "a").Claim("b", at(1))
			w.must(tx.UpdateNameplate(met))
			w.nameplate(tx, "6", ok(tx.CreateMailbox(rendezvous.NewMailbox("other", "x", time.Second, at(0)))), "a")
			equal(w, "all", ok(tx.WaitingNameplates(app, 9)), []rendezvous.NameplateID{"123", "30", "7"})
			equal(w, "two", ok(tx.WaitingNameplates(app, 2)), []rendezvous.NameplateID{"123", "30"})
		})
	}},
	{"taken numbers are the canonical ones of a range, sorted", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			m := w.mailbox(tx)
			for _, id := range []rendezvous.NameplateID{"9", "10", "007", "5", "99", "100", "999999", "1000000", "0"} {
				w.nameplate(tx, id, m)
			}
			equal(w, "one digit", ok(tx.TakenNumbers(app, 1, 9)), []int{5, 9})
			equal(w, "two digits", ok(tx.TakenNumbers(app, 10, 99)), []int{10, 99})
			equal(w, "all", ok(tx.TakenNumbers(app, 1, 999_999)), []int{5, 9, 10, 99, 100, 999_999})
			equal(w, "elsewhere", ok(tx.TakenNumbers("other", 1, 9)), nil)
			equal(w, "of some", slices.Sorted(slices.Values(ok(tx.TakenOf(app, []int{5, 6, 100, 5, 999_999, 9_999})))), []int{5, 100, 999_999})
			equal(w, "of none", ok(tx.TakenOf(app, []int{6})), nil)
		})
	}},
	{"to retire it takes its claims", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			m := w.mailbox(tx)
			n := w.nameplate(tx, "1", m, "a")
			w.must(tx.RetireNameplate(n, usage))
			_, err := tx.Nameplate(app, "1")
			w.missing("it", err)
			equal(w, "of a", ok(tx.NameplatesOf(app, "a")), nil)
			w.nameplate(tx, "1", m)
			equal(w, "claims", ok(tx.Nameplate(app, "1")).Claims, nil)
			w.must(tx.RetireNameplate(n, usage))
			w.must(tx.RetireMailbox(m, usage))
		})
	}},
	{"stale ones come in order, from the cursor on, up to the limit", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			m := w.mailbox(tx)
			for id, staleAt := range map[rendezvous.NameplateID]int64{"1": 5, "2": 3, "3": 5, "4": 4, "5": 6} {
				n := w.nameplate(tx, id, m)
				n.StaleAt = at(staleAt)
				w.must(tx.UpdateNameplate(n))
			}
			var got []rendezvous.NameplateID
			var after rendezvous.NameplateCursor
			for {
				some := ok(tx.StaleNameplates(at(5), after, 2))
				if len(some) == 0 {
					break
				}
				for _, c := range some {
					got = append(got, c.ID)
					after = c
				}
			}
			equal(w, "order", got, []rendezvous.NameplateID{"2", "4", "1", "3"})
			equal(w, "cursor", after, rendezvous.NameplateCursor{StaleAt: at(5), App: app, ID: "3"})
		})
	}},
}

// drawNameplate is any nameplate, with up to two claims, the older first.
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
