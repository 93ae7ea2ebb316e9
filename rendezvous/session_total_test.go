package rendezvous_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/session"
)

// countedMidway is a store that has the sessions counted in the middle of each transaction.
type countedMidway struct {
	rendezvous.Store
	count atomic.Pointer[func()]
}

func (s *countedMidway) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	return s.Store.Update(ctx, func(tx rendezvous.Tx) error {
		err := f(tx)
		if count := s.count.Load(); count != nil {
			(*count)()
		}
		return err
	})
}

// TestSessionsInAll begins more sessions than there may be. The limit holds between two counts, and right through one:
// no count finds a session whose transaction is not over, and none may forget it.
func TestSessionsInAll(t *testing.T) {
	var store *countedMidway
	limit := func(c *rendezvous.Config) { c.Limits.Sessions = 5 }
	wrap := func(s rendezvous.Store) rendezvous.Store { store = &countedMidway{Store: s}; return store }
	bubbleOn(t, limit, wrap, func(t *testing.T, w *world) {
		time.Sleep(300 * time.Millisecond) // the loops count at other moments
		begin := func() (begun int) {
			for range 10 {
				time.Sleep(time.Second) // counts have to rest
				_, err := w.Handshake(t.Context(), rendezvous.Handshake{ID: session.NewID(), App: app})
				if c := code(t, err); c == "" {
					begun++
				} else {
					expect(t, c, rendezvous.Overloaded)
				}
			}
			return begun
		}
		count := func() { w.Status(t.Context()) }
		store.count.Store(&count)
		if begun := begin(); begun != 5 {
			t.Errorf("%d sessions begin, and each is counted while it begins", begun)
		}
		store.count.Store(nil)
		if begun := begin(); begun != 0 {
			t.Errorf("%d more sessions begin", begun)
		}
	})
}

// TestSessionsThatEndMakeWay has sessions begin at the limit in place of others, between two counts and right through
// one.
func TestSessionsThatEndMakeWay(t *testing.T) {
	t.Parallel()
	var store *countedMidway
	limit := func(c *rendezvous.Config) { c.Limits.Sessions = 5 }
	wrap := func(s rendezvous.Store) rendezvous.Store { store = &countedMidway{Store: s}; return store }
	bubbleOn(t, limit, wrap, func(t *testing.T, w *world) {
		time.Sleep(300 * time.Millisecond) // the loops count at other moments
		end := func(c *client) {
			t.Helper()
			_, err := w.End(t.Context(), c.command(), nil)
			c.must(err)
		}
		full := func(when string) {
			t.Helper()
			_, err := w.Handshake(t.Context(), rendezvous.Handshake{ID: session.NewID(), App: app})
			if code(t, err) != rendezvous.Overloaded {
				t.Errorf("%s, another session begins: %v", when, err)
			}
		}
		for range 20 {
			end(w.begin(""))
		}
		var live []*client
		for range 5 {
			live = append(live, w.begin(""))
		}
		full("with five that live")

		heir := &client{w: w, id: newID(), app: app}
		heir.key = heir.id.Key()
		_, err := w.Handshake(t.Context(), rendezvous.Handshake{ID: heir.id, App: app, Replaces: &live[0].id})
		heir.must(err)
		live[0] = heir
		full("after one took the place of another")

		count := func() { w.Status(t.Context()) }
		for i := range live {
			time.Sleep(time.Second) // counts have to rest
			store.count.Store(&count)
			end(live[i])
			store.count.Store(nil)
			time.Sleep(time.Second)
			count()
			live[i] = w.begin("")
			full("with a count while one ended")
		}
	})
}
