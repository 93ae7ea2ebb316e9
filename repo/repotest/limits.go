package repotest

import (
	"bytes"
	"time"

	"restante/rendezvous"
	"restante/session"
)

var limits = []testCase{
	{"the claims from an address or a network that stand are counted", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			m := h.mailbox(tx)
			for i, address := range []string{"addr-n", "addr-n-a", "addr-n-a", "addr-n-b", "addr-nn-a", "addr-m"} {
				n := rendezvous.Nameplate{App: app, ID: rendezvous.NameplateID(rune('1' + i)), Mailbox: m.Key, Created: at(0), StaleAt: at(0)}
				n, _ = n.Claim("a", address, at(0))
				h.must(tx.CreateNameplate(n))
			}
			released := value(tx.Nameplate(app, "6"))
			h.must(tx.UpdateNameplate(released.Release("a", at(1))))
			for address, want := range map[string]int{"addr-n": 4, "addr-n-a": 2, "addr-n-b": 1, "addr-m": 0} {
				wantEqual(h, address, value(tx.CountClaimsFrom(address, 9)), want)
			}
			wantEqual(h, "up to two", value(tx.CountClaimsFrom("addr-n", 2)), 2)
		})
	}},
	{"the sessions of a network are counted", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			for i, address := range []string{"addr-n-a", "addr-n-b", "addr-nn-a"} {
				s := h.session(tx, session.Key{byte(i + 1)})
				h.must(tx.DeleteSession(s.Key))
				s.Address = address
				h.must(tx.CreateSession(s, at(9)))
			}
			wantEqual(h, "in the network", value(tx.CountSessions("addr-n", false, 9)), 2)
			wantEqual(h, "of the address", value(tx.CountSessions("addr-n-a", false, 9)), 1)
		})
	}},
	{"what is stored is summed up by address", func(h *harness) {
		sums := func() map[string]int64 {
			of := map[string]int64{}
			h.view(func(tx rendezvous.Tx) {
				for _, s := range value(tx.StoredBytes()) {
					of[s.Address] += s.Bytes
				}
			})
			return of
		}
		wantEqual(h, "in the beginning", sums(), map[string]int64{})
		var m, n rendezvous.Mailbox
		h.update(func(tx rendezvous.Tx) {
			m, n = h.add(tx, h.mailbox(tx), "body"), h.mailbox(tx)
			h.must(tx.CountBytes(m.Key, rendezvous.AddressBytes{Address: "addr-a", Bytes: 1}))
			h.must(tx.CountBytes(m.Key, rendezvous.AddressBytes{Address: "addr-a", Bytes: 2}))
			h.must(tx.CountBytes(m.Key, rendezvous.AddressBytes{Bytes: 4}))
			h.must(tx.CountBytes(n.Key, rendezvous.AddressBytes{Address: "addr-a", Bytes: 8}))
			_, _, err := tx.ReserveReply([32]byte{1}, [32]byte{2}, tx.Now().Add(time.Hour))
			h.must(err)
			h.must(tx.RecordReply([32]byte{1}, []byte("{}"), rendezvous.AddressBytes{Address: "addr-b", Bytes: 16}))
		})
		wantEqual(h, "then", sums(), map[string]int64{"": 4, "addr-a": 11, "addr-b": 16})
		h.update(func(tx rendezvous.Tx) {
			s := h.session(tx, session.Key{1})
			value(tx.SendMessages(s.Key, m.Key, 1, 1))
			for _, gone := range []rendezvous.Mailbox{m, n} {
				h.must(tx.RetireMailbox(gone, usage))
			}
			wantEqual(h, "of a log that is kept", len(value(tx.ReleaseBytes(m.Key))), 0)
			wantEqual(h, "of a log that is gone", value(tx.ReleaseBytes(n.Key)), []rendezvous.AddressBytes{{Address: "addr-a", Bytes: 8}})
			h.must(tx.EmptySession(s.Key))
			wantEqual(h, "the log is gone", value(tx.DeleteRetiredLog(m.Key)), true)
			wantEqual(h, "of the log", len(value(tx.ReleaseBytes(m.Key))), 2)
		})
		wantEqual(h, "in the end", sums(), map[string]int64{"addr-b": 16})
	}},
	{"a number that rests is taken until then", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			now := tx.Now()
			h.nameplate(tx, "5", h.mailbox(tx))
			h.must(tx.RestNumber(app, 7, now))
			h.must(tx.RestNumber(app, 7, now.Add(time.Hour)))
			h.must(tx.RestNumber(app, 8, now))
			h.must(tx.RestNumber("other", 9, now.Add(time.Hour)))
			wantEqual(h, "taken", value(tx.TakenNumbers(app, 1, 9)), []int{5, 7})
			wantEqual(h, "taken of some", value(tx.TakenOf(app, []int{7, 8, 9})), []int{7})
			wantEqual(h, "forgotten", value(tx.DeleteRested(now, 9)), 1)
			wantEqual(h, "forgotten later", value(tx.DeleteRested(now.Add(time.Hour), 1)), 1)
			wantEqual(h, "forgotten last", value(tx.DeleteRested(now.Add(time.Hour), 9)), 1)
			wantEqual(h, "taken in the end", value(tx.TakenNumbers(app, 1, 9)), []int{5})
		})
	}},
	{"a day has one key for addresses, which is forgotten two days later", func(h *harness) {
		first, second := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
		key := func(day int64, fresh []byte) (got []byte) {
			h.update(func(tx rendezvous.Tx) { got = value(tx.AddressKey(day, fresh)) })
			return got
		}
		wantEqual(h, "the first", key(7, first), first)
		wantEqual(h, "the same", key(7, second), first)
		wantEqual(h, "the next day's", key(8, second), second)
		wantEqual(h, "still the same", key(7, second), first)
		wantEqual(h, "two days later", key(9, first), first)
		wantEqual(h, "it is made again", key(7, second), second)
	}},
	{"usage records and client versions are deleted, the oldest first", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			m := h.mailbox(tx)
			h.must(tx.RetireNameplate(h.nameplate(tx, "1", m), rendezvous.Usage{App: app, Started: at(1), Result: rendezvous.ResultQuiet}))
			h.must(tx.RetireMailbox(m, rendezvous.Usage{App: app, Started: at(1), Total: at(2).Sub(at(1)), Result: rendezvous.ResultQuiet}))
			h.must(tx.RecordClients([]rendezvous.ClientVersion{{App: app, Connected: at(3)}, {App: app, Connected: at(4)}}))
			wantEqual(h, "counted", value(tx.CountUsage(9)), 2)
			wantEqual(h, "too young", value(tx.DeleteStatistics(at(1), 9)), 0)
			wantEqual(h, "what ended, and not what only began", value(tx.DeleteStatistics(at(2), 9)), 1)
			wantEqual(h, "old", value(tx.DeleteStatistics(at(4), 9)), 2)
			wantEqual(h, "the last", value(tx.DeleteStatistics(at(5), 9)), 1)
		})
	}},
	{"the oldest statistics of a kind are counted and deleted, also those that began at one time", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			retire := func(started int64, result rendezvous.Result) {
				m := h.mailbox(tx)
				h.must(tx.RetireNameplate(h.nameplate(tx, "1", m), rendezvous.Usage{App: app, Started: at(started), Result: result}))
				h.must(tx.RetireMailbox(m, rendezvous.Usage{App: app, Started: at(started), Result: result}))
				h.must(tx.RecordClients([]rendezvous.ClientVersion{{App: app, Connected: at(started), Version: string(result)}}))
			}
			retire(2, rendezvous.ResultHappy)
			retire(1, rendezvous.ResultQuiet)
			retire(1, rendezvous.ResultQuiet)
			retire(2, rendezvous.ResultHappy)
			wantEqual(h, "all but one of each kind are counted", value(tx.CountUsage(3)), 6)
			for _, kind := range rendezvous.StatisticKinds {
				what := func(n string) string { return n + " of a " + string(kind) }
				wantEqual(h, what("all"), value(tx.CountStatistics(kind, 9)), 4)
				wantEqual(h, what("as many as are asked for"), value(tx.CountStatistics(kind, 3)), 3)
				wantEqual(h, what("one of the oldest"), value(tx.DeleteOldestStatistics(kind, 1)), 1)
				wantEqual(h, what("the other one"), value(tx.DeleteOldestStatistics(kind, 1)), 1)
				wantEqual(h, what("left"), value(tx.CountStatistics(kind, 9)), 2)
			}
			ended := value(tx.UsageEndedSince(at(0))).List()
			wantEqual(h, "those that began last", ended, []rendezvous.UsageTotal{
				{Kind: rendezvous.KindMailbox, Result: rendezvous.ResultHappy, Count: 2},
				{Kind: rendezvous.KindNameplate, Result: rendezvous.ResultHappy, Count: 2},
			})
			wantEqual(h, "clients that came last", value(tx.VersionsSince(at(0), 9)), []rendezvous.VersionCount{{App: app, Version: string(rendezvous.ResultHappy), Clients: 2}})
			wantEqual(h, "a nameplate that is counted", value(tx.DeleteOldestStatistics(rendezvous.KindNameplate, 9)), 1)
			wantEqual(h, "a mailbox that is counted", value(tx.DeleteOldestStatistics(rendezvous.KindMailbox, 9)), 1)
			wantEqual(h, "the other clients", value(tx.DeleteOldestStatistics(rendezvous.KindClient, 9)), 2)
			wantEqual(h, "in all", value(tx.UsageTotals()).List(), []rendezvous.UsageTotal{
				{Kind: rendezvous.KindMailbox, Result: rendezvous.ResultHappy, Count: 2},
				{Kind: rendezvous.KindMailbox, Result: rendezvous.ResultQuiet, Count: 2},
				{Kind: rendezvous.KindNameplate, Result: rendezvous.ResultHappy, Count: 2},
				{Kind: rendezvous.KindNameplate, Result: rendezvous.ResultQuiet, Count: 2},
			})
		})
	}},
}
