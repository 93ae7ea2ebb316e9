package repotest

import (
	"time"

	"pgregory.net/rapid"

	"restante/rendezvous"
	"restante/session"
)

var sessions = []test{
	{"it comes back as it was stored, whatever it is", func(w *world) {
		w.forAll(func(t *rapid.T, w *world) {
			s := drawSession(t)
			then := s
			then.Record = drawRecord(t)
			w.update(func(tx rendezvous.Tx) {
				w.must(tx.CreateSession(s, at(0)))
				equal(w, "created", ok(tx.Session(s.Key)), s)
				w.must(tx.UpdateSession(then, at(1)))
				want := then
				want.Kept, want.Next = 0, 0 // the outbox's to say
				equal(w, "updated", ok(tx.Session(s.Key)), want)
				w.must(tx.DeleteSession(s.Key))
			})
		})
	}},
	{"one that is not there is not found", func(w *world) {
		w.view(func(tx rendezvous.Tx) {
			_, err := tx.Session(key(1))
			w.missing("Session", err)
			_, err = tx.SideOwner(app, "a")
			w.missing("SideOwner", err)
			_, err = tx.LiveSession(app, "a")
			w.missing("LiveSession", err)
		})
		w.update(func(tx rendezvous.Tx) {
			w.missing("UpdateSession", tx.UpdateSession(newSession(key(1), "a"), at(0)))
			w.must(tx.DeleteSession(key(1)))
			w.must(tx.EmptySession(key(1)))
			w.must(tx.MarkUsed(key(1)))
			w.must(tx.UpdateLastSeen([]session.Sighting{{Key: key(1), Seen: at(0)}}))
		})
	}},
	{"a side has one live session, and its owner is the one that began last", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			w.must(tx.CreateSession(newSession(key(9), "a"), at(0)))
			w.end(tx, key(9), at(1))
			w.must(tx.CreateSession(newSession(key(5), "a"), at(0)))
			w.must(tx.CreateSession(newSession(key(7), "b"), at(0)))
			other := newSession(key(8), "a")
			other.App = "another app"
			w.must(tx.CreateSession(other, at(0)))

			equal(w, "owner", ok(tx.SideOwner(app, "a")).Key, key(5))
			equal(w, "live", ok(tx.LiveSession(app, "a")).Key, key(5))
			w.end(tx, key(5), at(2))
			equal(w, "owner, ended", ok(tx.SideOwner(app, "a")).Key, key(5))
			_, err := tx.LiveSession(app, "a")
			w.missing("no live one", err)
			w.must(tx.DeleteSession(key(5)))
			equal(w, "owner before", ok(tx.SideOwner(app, "a")).Key, key(9))
		})
		w.refused("a second live session", func(tx rendezvous.Tx) error {
			return tx.CreateSession(newSession(key(6), "b"), at(0))
		})
	}},
	{"to empty it takes what only a living one has", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			w.session(tx, key(1))
			m := w.mailbox(tx)
			ok(tx.Subscribe(key(1), m.Key))
			w.must(tx.Complete(key(1), 0, rendezvous.Reply{}))
			for range 3 {
				ok(tx.Send(key(1), frame))
			}
			w.must(tx.EmptySession(key(1)))

			equal(w, "ledger", ok(tx.Session(key(1))).Ledger, session.Ledger{Wanted: 1, Kept: 3, Next: 3})
			equal(w, "backlog", ok(tx.Backlog(key(1))), rendezvous.Backlog{})
			equal(w, "frames", ok(tx.Frames(key(1), 0, 9, 99)), nil)
			equal(w, "subscribers", ok(tx.Subscribers(m.Key)), nil)
			_, err := tx.Reply(key(1), 0)
			w.missing("reply", err)
		})
	}},
	{"to delete it takes everything of it", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			s := w.session(tx, key(1))
			m := w.mailbox(tx)
			ok(tx.Subscribe(key(1), m.Key))
			w.must(tx.Complete(key(1), 0, rendezvous.Reply{}))
			ok(tx.Send(key(1), frame))
			w.must(tx.DeleteSession(key(1)))
			_, err := tx.Session(key(1))
			w.missing("session", err)

			w.must(tx.CreateSession(s, at(0)))
			equal(w, "begun anew", ok(tx.Session(key(1))), s)
			equal(w, "subscribers", ok(tx.Subscribers(m.Key)), nil)
			_, err = tx.Reply(key(1), 0)
			w.missing("reply", err)
		})
	}},
	{"those to sweep come in order, from the cursor on, up to the limit", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			for k, sweepAt := range map[byte]int64{1: 5, 2: 3, 3: 5, 4: 4, 5: 6} {
				s := newSession(key(k), rendezvous.Side([]byte{'a' + k}))
				w.must(tx.CreateSession(s, at(sweepAt)))
			}
			var got []session.Key
			var after rendezvous.SweepCursor
			for {
				some := ok(tx.SessionsToSweep(at(5), after, 2))
				if len(some) == 0 {
					break
				}
				for _, c := range some {
					got = append(got, c.Key)
					after = c
				}
			}
			equal(w, "order", got, []session.Key{key(2), key(4), key(1), key(3)})
			equal(w, "cursor", after, rendezvous.SweepCursor{SweepAt: at(5), Key: key(3)})
		})
	}},
	{"a sign of life only moves forward, and only for the living", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			w.session(tx, key(1))
			w.session(tx, key(2))
			w.end(tx, key(2), at(1))
			w.must(tx.UpdateLastSeen([]session.Sighting{
				{Key: key(2), Seen: at(5), SweepAt: at(50)},
				{Key: key(1), Seen: at(5), SweepAt: at(50)},
				{Key: key(3), Seen: at(5), SweepAt: at(50)},
			}))
			w.must(tx.UpdateLastSeen([]session.Sighting{{Key: key(1), Seen: at(4), SweepAt: at(40)}}))
			equal(w, "living", ok(tx.Session(key(1))).Seen, at(5))
			equal(w, "ended", ok(tx.Session(key(2))).Seen, at(0))
			equal(w, "to sweep", ok(tx.SessionsToSweep(at(99), rendezvous.SweepCursor{}, 9)),
				[]rendezvous.SweepCursor{{SweepAt: at(1), Key: key(2)}, {SweepAt: at(50), Key: key(1)}})
		})
	}},
}

var tombstones = []test{
	{"they are counted by address and in all, up to a limit, apart from the living", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			for i, address := range []string{"x", "x", "x", "y", "x", "y"} {
				k := key(byte(i + 1))
				s := newSession(k, rendezvous.Side(k.String()))
				s.Address = address
				w.must(tx.CreateSession(s, at(0)))
				if i < 4 {
					w.end(tx, k, at(0))
				}
			}
			equal(w, "ended, x", ok(tx.CountSessions("x", true, 9)), 3)
			equal(w, "ended, x, at most 2", ok(tx.CountSessions("x", true, 2)), 2)
			equal(w, "live, x", ok(tx.CountSessions("x", false, 9)), 1)
			equal(w, "live, y", ok(tx.CountSessions("y", false, 9)), 1)
			equal(w, "live, z", ok(tx.CountSessions("z", false, 9)), 0)
			equal(w, "all", ok(tx.CountTombstones(9)), 4)
			equal(w, "all, at most 3", ok(tx.CountTombstones(3)), 3)
		})
	}},
	{"the oldest is the one that ended first", func(w *world) {
		w.update(func(tx rendezvous.Tx) {
			for _, x := range []struct {
				k       byte
				address string
				ended   int64
			}{{1, "x", 7}, {2, "x", 5}, {3, "y", 3}, {5, "y", 1}, {4, "y", 1}, {6, "z", -1}} {
				s := newSession(key(x.k), rendezvous.Side(key(x.k).String()))
				s.Address = x.address
				w.must(tx.CreateSession(s, at(0)))
				if x.ended >= 0 {
					w.end(tx, key(x.k), at(x.ended))
				}
			}
			equal(w, "of x", ok(tx.OldestTombstone("x")), key(2))
			equal(w, "of any", ok(tx.OldestTombstone("")), key(4))
			_, err := tx.OldestTombstone("z")
			w.missing("of z", err)
		})
	}},
}

// drawSession is any live session that is new.
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
		Ledger: session.Ledger{Wanted: drawSeq(t, "wanted"), Kept: drawSeq(t, "kept"), Next: session.MaxSeq},
		Epoch:  session.Epoch(rapid.Int64Range(1, 1<<53-1).Draw(t, "epoch")),
		Seen:   drawTime(t, "seen"),
		Grace:  time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "grace")) * time.Millisecond,
		Used:   rapid.Bool().Draw(t, "used"),
	}
	if rapid.Bool().Draw(t, "ended") {
		r.Ended = &session.Ending{
			At:     drawTime(t, "ended at"),
			Reason: rapid.SampledFrom([]session.Reason{session.Expired, session.Replaced, session.Deleted, session.Overflow}).Draw(t, "reason"),
		}
	}
	return r
}

func drawSeq(t *rapid.T, what string) session.Seq {
	return session.Seq(rapid.Int64Range(0, int64(session.MaxSeq)).Draw(t, what))
}

func drawTime(t *rapid.T, what string) time.Time {
	return time.UnixMilli(rapid.Int64Range(0, 1<<45).Draw(t, what)).UTC()
}

// text is any text that every engine can keep.
var text = rapid.String().Filter(rendezvous.Storable)
