package rendezvous_test

import (
	"fmt"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/session"
)

// TestSessionsOfAnAddress begins sessions from many IPv6 networks of 64 bits in one of 48. None may have more than its
// limit, and all together may have four times that, though what they have is counted seldom.
func TestSessionsOfAnAddress(t *testing.T) {
	t.Parallel()
	const limit = 40
	bubble(t, func(c *rendezvous.Config) { c.Limits.AddressSessions = limit }, func(t *testing.T, w *world) {
		begin := func(address string) (session.Key, rendezvous.Code) {
			id := newID()
			_, err := w.Handshake(t.Context(), rendezvous.Handshake{ID: id, App: app, Address: address})
			return id.Key(), code(t, err)
		}
		var begun []session.Key
		for i := range 6 * limit {
			key, refusal := begin(fmt.Sprintf("addr-net-n%d", i%(2*limit)))
			if refusal != "" {
				expect(t, refusal, rendezvous.QuotaExceeded)
				continue
			}
			begun = append(begun, key)
		}
		expect(t, len(begun), 4*limit)
		one, refusal := begin("addr-net2-n1")
		expect(t, refusal, "")
		for range limit - 1 {
			_, refusal = begin("addr-net2-n1")
			expect(t, refusal, "")
		}
		_, refusal = begin("addr-net2-n1")
		expect(t, refusal, rendezvous.QuotaExceeded)
		for address, ended := range map[string]session.Key{"addr-net-new": begun[0], "addr-net2-n1": one} {
			_, err := w.End(t.Context(), rendezvous.Command{Session: ended}, nil)
			expect(t, code(t, err), "")
			_, refusal = begin(address)
			expect(t, refusal, "")
		}
	})
}

// A session that expired makes way for the one that takes its place, also where its address has no room for one more.
func TestAnExpiredSessionMakesWayAtTheLimitOfItsAddress(t *testing.T) {
	t.Parallel()
	config := func(c *rendezvous.Config) { c.Limits.AddressSessions, c.PruneInterval = 1, 24*time.Hour }
	bubble(t, config, func(t *testing.T, w *world) {
		begin := func(side rendezvous.Side, replaces *session.ID) (*client, rendezvous.Code) {
			c := &client{w: w, id: newID(), app: app, side: side}
			c.key = c.id.Key()
			_, err := w.Handshake(t.Context(), rendezvous.Handshake{ID: c.id, App: app, Side: side, Address: "addr-x", Replaces: replaces})
			return c, code(t, err)
		}
		old, refusal := begin("a", nil)
		expect(t, refusal, "")
		old.allocate()
		time.Sleep(12 * time.Minute)
		expect(t, w.state(old.key), "closed: expired")
		_, refusal = begin("b", nil)
		expect(t, refusal, rendezvous.QuotaExceeded)
		_, refusal = begin("a", &old.id)
		expect(t, refusal, "")
	})
}
