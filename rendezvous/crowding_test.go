package rendezvous_test

import (
	"testing"
	"time"

	"restante/rendezvous"
)

func TestAThirdSideIsRefusedAndChangesNothingForTheFirstTwo(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		third := w.begin("c")
		for range 3 {
			_, err := w.Open(t.Context(), third.command(), mailbox, rendezvous.OpenRequest{})
			expect(t, code(t, err), rendezvous.Crowded)
		}
		for _, c := range []*client{a, b} {
			expect(t, len(c.open(mailbox).Sides), 2)
			c.add(mailbox, "undisturbed")
		}
		_, err := w.Close(t.Context(), third.command(), mailbox, rendezvous.Scary)
		third.must(err) // closing what one is not in is fine, and does nothing
		a.close(mailbox, rendezvous.Happy)
		b.close(mailbox, rendezvous.Happy)
		expect(t, w.results("usage_mailboxes"), "crowded")
		expect(t, w.results("usage_nameplates"), "happy") // it was the mailbox that the third side came to
	})
}

func TestASideThatIsNotAdmittedToTheMailboxGetsNoClaimOnItsNameplate(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		a, b, c := w.begin("a"), w.begin("b"), w.begin("c")
		claimed := a.allocate()
		b.open(claimed.Mailbox) // b knows the mailbox from elsewhere
		_, err := w.Claim(t.Context(), c.command(), claimed.Nameplate, 0)
		expect(t, code(t, err), rendezvous.Crowded)
		overview, err := w.Session(t.Context(), rendezvous.Query{Session: c.key})
		c.must(err)
		expect(t, len(overview.Result.Nameplates), 0)
		expect(t, b.claim(claimed.Nameplate), claimed)
	})
}

func TestARefusedThirdSideRenewsNothing(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		third := w.begin("c")
		for _, c := range []*client{a, b} {
			_, err := w.End(t.Context(), c.command(), nil)
			c.must(err)
		}
		for range 11 { // a minute short of the ttl, and then it is over all the same
			time.Sleep(time.Minute)
			_, err := w.Open(t.Context(), third.command(), mailbox, rendezvous.OpenRequest{})
			if err == nil {
				t.Fatal("let in")
			}
		}
		expect(t, w.Prune(t.Context()).Retired[rendezvous.KindMailbox], 1)
	})
}
