package repotest

import (
	"context"
	"errors"
	"time"

	"restante/rendezvous"
	"restante/session"
)

var errTest = errors.New("mine")

var transactions = []testCase{
	{"what was written can be read in the same transaction and after it", func(h *harness) {
		var m rendezvous.Mailbox
		h.update(func(tx rendezvous.Tx) {
			m = h.mailbox(tx, "a")
			wantEqual(h, "within", value(tx.MailboxByKey(m.Key)), m)
		})
		h.view(func(tx rendezvous.Tx) {
			wantEqual(h, "after", value(tx.MailboxByKey(m.Key)), m)
		})
	}},
	{"a function that fails leaves nothing, and its error comes back", func(h *harness) {
		err := h.store.Update(h.Context(), func(tx rendezvous.Tx) error {
			h.mailbox(tx)
			return errTest
		})
		if !errors.Is(err, errTest) {
			h.Errorf("%v, not the function's own error", err)
		}
		h.wantEmptyStore()
	}},
	{"a function that panics leaves nothing, and its panic comes back as an error", func(h *harness) {
		h.wantFailure("a panic", func(tx rendezvous.Tx) error {
			h.mailbox(tx)
			panic("ouch")
		})
		h.wantEmptyStore()
		h.update(func(tx rendezvous.Tx) { h.mailbox(tx) })
	}},
	{"a statement that failed fails the transaction, though the function ignores it", func(h *harness) {
		h.wantFailure("an ignored error", func(tx rendezvous.Tx) error {
			h.mailbox(tx)
			_ = tx.CreateNameplate(rendezvous.Nameplate{App: app, ID: "1", Mailbox: 999})
			return nil
		})
		h.wantEmptyStore()
	}},
	{"AfterCommit functions run in order after the commit", func(h *harness) {
		ran := make(chan int64, 2)
		h.update(func(tx rendezvous.Tx) {
			h.mailbox(tx)
			for i := range int64(2) {
				tx.AfterCommit(func() {
					h.view(func(tx rendezvous.Tx) {
						ran <- 10*i + value(tx.Counts()).Mailboxes
					})
				})
			}
		})
		wantEqual(h, "first", <-ran, int64(1))
		wantEqual(h, "second", <-ran, int64(11))
	}},
	{"Update returns when the AfterCommit functions have run", func(h *harness) {
		returned := make(chan struct{})
		ran := false
		h.update(func(tx rendezvous.Tx) {
			h.mailbox(tx)
			tx.AfterCommit(func() {
				select {
				case <-returned:
					h.Error("Update returned before")
				case <-time.After(20 * time.Millisecond):
				}
				ran = true
			})
		})
		close(returned)
		wantEqual(h, "ran", ran, true)
	}},
	{"AfterCommit functions never run without a commit", func(h *harness) {
		h.wantFailure("a failure", func(tx rendezvous.Tx) error {
			tx.AfterCommit(func() { h.Error("it ran after a failure") })
			return errTest
		})
		h.wantFailure("a panic", func(tx rendezvous.Tx) error {
			tx.AfterCommit(func() { h.Error("it ran after a panic") })
			panic("ouch")
		})
		h.update(func(rendezvous.Tx) {})
	}},
	{"an AfterCommit function that panics does not stop the next one", func(h *harness) {
		ran := make(chan bool, 1)
		h.update(func(tx rendezvous.Tx) {
			tx.AfterCommit(func() { panic("ouch") })
			tx.AfterCommit(func() { ran <- true })
		})
		<-ran
		h.update(func(tx rendezvous.Tx) { h.mailbox(tx) })
	}},
	{"Update returns when its context ends, and the transaction goes on", func(h *harness) {
		ctx, leave := context.WithCancel(h.Context())
		goOn, committed := make(chan struct{}), make(chan struct{})
		err := h.store.Update(ctx, func(tx rendezvous.Tx) error {
			leave()
			<-goOn
			h.mailbox(tx)
			tx.AfterCommit(func() { close(committed) })
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			h.Errorf("%v, not the context's error", err)
		}
		close(goOn)
		<-committed
		h.view(func(tx rendezvous.Tx) {
			wantEqual(h, "mailboxes", value(tx.Counts()).Mailboxes, int64(1))
		})
	}},
	{"nothing runs if the context has ended before", func(h *harness) {
		ctx, leave := context.WithCancel(h.Context())
		leave()
		never := func(rendezvous.Tx) error { h.Error("it ran"); return nil }
		for what, err := range map[string]error{
			"Update": h.store.Update(ctx, never), "View": h.store.View(ctx, never), "Probe": h.store.Probe(ctx),
		} {
			if !errors.Is(err, context.Canceled) {
				h.Errorf("%s: %v, not the context's error", what, err)
			}
		}
		h.update(func(rendezvous.Tx) {})
	}},
	{"its time is constant and in whole milliseconds", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			now := tx.Now()
			if now.Nanosecond()%int(time.Millisecond) != 0 || now.IsZero() {
				h.Errorf("it is %v", now)
			}
			for range 1000 {
				wantEqual(h, "now", tx.Now(), now)
			}
		})
	}},
	{"a probe succeeds", func(h *harness) { h.must(h.store.Probe(h.Context())) }},
}

var views = []testCase{
	{"it cannot write", func(h *harness) {
		var m rendezvous.Mailbox
		var n rendezvous.Nameplate
		h.update(func(tx rendezvous.Tx) {
			h.session(tx, key(1))
			m = h.mailbox(tx, "a")
			n = h.nameplate(tx, "1", m, "a")
		})
		for what, write := range writes(m, n) {
			if err := h.store.View(h.Context(), write); err == nil {
				h.Errorf("%s wrote", what)
			} else if errors.Is(err, rendezvous.ErrUnavailable) {
				h.Errorf("%s: %v, want an error that is not the storage's", what, err)
			}
		}
		h.view(func(tx rendezvous.Tx) {
			wantEqual(h, "what there is", value(tx.Counts()), rendezvous.Counts{Nameplates: 1, Mailboxes: 1, Sessions: 1})
			wantEqual(h, "the mailbox", value(tx.MailboxByKey(m.Key)), m)
		})
	}},
	{"it sees one snapshot while a transaction writes", func(h *harness) {
		h.update(func(tx rendezvous.Tx) { h.mailbox(tx) })
		h.view(func(tx rendezvous.Tx) {
			before := value(tx.Counts())
			h.update(func(tx rendezvous.Tx) { h.mailbox(tx) })
			wantEqual(h, "inside", value(tx.Counts()), before)
		})
		h.view(func(tx rendezvous.Tx) {
			wantEqual(h, "afterwards", value(tx.Counts()).Mailboxes, int64(2))
		})
	}},
	{"the function's error comes back, and its panic as an error", func(h *harness) {
		if err := h.store.View(h.Context(), func(rendezvous.Tx) error { return errTest }); !errors.Is(err, errTest) {
			h.Errorf("%v, not the function's own error", err)
		}
		if err := h.store.View(h.Context(), func(rendezvous.Tx) error { panic("ouch") }); err == nil {
			h.Error("a panic returned no error")
		}
		h.view(func(rendezvous.Tx) {})
	}},
}

// wantEmptyStore checks that nothing is stored.
func (h *harness) wantEmptyStore() {
	h.Helper()
	h.view(func(tx rendezvous.Tx) {
		wantEqual(h, "what there is", value(tx.Counts()), rendezvous.Counts{})
	})
}

// writes returns calls of every method that changes something.
func writes(m rendezvous.Mailbox, n rendezvous.Nameplate) map[string]func(rendezvous.Tx) error {
	u := rendezvous.Usage{App: app, Result: rendezvous.ResultQuiet}
	return map[string]func(rendezvous.Tx) error{
		"CreateSession":  func(tx rendezvous.Tx) error { return tx.CreateSession(newSession(key(2), "b"), at(0)) },
		"UpdateSession":  func(tx rendezvous.Tx) error { return tx.UpdateSession(newSession(key(1), "a"), at(0)) },
		"EmptySession":   func(tx rendezvous.Tx) error { return tx.EmptySession(key(1)) },
		"DeleteSession":  func(tx rendezvous.Tx) error { return tx.DeleteSession(key(1)) },
		"UpdateLastSeen": func(tx rendezvous.Tx) error { return tx.UpdateLastSeen([]session.Sighting{{Key: key(1), Seen: at(9)}}) },
		"Complete":       func(tx rendezvous.Tx) error { return tx.Complete(key(1), 0, rendezvous.Reply{}) },
		"MarkUsed":       func(tx rendezvous.Tx) error { return tx.MarkUsed(key(1)) },
		"Subscribe":      func(tx rendezvous.Tx) error { _, _, err := tx.Subscribe(key(1), m.Key, rendezvous.Watch{}); return err },
		"Unsubscribe":    func(tx rendezvous.Tx) error { return tx.Unsubscribe(key(1), m.Key) },
		"SendFrame":      func(tx rendezvous.Tx) error { _, err := tx.SendFrame(key(1), frame); return err },
		"Acknowledge": func(tx rendezvous.Tx) error {
			return tx.Acknowledge(session.Ack{Session: key(1), Epoch: 1, UpTo: 0})
		},
		"CreateMailbox": func(tx rendezvous.Tx) error {
			_, err := tx.CreateMailbox(rendezvous.NewMailbox(app, "x", 1, at(0)))
			return err
		},
		"UpdateMailbox": func(tx rendezvous.Tx) error { return tx.UpdateMailbox(m) },
		"Append":        func(tx rendezvous.Tx) error { return tx.Append(m.Appended("", at(0)), rendezvous.Message{Position: 1}) },
		"RetireMailbox": func(tx rendezvous.Tx) error { return tx.RetireMailbox(m, u) },
		"CreateNameplate": func(tx rendezvous.Tx) error {
			return tx.CreateNameplate(rendezvous.Nameplate{App: app, ID: "2", Mailbox: m.Key})
		},
		"UpdateNameplate": func(tx rendezvous.Tx) error { return tx.UpdateNameplate(n) },
		"RetireNameplate": func(tx rendezvous.Tx) error { return tx.RetireNameplate(n, u) },
	}
}
