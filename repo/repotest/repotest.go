// Package repotest is the conformance suite of [rendezvous.Store]: it tests what the interface's
// comments promise. Promises of one engine only are tested beside that engine.
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

// Run runs the suite. open returns an empty store for one test and arranges that it is closed when
// the test ends.
func Run(t *testing.T, open func(t *testing.T) rendezvous.Store) {
	for _, group := range []struct {
		noun  string
		tests []testCase
	}{
		{"transaction", transactions},
		{"view", views},
		{"concurrency", concurrency},
		{"session", sessions},
		{"tombstone", tombstones},
		{"command", commands},
		{"reply", replies},
		{"keyed reply", keyedReplies},
		{"dispatch", dispatches},
		{"outbox", outboxes},
		{"run", runs},
		{"mailbox", mailboxes},
		{"attendance", attendances},
		{"message", messages},
		{"nameplate", nameplates},
		{"limit", limits},
		{"operator", operators},
		{"status", status},
	} {
		t.Run(group.noun, func(t *testing.T) {
			t.Parallel()
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) {
					t.Parallel()
					test.run(&harness{TB: t, store: open(t), mailboxCount: new(atomic.Int64)})
				})
			}
		})
	}
}

// test is one promise.
type testCase struct {
	name string
	run  func(*harness)
}

// world is a store, and what makes things to put into it.
type harness struct {
	TB
	store        rendezvous.Store
	mailboxCount *atomic.Int64 // gives mailboxes different ids
}

// TB is a test or one round of a property test.
type TB interface {
	rapid.TB
	Context() context.Context
}

// forAllDrawn runs a property test. A transaction may run twice, so values are drawn outside
// of it.
func (h *harness) forAllDrawn(keep func(*rapid.T, *harness)) {
	h.Helper()
	rapid.Check(h.TB, func(t *rapid.T) { keep(t, &harness{TB: t, store: h.store, mailboxCount: h.mailboxCount}) })
}

const app rendezvous.AppID = "app"

// at returns a time n milliseconds after a fixed one.
func at(n int64) time.Time { return time.UnixMilli(1_700_000_000_000 + n).UTC() }

// key returns a session's key; a greater n gives a greater key.
func key(n byte) session.Key { return session.Key{0: n, 31: 1} }

// must fails the test if err is not nil.
func (h *harness) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// update runs f in a transaction that must commit.
func (h *harness) update(f func(tx rendezvous.Tx)) {
	h.Helper()
	h.must(h.store.Update(h.Context(), func(tx rendezvous.Tx) error { f(tx); return nil }))
}

// view runs f on a snapshot.
func (h *harness) view(f func(tx rendezvous.Tx)) {
	h.Helper()
	h.must(h.store.View(h.Context(), func(tx rendezvous.Tx) error { f(tx); return nil }))
}

// wantFailure checks that f's transaction fails, and not because of the storage.
func (h *harness) wantFailure(what string, f func(tx rendezvous.Tx) error) {
	h.Helper()
	err := h.store.Update(h.Context(), f)
	if err == nil {
		h.Errorf("%s: no error", what)
	}
	if errors.Is(err, rendezvous.ErrUnavailable) || errors.Is(err, rendezvous.ErrOutcomeUnknown) {
		h.Errorf("%s: %v", what, err)
	}
}

// wantNotFound checks that err is ErrNotFound.
func (h *harness) wantNotFound(what string, err error) {
	h.Helper()
	if !errors.Is(err, rendezvous.ErrNotFound) {
		h.Errorf("%s: %v, not ErrNotFound", what, err)
	}
}

// wantEqual compares values. An empty slice equals nil.
func wantEqual[V any](h *harness, what string, got, want V) {
	h.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		h.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// value returns v and panics if there is an error. In a transaction, the panic becomes an error
// of the transaction and fails the test.
func value[V any](v V, err error) V {
	if err != nil {
		panic(err)
	}
	return v
}

// session stores a live session with a side of its own, seen at 0.
func (h *harness) session(tx rendezvous.Tx, k session.Key) rendezvous.Session {
	h.Helper()
	s := newSession(k, sideOf(k))
	h.must(tx.CreateSession(s, at(0)))
	return s
}

// sideOf returns the side that session gives to a session.
func sideOf(k session.Key) rendezvous.Side { return rendezvous.Side(fmt.Sprintf("side of %s", k)) }

func newSession(k session.Key, side rendezvous.Side) rendezvous.Session {
	return rendezvous.Session{
		Key: k, App: app, Side: side, Address: "address", Began: at(0),
		Record: session.Open(at(0), time.Minute).Record(),
	}
}

// end ends a stored session and empties it.
func (h *harness) end(tx rendezvous.Tx, k session.Key, when time.Time) {
	h.Helper()
	s := value(tx.Session(k))
	s.Ended = &session.Ending{At: when, Reason: session.Deleted}
	h.must(tx.UpdateSession(s, when))
	h.must(tx.EmptySession(k))
}

// mailbox stores a new mailbox that these sides have opened.
func (h *harness) mailbox(tx rendezvous.Tx, sides ...rendezvous.Side) rendezvous.Mailbox {
	h.Helper()
	m := rendezvous.NewMailbox(app, rendezvous.MailboxID(fmt.Sprintf("mailbox %d", h.mailboxCount.Add(1))), time.Minute, at(0))
	for i, s := range sides {
		m, _ = m.Open(s, at(int64(i)))
	}
	return value(tx.CreateMailbox(m))
}

// subscribe subscribes a session that wants only messages, and reports whether the subscription is new.
func (h *harness) subscribe(tx rendezvous.Tx, k session.Key, m rendezvous.MailboxKey) bool {
	h.Helper()
	fresh, _, err := tx.Subscribe(k, m, rendezvous.Watch{})
	h.must(err)
	return fresh
}

// add appends a message.
func (h *harness) add(tx rendezvous.Tx, m rendezvous.Mailbox, body string) rendezvous.Mailbox {
	h.Helper()
	m = m.Appended(body, at(0))
	h.must(tx.Append(m, rendezvous.Message{
		Position: m.Last, Side: "side", Draft: rendezvous.Draft{Phase: "phase", Body: body}, Received: at(0),
	}))
	return m
}

// nameplate stores a new nameplate that these sides have claimed.
func (h *harness) nameplate(tx rendezvous.Tx, id rendezvous.NameplateID, m rendezvous.Mailbox, sides ...rendezvous.Side) rendezvous.Nameplate {
	h.Helper()
	n := rendezvous.Nameplate{App: m.App, ID: id, Mailbox: m.Key, Created: at(0), StaleAt: at(0)}
	for i, s := range sides {
		n, _ = n.Claim(s, "", at(int64(i)))
	}
	h.must(tx.CreateNameplate(n))
	return n
}
