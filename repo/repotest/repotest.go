// Package repotest is the suite that every [rendezvous.Store] passes: what its
// comments promise, as tests. What only one engine promises is tested beside that engine.
package repotest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"restante/rendezvous"
	"restante/session"
)

// Run runs the suite; each test opens an empty store of its own, and whoever opens it
// has it closed when the test ends.
func Run(t *testing.T, open func(t *testing.T) rendezvous.Store) {
	for _, group := range []struct {
		noun  string
		tests []test
	}{
		{"transaction", transactions},
		{"view", views},
		{"concurrency", concurrency},
		{"session", sessions},
		{"tombstone", tombstones},
		{"command", commands},
		{"outbox", outboxes},
		{"mailbox", mailboxes},
		{"message", messages},
		{"nameplate", nameplates},
		{"status", status},
	} {
		t.Run(group.noun, func(t *testing.T) {
			t.Parallel()
			for _, test := range group.tests {
				t.Run(test.promise, func(t *testing.T) {
					t.Parallel()
					test.keep(&world{TB: t, store: open(t), made: new(atomic.Int64)})
				})
			}
		})
	}
}

// test is one promise.
type test struct {
	promise string
	keep    func(*world)
}

// world is a store, and what makes things to put into it.
type world struct {
	TB
	store rendezvous.Store
	made  *atomic.Int64 // how many mailboxes have been
}

// TB is a test, or one round of a property.
type TB interface {
	rapid.TB
	Context() context.Context
}

// forAll keeps a promise for whatever is drawn. A transaction may run twice:
// draw outside of it.
func (w *world) forAll(keep func(*rapid.T, *world)) {
	w.Helper()
	rapid.Check(w.TB, func(t *rapid.T) { keep(t, &world{TB: t, store: w.store, made: w.made}) })
}

const app rendezvous.AppID = "app"

// at is a time n milliseconds after some moment.
func at(n int64) time.Time { return time.UnixMilli(1_700_000_000_000 + n).UTC() }

// key is a session's key, rising with n.
func key(n byte) session.Key { return session.Key{0: n, 31: 1} }

// must ends the test if something failed.
func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// update runs f in a transaction that must commit.
func (w *world) update(f func(tx rendezvous.Tx)) {
	w.Helper()
	w.must(w.store.Update(w.Context(), func(tx rendezvous.Tx) error { f(tx); return nil }))
}

// view runs f on a snapshot.
func (w *world) view(f func(tx rendezvous.Tx)) {
	w.Helper()
	w.must(w.store.View(w.Context(), func(tx rendezvous.Tx) error { f(tx); return nil }))
}

// refused tells that f's transaction fails, and not for the storage's sake.
func (w *world) refused(what string, f func(tx rendezvous.Tx) error) {
	w.Helper()
	err := w.store.Update(w.Context(), f)
	if err == nil {
		w.Errorf("%s: it was not refused", what)
	}
	if errors.Is(err, rendezvous.ErrUnavailable) || errors.Is(err, rendezvous.ErrOutcomeUnknown) {
		w.Errorf("%s: %v", what, err)
	}
}

// missing tells that there is no such thing.
func (w *world) missing(what string, err error) {
	w.Helper()
	if !errors.Is(err, rendezvous.ErrNotFound) {
		w.Errorf("%s: %v, not ErrNotFound", what, err)
	}
}

// equal compares; times by the moment, and an empty list is no list.
func equal[V any](w *world, what string, got, want V) {
	w.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		w.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// ok is a result that must not have failed: inside of a transaction, a panic is
// an error of the transaction, and fails the test.
func ok[V any](v V, err error) V {
	if err != nil {
		panic(err)
	}
	return v
}

// session stores a live session of its own side, seen at 0.
func (w *world) session(tx rendezvous.Tx, k session.Key) rendezvous.Session {
	w.Helper()
	s := newSession(k, rendezvous.Side(fmt.Sprintf("side of %s", k)))
	w.must(tx.CreateSession(s, at(0)))
	return s
}

func newSession(k session.Key, side rendezvous.Side) rendezvous.Session {
	return rendezvous.Session{
		Key: k, App: app, Side: side, Address: "address", Began: at(0),
		Record: session.Open(at(0), time.Minute).Record(),
	}
}

// end ends a stored session, and empties it.
func (w *world) end(tx rendezvous.Tx, k session.Key, when time.Time) {
	w.Helper()
	s := ok(tx.Session(k))
	s.Ended = &session.Ending{At: when, Reason: session.Deleted}
	w.must(tx.UpdateSession(s, when))
	w.must(tx.EmptySession(k))
}

// mailbox stores a new mailbox that these sides have opened.
func (w *world) mailbox(tx rendezvous.Tx, sides ...rendezvous.Side) rendezvous.Mailbox {
	w.Helper()
	m := rendezvous.NewMailbox(app, rendezvous.MailboxID(fmt.Sprintf("mailbox %d", w.made.Add(1))), time.Minute, at(0))
	for i, s := range sides {
		m, _ = m.Open(s, at(int64(i)))
	}
	return ok(tx.CreateMailbox(m))
}

// add appends a message.
func (w *world) add(tx rendezvous.Tx, m rendezvous.Mailbox, body string) rendezvous.Mailbox {
	w.Helper()
	m = m.Appended(body, at(0))
	w.must(tx.Append(m, rendezvous.Message{
		Position: m.Last, Side: "side", Draft: rendezvous.Draft{Phase: "phase", Body: body}, Received: at(0),
	}))
	return m
}

// nameplate stores a new nameplate that these sides have claimed.
func (w *world) nameplate(tx rendezvous.Tx, id rendezvous.NameplateID, m rendezvous.Mailbox, sides ...rendezvous.Side) rendezvous.Nameplate {
	w.Helper()
	n := rendezvous.Nameplate{App: m.App, ID: id, Mailbox: m.Key, Created: at(0), StaleAt: at(0)}
	for i, s := range sides {
		n, _ = n.Claim(s, at(int64(i)))
	}
	w.must(tx.CreateNameplate(n))
	return n
}
