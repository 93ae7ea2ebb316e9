package repotest

import (
	"time"

	"restante/rendezvous"
	"restante/session"
)

var operators = []testCase{
	{"live sessions are listed by app and address, the latest first", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			for i, one := range []struct {
				app     rendezvous.AppID
				address string
			}{{"a", "addr-1"}, {"a", "addr-2"}, {"b", "addr-1"}, {"b", "addr-1"}} {
				s := h.session(tx, session.Key{byte(i + 1)})
				h.must(tx.DeleteSession(s.Key))
				s.App, s.Address, s.Side, s.Began = one.app, one.address, rendezvous.Side(rune('a'+i)), at(int64(i))
				if i == 3 {
					s.Ended = &session.Ending{At: at(9), Reason: session.Removed, Text: "goodbye"}
				}
				h.must(tx.CreateSession(s, at(9)))
			}
			for name, tt := range map[string]struct {
				f    rendezvous.SessionFilter
				want []byte // the first bytes of the keys
			}{
				"all":             {rendezvous.SessionFilter{Limit: 9}, []byte{3, 2, 1}},
				"two":             {rendezvous.SessionFilter{Limit: 2}, []byte{3, 2}},
				"of an app":       {rendezvous.SessionFilter{App: "a", Limit: 9}, []byte{2, 1}},
				"from an address": {rendezvous.SessionFilter{Address: "addr-1", Limit: 9}, []byte{3, 1}},
				"both":            {rendezvous.SessionFilter{App: "a", Address: "addr-1", Limit: 9}, []byte{1}},
			} {
				var got []byte
				for _, s := range value(tx.LiveSessions(tt.f)) {
					got = append(got, s.Key[0])
				}
				wantEqual(h, name, got, tt.want)
			}
		})
	}},
	{"usage is summed up by day, app and result", func(h *harness) {
		day := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
		h.update(func(tx rendezvous.Tx) {
			for i := range 100 {
				u := rendezvous.Usage{App: "a", Started: day.Add(time.Duration(i) * time.Minute), Total: time.Duration(i+1) * time.Second, Result: rendezvous.ResultLonely}
				if i >= 90 {
					u.Result, u.Waiting = rendezvous.ResultHappy, new(time.Duration(i)*time.Millisecond)
				}
				h.must(tx.RetireMailbox(h.mailbox(tx), u))
			}
			h.must(tx.RetireMailbox(h.mailbox(tx), rendezvous.Usage{App: "a", Started: day.Add(-time.Second), Result: rendezvous.ResultQuiet}))
		})
		h.view(func(tx rendezvous.Tx) {
			wantEqual(h, "groups", value(tx.UsageSince(day)), []rendezvous.UsageGroup{
				{
					Kind: rendezvous.KindMailbox, Day: day, App: "a", Result: rendezvous.ResultHappy, Count: 10,
					Waiting: rendezvous.Quantiles{Count: 10, Half: 94 * time.Millisecond, Most: 98 * time.Millisecond, NearlyAll: 99 * time.Millisecond},
					Total:   rendezvous.Quantiles{Count: 10, Half: 95 * time.Second, Most: 99 * time.Second, NearlyAll: 100 * time.Second},
				},
				{
					Kind: rendezvous.KindMailbox, Day: day, App: "a", Result: rendezvous.ResultLonely, Count: 90,
					Total: rendezvous.Quantiles{Count: 90, Half: 45 * time.Second, Most: 81 * time.Second, NearlyAll: 90 * time.Second},
				},
			})
		})
	}},
	{"what ended is counted, also after its records are deleted", func(h *harness) {
		ended := func(count int64, kind rendezvous.Kind, result rendezvous.Result) rendezvous.UsageTotal {
			return rendezvous.UsageTotal{Kind: kind, Result: result, Count: count}
		}
		retire := func(tx rendezvous.Tx, started int64, result rendezvous.Result) {
			h.must(tx.RetireMailbox(h.mailbox(tx), rendezvous.Usage{App: "a", Started: at(started), Total: time.Millisecond, Result: result}))
		}
		totals := func(tx rendezvous.Tx) []rendezvous.UsageTotal { return value(tx.UsageTotals()).List() }
		h.update(func(tx rendezvous.Tx) {
			retire(tx, 1, rendezvous.ResultHappy)
			retire(tx, 2, rendezvous.ResultHappy)
			retire(tx, 3, rendezvous.ResultScary)
			m := h.mailbox(tx)
			h.must(tx.RetireNameplate(h.nameplate(tx, "1", m), rendezvous.Usage{App: "a", Started: at(1), Result: rendezvous.ResultQuiet}))
		})
		all := []rendezvous.UsageTotal{
			ended(2, rendezvous.KindMailbox, rendezvous.ResultHappy), ended(1, rendezvous.KindMailbox, rendezvous.ResultScary),
			ended(1, rendezvous.KindNameplate, rendezvous.ResultQuiet),
		}
		h.update(func(tx rendezvous.Tx) {
			wantEqual(h, "not counted yet", totals(tx), all)
			wantEqual(h, "deleted before they are counted", value(tx.DeleteStatistics(at(9), 9)), 0)
			wantEqual(h, "one of each kind", value(tx.CountUsage(1)), 2)
			wantEqual(h, "half counted", totals(tx), all)
			wantEqual(h, "the others", value(tx.CountUsage(9)), 2)
			wantEqual(h, "none is left", value(tx.CountUsage(9)), 0)
			wantEqual(h, "ended lately", value(tx.UsageEndedSince(at(3))).List(), []rendezvous.UsageTotal{
				ended(1, rendezvous.KindMailbox, rendezvous.ResultHappy), ended(1, rendezvous.KindMailbox, rendezvous.ResultScary),
			})
			wantEqual(h, "deleted", value(tx.DeleteStatistics(at(9), 9)), 4)
			retire(tx, 5, rendezvous.ResultHappy)
			all[0].Count++
			wantEqual(h, "afterwards", totals(tx), all)
		})
	}},
	{"records that began at the same time are counted and deleted one by one", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			for range 3 {
				m := h.mailbox(tx)
				h.must(tx.RetireNameplate(h.nameplate(tx, "1", m), rendezvous.Usage{App: "a", Started: at(1), Result: rendezvous.ResultQuiet}))
				h.must(tx.RetireMailbox(m, rendezvous.Usage{App: "a", Started: at(1), Result: rendezvous.ResultQuiet}))
				h.must(tx.RecordClients([]rendezvous.ClientVersion{{App: "a", Connected: at(1)}}))
			}
			wantEqual(h, "two of each kind", value(tx.CountUsage(2)), 4)
			wantEqual(h, "of each kind, one that is counted and one client", value(tx.DeleteStatistics(at(2), 1)), 3)
			wantEqual(h, "the others that are counted, and two clients", value(tx.DeleteStatistics(at(2), 9)), 4)
			wantEqual(h, "the last", value(tx.CountUsage(2)), 2)
			wantEqual(h, "the last, too", value(tx.DeleteStatistics(at(2), 9)), 2)
			wantEqual(h, "in all", value(tx.UsageTotals()).List(), []rendezvous.UsageTotal{
				{Kind: rendezvous.KindMailbox, Result: rendezvous.ResultQuiet, Count: 3},
				{Kind: rendezvous.KindNameplate, Result: rendezvous.ResultQuiet, Count: 3},
			})
		})
	}},
	{"servers are recorded, and forgotten", func(h *harness) {
		one := rendezvous.Server{ID: "one", Version: "1", Started: at(1), Seen: at(2), Skew: -time.Second}
		two := rendezvous.Server{ID: "two", Version: "2", Started: at(1), Seen: at(3), Pruned: at(2)}
		h.update(func(tx rendezvous.Tx) {
			h.must(tx.RecordServer(one, at(0)))
			h.must(tx.RecordServer(two, at(0)))
			one.Seen, one.Skew, one.Pruned = at(4), time.Minute, at(3)
			h.must(tx.RecordServer(one, at(3)))
		})
		h.view(func(tx rendezvous.Tx) {
			wantEqual(h, "both", value(tx.Servers(9)), []rendezvous.Server{one, two})
			wantEqual(h, "the last", value(tx.Servers(1)), []rendezvous.Server{one})
		})
		h.update(func(tx rendezvous.Tx) { h.must(tx.RecordServer(one, at(4))) })
		h.view(func(tx rendezvous.Tx) { wantEqual(h, "one", value(tx.Servers(9)), []rendezvous.Server{one}) })
	}},
	{"client versions are counted, the most frequent first", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			for i, version := range []string{"1", "2", "2", "", "0"} {
				h.must(tx.RecordClients([]rendezvous.ClientVersion{{App: "a", Connected: at(int64(i)), Implementation: "x", Version: version}}))
			}
			wantEqual(h, "versions", value(tx.VersionsSince(at(0), 2)), []rendezvous.VersionCount{
				{App: "a", Implementation: "x", Version: "2", Clients: 2}, {App: "a", Implementation: "x", Version: "", Clients: 1},
			})
			wantEqual(h, "later ones", len(value(tx.VersionsSince(at(4), 9))), 1)
		})
	}},
}
