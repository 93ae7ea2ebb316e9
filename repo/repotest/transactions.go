package repotest

import (
	"context"
	"errors"
	"time"

	"restante/rendezvous"
	"restante/session"
)

var errMine = errors.New("mine")

var transactions = []test{
	{"what was written can be read in the same transaction and after it", func(w *world) {
		var m rendezvous.Mailbox
		w.update(func(tx rendezvous.Tx) {
			m = w.mailbox(tx, "a")
			equal(w, "within", ok(tx.MailboxByKey(m.Key)), m)
		})
		w.view(func(tx rendezvous.Tx) {
			equal(w, "after", ok(tx.MailboxByKey(m.Key)), m)
		})
	}},
	{"a function that fails leaves nothing, and its error comes back", func(w *world) {
		err := w.store.Update(w.Context(), func(tx rendezvous.Tx) error {
			w.mailbox(tx)
			return errMine
		})
		if !errors.Is(err, errMine) {
			w.Errorf("%v, not the function's own error", err)
		}
		w.empty()
	}},
	{"a function that panics leaves nothing, and is told of as an error", func(w *world) {
		w.refused("a panic", func(tx rendezvous.Tx) error {
			w.mailbox(tx)
			panic("ouch")
		})
		w.empty()
		w.update(func(tx rendezvous.Tx) { w.mailbox(tx) })
	}},
	{"a statement that failed fails the transaction, though the function ignores it", func(w *world) {
		w.refused("an ignored error", func(tx rendezvous.Tx) error {
			w.mailbox(tx)
			_ = tx.CreateNameplate(rendezvous.Nameplate{App: app, ID: "1", Mailbox: 999})
			return nil
		})
		w.empty()
	}},
	{"AfterCommit functions run in order, once it is committed", func(w *world) {
		ran := make(chan int64, 2)
		w.update(func(tx rendezvous.Tx) {
			w.mailbox(tx)
			for i := range int64(2) {
				tx.AfterCommit(func() {
					w.view(func(tx rendezvous.Tx) {
						ran <- 10*i + ok(tx.Counts()).Mailboxes
					})
				})
			}
		})
		equal(w, "first", <-ran, int64(1))
		equal(w, "second", <-ran, int64(11))
	}},
	{"AfterCommit functions never run without a commit", func(w *world) {
		w.refused("a failure", func(tx rendezvous.Tx) error {
			tx.AfterCommit(func() { w.Error("it ran after a failure") })
			return errMine
		})
		w.refused("a panic", func(tx rendezvous.Tx) error {
			tx.AfterCommit(func() { w.Error("it ran after a panic") })
			panic("ouch")
		})
		w.update(func(rendezvous.Tx) {})
	}},
	{"an AfterCommit function that panics takes nothing with it", func(w *world) {
		ran := make(chan bool, 1)
		w.update(func(tx rendezvous.Tx) {
			tx.AfterCommit(func() { panic("ouch") })
			tx.AfterCommit(func() { ran <- true })
		})
		<-ran
		w.update(func(tx rendezvous.Tx) { w.mailbox(tx) })
	}},
	{"a caller that leaves is let go, and the transaction goes on", func(w *world) {
		ctx, leave := context.WithCancel(w.Context())
		goOn, committed := make(chan struct{}), make(chan struct{})
		err := w.store.Update(ctx, func(tx rendezvous.Tx) error {
			leave()
			<-goOn
			w.mailbox(tx)
			tx.AfterCommit(func() { close(committed) })
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			w.Errorf("%v, not the context's error", err)
		}
		close(goOn)
		<-committed
		w.view(func(tx rendezvous.Tx) {
			equal(w, "mailboxes", ok(tx.Counts()).Mailboxes, int64(1))
		})
	}},
	{"nothing runs for a caller that has left already", func(w *world) {
		ctx, leave := context.WithCancel(w.Context())
		leave()
		never := func(rendezvous.Tx) error { w.Error("it ran"); return nil }
		for what, err := range map[string]error{
			"Update": w.store.Update(ctx, never), "View": w.store.View(ctx, never), "Probe": w.store.Probe(ctx),
		} {
			if !errors.Is(err, context.Canceled) {
				w.Errorf("%s: %v, not the context's error", what, err)
			}
		}
		w.update(func(rendezvous.Tx) {})
	}},
	{"its time stands still, in whole milliseconds", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			now := tx.Now()
			if now.Nanosecond()%int(time.Millisecond) != 0 || now.IsZero() {
				w.Errorf("it is %v", now)
			}
			for range 1000 {
				equal(w, "now", tx.Now(), now)
			}
		})
	}},
	{"a probe succeeds", func(w *world) { w.must(w.store.Probe(w.Context())) }},
}

var views = []test{
	{"it cannot write", func(w *world) {
		var m rendezvous.Mailbox
		var n rendezvous.Nameplate
		w.update(func(tx rendezvous.Tx) {
			w.session(tx, key(1))
			m = w.mailbox(tx, "a")
			n = w.nameplate(tx, "1", m, "a")
		})
		for what, write := range writes(m, n) {
			if err := w.store.View(w.Context(), write); err == nil {
				w.Errorf("%s wrote", what)
			} else if errors.Is(err, rendezvous.ErrUnavailable) {
				w.Errorf("%s: %v, but the storage is well", what, err)
			}
		}
		w.view(func(tx rendezvous.Tx) {
			equal(w, "what there is", ok(tx.Counts()), rendezvous.Counts{Nameplates: 1, Mailboxes: 1, Sessions: 1})
			equal(w, "the mailbox", ok(tx.MailboxByKey(m.Key)), m)
		})
	}},
	{"it is one snapshot while a writer goes on", func(w *world) {
		w.update(func(tx rendezvous.Tx) { w.mailbox(tx) })
		w.view(func(tx rendezvous.Tx) {
			before := ok(tx.Counts())
			w.update(func(tx rendezvous.Tx) { w.mailbox(tx) })
			equal(w, "inside", ok(tx.Counts()), before)
		})
		w.view(func(tx rendezvous.Tx) {
			equal(w, "afterwards", ok(tx.Counts()).Mailboxes, int64(2))
		})
	}},
	{"its error comes back, and a panic as an error", func(w *world) {
		if err := w.store.View(w.Context(), func(rendezvous.Tx) error { return errMine }); !errors.Is(err, errMine) {
			w.Errorf("%v, not the function's own error", err)
		}
		if err := w.store.View(w.Context(), func(rendezvous.Tx) error { panic("ouch") }); err == nil {
			w.Error("a panic was no error")
		}
		w.view(func(rendezvous.Tx) {})
	}},
}

// empty tells that nothing is stored.
func (w *world) empty() {
	w.Helper()
	w.view(func(tx rendezvous.Tx) {
		equal(w, "what there is", ok(tx.Counts()), rendezvous.Counts{})
	})
}

// writes is every method that changes something.
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
		"Subscribe":      func(tx rendezvous.Tx) error { _, err := tx.Subscribe(key(1), m.Key); return err },
		"Unsubscribe":    func(tx rendezvous.Tx) error { return tx.Unsubscribe(key(1), m.Key) },
		"Send":           func(tx rendezvous.Tx) error { _, err := tx.Send(key(1), frame); return err },
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
