package repotest

import (
	"time"

	"pgregory.net/rapid"

	"restante/rendezvous"
	"restante/session"
)

var sessions = []testCase{
	{"any session comes back as it was stored", func(h *harness) {
		h.forAllDrawn(func(t *rapid.T, h *harness) {
			s := drawSession(t)
			then := s
			then.Record = drawRecord(t)
			h.update(func(tx rendezvous.Tx) {
				h.must(tx.CreateSession(s, at(0)))
				wantEqual(h, "created", value(tx.Session(s.Key)), s)
				h.must(tx.UpdateSession(then, at(1)))
				want := then
				want.Kept, want.Next, want.Epoch = 0, 0, s.Epoch // these are the outbox's, and do not change
				wantEqual(h, "updated", value(tx.Session(s.Key)), want)
				h.must(tx.DeleteSession(s.Key))
			})
		})
	}},
	{"a missing session is not found", func(h *harness) {
		h.view(func(tx rendezvous.Tx) {
			_, err := tx.Session(key(1))
			h.wantNotFound("Session", err)
			_, err = tx.SideOwner(app, "a")
			h.wantNotFound("SideOwner", err)
			_, err = tx.LiveSession(app, "a")
			h.wantNotFound("LiveSession", err)
		})
		h.update(func(tx rendezvous.Tx) {
			h.must(tx.DeleteSession(key(1)))
			h.must(tx.EmptySession(key(1)))
			h.must(tx.MarkUsed(key(1)))
			h.must(tx.UpdateLastSeen([]session.Sighting{{Key: key(1), Seen: at(0)}}))
		})
		h.wantFailure("UpdateSession", func(tx rendezvous.Tx) error { return tx.UpdateSession(newSession(key(1), "a"), at(0)) })
	}},
	{"a side has one live session, and its owner is the one that began last", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			h.must(tx.CreateSession(newSession(key(9), "a"), at(0)))
			h.end(tx, key(9), at(1))
			h.must(tx.CreateSession(newSession(key(5), "a"), at(0)))
			h.must(tx.CreateSession(newSession(key(7), "b"), at(0)))
			other := newSession(key(8), "a")
			other.App = "another app"
			h.must(tx.CreateSession(other, at(0)))

			wantEqual(h, "owner", value(tx.SideOwner(app, "a")).Key, key(5))
			wantEqual(h, "live", value(tx.LiveSession(app, "a")).Key, key(5))
			h.end(tx, key(5), at(2))
			wantEqual(h, "owner, ended", value(tx.SideOwner(app, "a")).Key, key(5))
			_, err := tx.LiveSession(app, "a")
			h.wantNotFound("no live one", err)
			h.must(tx.DeleteSession(key(5)))
			wantEqual(h, "owner before", value(tx.SideOwner(app, "a")).Key, key(9))
		})
		h.wantFailure("a second live session", func(tx rendezvous.Tx) error {
			return tx.CreateSession(newSession(key(6), "b"), at(0))
		})
	}},
	{"emptying it deletes what only a live session has", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			h.session(tx, key(1))
			m := h.mailbox(tx)
			h.subscribe(tx, key(1), m.Key)
			h.must(tx.Complete(key(1), 0, rendezvous.Reply{}))
			for range 3 {
				value(tx.SendFrame(key(1), frame))
			}
			h.must(tx.EmptySession(key(1)))

			wantEqual(h, "ledger", value(tx.Session(key(1))).Ledger, session.Ledger{Wanted: 1, Kept: 3, Next: 3})
			wantEqual(h, "backlog", value(tx.Backlog(key(1))), rendezvous.Backlog{})
			wantEqual(h, "frames", value(tx.Frames(key(1), 0, 9, 99)), nil)
			wantEqual(h, "subscribers", value(tx.Subscribers(m.Key)), nil)
			_, err := tx.Reply(key(1), 0)
			h.wantNotFound("reply", err)
		})
	}},
	{"deleting it deletes everything of it", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			s := h.session(tx, key(1))
			m := h.mailbox(tx)
			h.subscribe(tx, key(1), m.Key)
			h.must(tx.Complete(key(1), 0, rendezvous.Reply{}))
			value(tx.SendFrame(key(1), frame))
			h.must(tx.DeleteSession(key(1)))
			_, err := tx.Session(key(1))
			h.wantNotFound("session", err)

			h.must(tx.CreateSession(s, at(0)))
			wantEqual(h, "begun anew", value(tx.Session(key(1))), s)
			wantEqual(h, "subscribers", value(tx.Subscribers(m.Key)), nil)
			_, err = tx.Reply(key(1), 0)
			h.wantNotFound("reply", err)
		})
	}},
	{"sessions that are due for the sweep come in order, after the cursor, up to the limit", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			for k, sweepAt := range map[byte]int64{1: 5, 2: 3, 3: 5, 4: 4, 5: 6} {
				s := newSession(key(k), rendezvous.Side([]byte{'a' + k}))
				h.must(tx.CreateSession(s, at(sweepAt)))
			}
			var got []session.Key
			var after rendezvous.SweepCursor
			for {
				some := value(tx.SessionsToSweep(at(5), after, 2))
				if len(some) == 0 {
					break
				}
				for _, c := range some {
					got = append(got, c.Key)
					after = c
				}
			}
			wantEqual(h, "order", got, []session.Key{key(2), key(4), key(1), key(3)})
			wantEqual(h, "cursor", after, rendezvous.SweepCursor{SweepAt: at(5), Key: key(3)})
		})
	}},
	{"live sessions that are to be asked for a token come in order, up to the limit", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			for k, askAt := range map[byte]int64{1: 5, 2: 3, 3: 4, 4: 6, 5: 1} {
				s := newSession(key(k), rendezvous.Side([]byte{'a' + k}))
				s.Token = session.Token{Expires: at(9), AskAt: at(askAt)}
				h.must(tx.CreateSession(s, at(0)))
			}
			h.session(tx, key(6)) // which has none
			h.end(tx, key(5), at(1))
			wantEqual(h, "due", value(tx.SessionsToAsk(at(5), 9)), []session.Key{key(2), key(3), key(1)})
			wantEqual(h, "at most two", value(tx.SessionsToAsk(at(5), 2)), []session.Key{key(2), key(3)})
			wantEqual(h, "before any", len(value(tx.SessionsToAsk(at(2), 9))), 0)
		})
	}},
	{"a sign of life only moves forward, and only for live sessions", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			h.session(tx, key(1))
			h.session(tx, key(2))
			h.end(tx, key(2), at(1))
			h.must(tx.UpdateLastSeen([]session.Sighting{
				{Key: key(2), Seen: at(5), SweepAt: at(50)},
				{Key: key(1), Seen: at(5), SweepAt: at(50)},
				{Key: key(3), Seen: at(5), SweepAt: at(50)},
			}))
			h.must(tx.UpdateLastSeen([]session.Sighting{{Key: key(1), Seen: at(4), SweepAt: at(40)}}))
			wantEqual(h, "living", value(tx.Session(key(1))).Seen, at(5))
			wantEqual(h, "ended", value(tx.Session(key(2))).Seen, at(0))
			wantEqual(h, "to sweep", value(tx.SessionsToSweep(at(99), rendezvous.SweepCursor{}, 9)),
				[]rendezvous.SweepCursor{{SweepAt: at(1), Key: key(2)}, {SweepAt: at(50), Key: key(1)}})
		})
	}},
}

var tombstones = []testCase{
	{"they are counted by address and in all, up to a limit, without live sessions", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			for i, address := range []string{"x", "x", "x", "y", "x", "y"} {
				k := key(byte(i + 1))
				s := newSession(k, rendezvous.Side(k.String()))
				s.Address = address
				h.must(tx.CreateSession(s, at(0)))
				if i < 4 {
					h.end(tx, k, at(0))
				}
			}
			wantEqual(h, "ended, x", value(tx.CountSessions("x", true, 9)), 3)
			wantEqual(h, "ended, x, at most 2", value(tx.CountSessions("x", true, 2)), 2)
			wantEqual(h, "live, x", value(tx.CountSessions("x", false, 9)), 1)
			wantEqual(h, "live, y", value(tx.CountSessions("y", false, 9)), 1)
			wantEqual(h, "live, z", value(tx.CountSessions("z", false, 9)), 0)
			wantEqual(h, "all", value(tx.CountTombstones(9)), 4)
			wantEqual(h, "all, at most 3", value(tx.CountTombstones(3)), 3)
		})
	}},
	{"the oldest is the one that ended first", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			for _, x := range []struct {
				k       byte
				address string
				ended   int64
			}{{1, "x", 7}, {2, "x", 5}, {3, "y", 3}, {5, "y", 1}, {4, "y", 1}, {6, "z", -1}} {
				s := newSession(key(x.k), rendezvous.Side(key(x.k).String()))
				s.Address = x.address
				h.must(tx.CreateSession(s, at(0)))
				if x.ended >= 0 {
					h.end(tx, key(x.k), at(x.ended))
				}
			}
			wantEqual(h, "of x", value(tx.OldestTombstone("x")), key(2))
			wantEqual(h, "of any", value(tx.OldestTombstone("")), key(4))
			_, err := tx.OldestTombstone("z")
			h.wantNotFound("of z", err)
		})
	}},
}

// drawSession draws a new session.
func drawSession(t *rapid.T) rendezvous.Session {
	s := rendezvous.Session{
		App: rendezvous.AppID(text.Draw(t, "app")), Side: rendezvous.Side(text.Draw(t, "side")),
		Address: text.Draw(t, "address"), Began: drawTime(t, "began"),
		Record: drawRecord(t),
	}
	copy(s.Key[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
	s.Ledger = session.Ledger{}
	return s
}

func drawRecord(t *rapid.T) session.Record {
	r := session.Record{
		Ledger: session.Ledger{Wanted: drawSeq(t, "wanted"), Kept: drawSeq(t, "kept"), Next: session.Seq(1<<53 - 1)},
		Epoch:  session.Epoch(rapid.Int64Range(1, 1<<53-1).Draw(t, "epoch")),
		Seen:   drawTime(t, "seen"),
		Grace:  time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "grace")) * time.Millisecond,
		Used:   rapid.Bool().Draw(t, "used"),
	}
	if rapid.Bool().Draw(t, "ended") {
		r.Ended = &session.Ending{
			At:     drawTime(t, "ended at"),
			Reason: rapid.SampledFrom([]session.Reason{session.Expired, session.Replaced, session.Deleted, session.Overflow, session.Removed, session.TokenExpired}).Draw(t, "reason"),
		}
		if r.Ended.Reason == session.Removed {
			r.Ended.Text = text.Draw(t, "text")
		}
	}
	switch lives := r.Ended == nil; {
	case lives && rapid.Bool().Draw(t, "token"):
		r.Token.Expires = drawTime(t, "expires")
		if rapid.Bool().Draw(t, "to be asked") {
			r.Token.AskAt = drawTime(t, "ask at")
		}
	case !lives && r.Ended.Reason == session.TokenExpired:
		r.Token.Expires = drawTime(t, "expired")
	}
	return r
}

func drawSeq(t *rapid.T, what string) session.Seq {
	return session.Seq(rapid.Int64Range(0, int64(session.Seq(1<<53-1))).Draw(t, what))
}

func drawTime(t *rapid.T, what string) time.Time {
	return time.UnixMilli(rapid.Int64Range(0, 1<<45).Draw(t, what)).UTC()
}

// text draws a text that every engine can store.
var text = rapid.String().Filter(rendezvous.Storable)
