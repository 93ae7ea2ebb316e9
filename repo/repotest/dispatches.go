package repotest

import (
	"errors"
	"time"

	"restante/rendezvous"
)

// dispatches are the tests of what webhooks are still to be told.
var dispatches = []testCase{
	{"a dispatch is claimed by one sender, told, and gone", func(h *harness) {
		var box rendezvous.Mailbox
		h.update(func(tx rendezvous.Tx) {
			box = value(tx.CreateMailbox(rendezvous.NewMailbox("app", "box", time.Hour, tx.Now())))
			wantEqual(h, "due", value(tx.DispatchesDue("app")), false)
			h.must(tx.QueueDispatch(rendezvous.Dispatch{Mailbox: box.Key, App: "app", ID: "box", Sent: 4, Last: 5, Since: tx.Now(), Due: tx.Now()}))
			// A dispatch that exists is extended, and keeps how far it is.
			h.must(tx.QueueDispatch(rendezvous.Dispatch{Mailbox: box.Key, App: "app", ID: "box", Sent: 5, Last: 6, Since: tx.Now(), Due: tx.Now()}))
			wantEqual(h, "due", value(tx.DispatchesDue("app")), true)
			wantEqual(h, "due of another app", value(tx.DispatchesDue("other")), false)
		})
		var d rendezvous.Dispatch
		h.update(func(tx rendezvous.Tx) {
			until := tx.Now().Add(time.Hour)
			wantEqual(h, "claimed", value(tx.ClaimDispatches("app", "a", until, 9)), []rendezvous.MailboxKey{box.Key})
			d = value(tx.Dispatch(box.Key))
			wantEqual(h, "due", d.Due.Equal(until), true)
		})
		wantEqual(h, "sent", d.Sent, 4)
		wantEqual(h, "last", d.Last, 6)
		wantEqual(h, "sender", d.Sender, "a")
		h.update(func(tx rendezvous.Tx) {
			wantEqual(h, "claimed again", len(value(tx.ClaimDispatches("app", "b", tx.Now().Add(time.Hour), 9))), 0)
			h.must(tx.QueueDispatch(rendezvous.Dispatch{Mailbox: box.Key, App: "app", ID: "box", Sent: 6, Last: 6, Reason: rendezvous.RetiredClosed, Retired: tx.Now(), Since: tx.Now(), Due: tx.Now()}))
		})
		h.update(func(tx rendezvous.Tx) {
			d = value(tx.Dispatch(box.Key))
			wantEqual(h, "reason", d.Reason, rendezvous.RetiredClosed)
			wantEqual(h, "sender", d.Sender, "a")
			d.Attempts, d.Sender, d.Due = 2, "", tx.Now().Add(time.Hour)
			h.must(tx.UpdateDispatch(d))
			wantEqual(h, "due", value(tx.DispatchesDue("app")), false)
			h.must(tx.ReviveDispatches(tx.Now()))
			wantEqual(h, "due after a failure", value(tx.DispatchesDue("app")), true)
			d.Abandoned, d.Attempts, d.Sender = true, 3, "a"
			h.must(tx.UpdateDispatch(d))
		})
		h.update(func(tx rendezvous.Tx) {
			counts := value(tx.DispatchCounts())
			wantEqual(h, "counts", counts, rendezvous.DispatchCounts{Pending: 1, Failing: 1, Abandoned: 1, Oldest: counts.Oldest})
			wantEqual(h, "oldest", counts.Oldest.Equal(d.Since), true)
			h.must(tx.ReviveDispatches(tx.Now()))
			wantEqual(h, "due", value(tx.DispatchesDue("app")), true)
			wantEqual(h, "deleted", value(tx.DeleteDispatches(d.Since.Add(-time.Hour), 9)), 0)
			h.must(tx.DeleteDispatch(box.Key))
			_, err := tx.Dispatch(box.Key)
			wantEqual(h, "not found", errors.Is(err, rendezvous.ErrNotFound), true)
			h.must(tx.QueueDispatch(rendezvous.Dispatch{Mailbox: box.Key, App: "app", ID: "box", Last: 1, Since: d.Since, Due: tx.Now()}))
			wantEqual(h, "deleted", value(tx.DeleteDispatches(d.Since, 9)), 1)
			wantEqual(h, "counts", value(tx.DispatchCounts()), rendezvous.DispatchCounts{})
		})
	}},
	{"the log of a retired mailbox is kept while a dispatch refers to it", func(h *harness) {
		var box rendezvous.Mailbox
		h.update(func(tx rendezvous.Tx) {
			box = value(tx.CreateMailbox(rendezvous.NewMailbox("app", "box", time.Hour, tx.Now())))
			box = box.Appended("one", tx.Now())
			h.must(tx.Append(box, rendezvous.Message{Position: 1, Side: "a", Draft: rendezvous.Draft{Phase: "p", Body: "one"}, Received: tx.Now()}))
			h.must(tx.QueueDispatch(rendezvous.Dispatch{Mailbox: box.Key, App: "app", ID: "box", Last: 1, Since: tx.Now(), Due: tx.Now()}))
		})
		h.update(func(tx rendezvous.Tx) {
			h.must(tx.RetireMailbox(box, rendezvous.SummarizeMailbox(box, tx.Now(), false)))
		})
		h.update(func(tx rendezvous.Tx) {
			wantEqual(h, "logs to delete", len(value(tx.RetiredLogs(0, 9))), 0)
			value(tx.DeleteRetiredLog(box.Key))
			wantEqual(h, "messages", len(value(tx.Messages(box.Key, 0, 9, 1000))), 1)
			h.must(tx.DeleteDispatch(box.Key))
		})
		h.update(func(tx rendezvous.Tx) {
			wantEqual(h, "logs to delete", len(value(tx.RetiredLogs(0, 9))), 1)
			value(tx.DeleteRetiredLog(box.Key))
			wantEqual(h, "messages", len(value(tx.Messages(box.Key, 0, 9, 1000))), 0)
		})
	}},
}
