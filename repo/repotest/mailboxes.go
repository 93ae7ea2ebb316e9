package repotest

import (
	"errors"
	"time"

	"pgregory.net/rapid"

	"restante/rendezvous"
)

var mailboxes = []testCase{
	{"any mailbox comes back as it was stored", func(h *harness) {
		h.forAllDrawn(func(t *rapid.T, h *harness) {
			first, then := drawMailbox(t), drawMailbox(t)
			then.App, then.ID, then.Created = first.App, first.ID, first.Created
			if len(then.Sides) < len(first.Sides) {
				then.Sides = first.Sides // a side is never deleted
			}
			h.update(func(tx rendezvous.Tx) {
				m := value(tx.CreateMailbox(first))
				want := first
				want.Key = m.Key
				wantEqual(h, "told", m, want)
				wantEqual(h, "by key", value(tx.MailboxByKey(m.Key)), want)
				want = then
				want.Key = m.Key
				h.must(tx.UpdateMailbox(want))
				wantEqual(h, "updated, by id", value(tx.Mailbox(m.App, m.ID)), want)
				h.must(tx.RetireMailbox(want, usage))
			})
		})
	}},
	{"a missing mailbox is not found", func(h *harness) {
		h.view(func(tx rendezvous.Tx) {
			_, err := tx.Mailbox(app, "x")
			h.wantNotFound("Mailbox", err)
			_, err = tx.MailboxByKey(1)
			h.wantNotFound("MailboxByKey", err)
		})
		h.wantFailure("UpdateMailbox", func(tx rendezvous.Tx) error { return tx.UpdateMailbox(rendezvous.Mailbox{Key: 1, TTL: time.Second}) })
		h.wantFailure("RetireMailbox", func(tx rendezvous.Tx) error { return tx.RetireMailbox(rendezvous.Mailbox{Key: 1}, usage) })
	}},
	{"each app has its own ids", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			a := value(tx.CreateMailbox(rendezvous.NewMailbox("a", "x", time.Minute, at(0))))
			b := value(tx.CreateMailbox(rendezvous.NewMailbox("b", "x", time.Minute, at(0))))
			wantEqual(h, "a's", value(tx.Mailbox("a", "x")).Key, a.Key)
			wantEqual(h, "b's", value(tx.Mailbox("b", "x")).Key, b.Key)
		})
		h.wantFailure("the same once more", func(tx rendezvous.Tx) error {
			_, err := tx.CreateMailbox(rendezvous.NewMailbox("a", "x", time.Minute, at(0)))
			return err
		})
	}},
	{"a side that closed is kept, and one that enters again is as new", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			m := h.mailbox(tx, "a", "b")
			m, _ = m.Close("a", rendezvous.Scary, at(5))
			h.must(tx.UpdateMailbox(m))
			m, _ = m.Enter("a", at(6))
			h.must(tx.UpdateMailbox(m))
			wantEqual(h, "as new", value(tx.MailboxByKey(m.Key)), m)
			without := m
			without.Sides = nil
			h.must(tx.UpdateMailbox(without))
			wantEqual(h, "kept", value(tx.MailboxByKey(m.Key)), m)
		})
	}},
	{"a side's mailboxes are those that it is in, in the order of their keys", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			both := h.mailbox(tx, "b", "a")
			h.mailbox(tx, "b")
			own := h.mailbox(tx, "a")
			left := h.mailbox(tx, "a")
			left, _ = left.Close("a", rendezvous.Happy, at(1))
			h.must(tx.UpdateMailbox(left))
			wantEqual(h, "all", value(tx.MailboxesOf(app, "a")), []rendezvous.Mailbox{both, own})
			wantEqual(h, "how many", value(tx.CountMailboxesOf(app, "a")), 2)
			wantEqual(h, "elsewhere", value(tx.MailboxesOf("other", "a")), nil)
			wantEqual(h, "how many elsewhere", value(tx.CountMailboxesOf("other", "a")), 0)
		})
	}},
	{"retiring deletes everything of it, and its key is never used again", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			h.session(tx, key(1))
			m := h.add(tx, h.mailbox(tx, "a"), "body")
			h.subscribe(tx, key(1), m.Key)
			h.must(tx.RetireMailbox(m, usage))
			_, err := tx.Mailbox(m.App, m.ID)
			h.wantNotFound("by id", err)

			again := value(tx.CreateMailbox(rendezvous.NewMailbox(m.App, m.ID, time.Minute, at(0))))
			if again.Key <= m.Key {
				h.Errorf("key %d after %d", again.Key, m.Key)
			}
			wantEqual(h, "sides", value(tx.Mailbox(m.App, m.ID)).Sides, nil)
			for _, k := range []rendezvous.MailboxKey{m.Key, again.Key} {
				wantEqual(h, "messages", value(tx.Messages(k, 0, 9, 99)), nil)
				wantEqual(h, "subscribers", value(tx.Subscribers(k)), nil)
			}
		})
	}},
	{"it cannot be retired while a nameplate points to it", func(h *harness) {
		var m rendezvous.Mailbox
		h.update(func(tx rendezvous.Tx) {
			m = h.mailbox(tx)
			h.nameplate(tx, "1", m)
		})
		h.wantFailure("to retire it", func(tx rendezvous.Tx) error { return tx.RetireMailbox(m, usage) })
	}},
	{"stale mailboxes come in order, after the cursor, up to the limit", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			var keys []rendezvous.MailboxKey
			for _, staleAt := range []int64{5, 3, 5, 4, 6} {
				m := h.mailbox(tx)
				m.StaleAt = at(staleAt)
				h.must(tx.UpdateMailbox(m))
				keys = append(keys, m.Key)
			}
			var got []rendezvous.MailboxKey
			var after rendezvous.MailboxCursor
			for {
				some := value(tx.StaleMailboxes(at(5), after, 2))
				if len(some) == 0 {
					break
				}
				for _, c := range some {
					got = append(got, c.Key)
					after = c
				}
			}
			wantEqual(h, "order", got, []rendezvous.MailboxKey{keys[1], keys[3], keys[0], keys[2]})
			wantEqual(h, "cursor", after, rendezvous.MailboxCursor{StaleAt: at(5), Key: keys[2]})
		})
	}},
	{"the time at which sockets held it only moves forward", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			m, other := h.mailbox(tx), h.mailbox(tx)
			h.must(tx.SocketsSeen([]rendezvous.MailboxKey{m.Key, 999}, at(5)))
			h.must(tx.SocketsSeen([]rendezvous.MailboxKey{m.Key}, at(4)))
			m.SocketSeen = at(5)
			wantEqual(h, "held", value(tx.MailboxByKey(m.Key)), m)
			m, _ = m.Open("a", at(9))
			h.must(tx.UpdateMailbox(m))
			wantEqual(h, "held and changed", value(tx.MailboxByKey(m.Key)), m)
			wantEqual(h, "not held", value(tx.MailboxByKey(other.Key)), other)
		})
	}},
	{"its holders are the live sessions of the sides that are in it", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			for i, side := range []rendezvous.Side{"in", "ended", "left", "elsewhere"} {
				h.must(tx.CreateSession(newSession(key(byte(i+1)), side), at(0)))
			}
			h.end(tx, key(2), at(1))
			m := h.mailbox(tx, "in", "left")
			m, _ = m.Close("left", rendezvous.Happy, at(1))
			h.must(tx.UpdateMailbox(m))
			wantEqual(h, "holders", value(tx.Holders(m.Key)), []rendezvous.Session{newSession(key(1), "in")})
			wantEqual(h, "of one that is only held by an ended one", value(tx.Holders(h.mailbox(tx, "ended").Key)), nil)
		})
	}},
}

var messages = []testCase{
	{"they come back as they were stored, in the order of their positions", func(h *harness) {
		h.forAllDrawn(func(t *rapid.T, h *harness) {
			added := rapid.SliceOfN(rapid.Custom(drawMessage), 1, 5).Draw(t, "messages")
			after := rapid.IntRange(0, len(added)).Draw(t, "after")
			h.update(func(tx rendezvous.Tx) {
				m := h.mailbox(tx)
				for i := range added {
					m = m.Appended(added[i].Body, added[i].Received)
					added[i].Position = m.Last
					h.must(tx.Append(m, added[i]))
				}
				wantEqual(h, "messages", value(tx.Messages(m.Key, rendezvous.Position(after), 99, 1<<20)), added[after:])
				wantEqual(h, "the mailbox", value(tx.MailboxByKey(m.Key)), m)
				h.must(tx.RetireMailbox(m, usage))
			})
		})
	}},
	{"an answer is bounded in messages and in bytes, and has one at least", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			m := h.mailbox(tx)
			for range 5 {
				m = h.add(tx, m, "0123456789")
			}
			for _, x := range []struct {
				count int
				size  int64
				want  int
			}{{2, 99, 2}, {9, 99, 5}, {9, 30, 3}, {9, 29, 2}, {9, 10, 1}, {9, 1, 1}, {9, 0, 1}} {
				wantEqual(h, "how many", len(value(tx.Messages(m.Key, 0, x.count, x.size))), x.want)
			}
			wantEqual(h, "none beyond", value(tx.Messages(m.Key, 5, 9, 99)), nil)
		})
	}},
	{"those of other sides are found, and up to where these are all", func(h *harness) {
		h.update(func(tx rendezvous.Tx) {
			m := h.mailbox(tx)
			for _, side := range []rendezvous.Side{"own", "own", "a", "b", "own", "a", "own"} {
				m = m.Appended("0123456789", at(0))
				h.must(tx.Append(m, rendezvous.Message{Position: m.Last, Side: side, Draft: rendezvous.Draft{Phase: "phase", Body: "0123456789"}, Received: at(0)}))
			}
			type found struct{ Positions, Seen any }
			for _, x := range []struct {
				after, upTo rendezvous.Position
				count       int
				size        int64
				want        []rendezvous.Position
				seen        rendezvous.Position
			}{
				{0, 7, 9, 99, []rendezvous.Position{3, 4, 6}, 7},
				{0, 7, 3, 99, []rendezvous.Position{3, 4, 6}, 6},
				{0, 7, 2, 99, []rendezvous.Position{3, 4}, 4},
				{0, 7, 9, 29, []rendezvous.Position{3, 4}, 4},
				{0, 7, 9, 20, []rendezvous.Position{3, 4}, 4},
				{0, 7, 9, 0, []rendezvous.Position{3}, 3},
				{0, 5, 9, 99, []rendezvous.Position{3, 4}, 5},
				{4, 7, 9, 99, []rendezvous.Position{6}, 7},
				{0, 2, 9, 99, nil, 2},
				{7, 7, 9, 99, nil, 7},
			} {
				messages, seen, err := tx.MessagesOfOthers(m.Key, "own", x.after, x.upTo, x.count, x.size)
				h.must(err)
				var positions []rendezvous.Position
				for _, m := range messages {
					positions = append(positions, m.Position)
				}
				wantEqual(h, "what is found", found{positions, seen}, found{x.want, x.seen})
			}
		})
	}},
	{"a message must have the next position", func(h *harness) {
		var m rendezvous.Mailbox
		h.update(func(tx rendezvous.Tx) { m = h.add(tx, h.mailbox(tx), "body") })
		for _, p := range []rendezvous.Position{0, 1, 3} {
			h.wantFailure("another", func(tx rendezvous.Tx) error {
				m := m
				m.Last = p
				return tx.Append(m, rendezvous.Message{Position: p, Received: at(0)})
			})
		}
		h.wantFailure("one of no mailbox", func(tx rendezvous.Tx) error {
			return tx.Append(rendezvous.Mailbox{Key: 999, Last: 1}, rendezvous.Message{Position: 1, Received: at(0)})
		})
		h.wantFailure("one more than is kept", func(tx rendezvous.Tx) error {
			h.add(tx, m, "body")
			return errors.New("no")
		})
		h.view(func(tx rendezvous.Tx) {
			wantEqual(h, "the mailbox", value(tx.MailboxByKey(m.Key)), m)
		})
	}},
}

var usage = rendezvous.Usage{App: app, Started: at(0), Total: time.Second, Result: rendezvous.ResultQuiet}

// drawMailbox draws a mailbox with up to two sides, the older first.
func drawMailbox(t *rapid.T) rendezvous.Mailbox {
	m := rendezvous.Mailbox{
		App: rendezvous.AppID(text.Draw(t, "app")), ID: rendezvous.MailboxID(text.Draw(t, "id")),
		Created: drawTime(t, "created"), Updated: drawTime(t, "updated"), StaleAt: drawTime(t, "stale at"),
		TTL:          time.Duration(rapid.Int64Range(1, 1<<40).Draw(t, "ttl")) * time.Millisecond,
		ForNameplate: rapid.Bool().Draw(t, "for nameplate"), Crowded: rapid.Bool().Draw(t, "crowded"),
		Last: rendezvous.Position(drawSeq(t, "last")), Bytes: int64(drawSeq(t, "bytes")), Stored: int64(drawSeq(t, "stored")),
	}
	entered := drawTime(t, "entered")
	for i := range rapid.IntRange(0, 2).Draw(t, "sides") {
		o := rendezvous.Opening{Side: rendezvous.Side([]byte{'b' - byte(i)}), Entered: entered.Add(time.Duration(i) * time.Millisecond)}
		if rapid.Bool().Draw(t, "opened") {
			opened := drawTime(t, "opened at")
			o.Opened = &opened
		}
		if rapid.Bool().Draw(t, "closed") {
			o.Closed = &rendezvous.Closing{
				At:   drawTime(t, "closed at"),
				Mood: rapid.SampledFrom([]rendezvous.Mood{rendezvous.Happy, rendezvous.Lonely, rendezvous.Scary, rendezvous.Errory}).Draw(t, "mood"),
			}
		}
		m.Sides = append(m.Sides, o)
	}
	return m
}

// drawMessage draws a message without a position. Its body may be any bytes.
func drawMessage(t *rapid.T) rendezvous.Message {
	return rendezvous.Message{
		Side: rendezvous.Side(text.Draw(t, "side")), Received: drawTime(t, "received"),
		Draft: rendezvous.Draft{
			Phase: text.Draw(t, "phase"),
			Body:  string(rapid.SliceOf(rapid.Byte()).Draw(t, "body")),
			ID:    rapid.Ptr(text, true).Draw(t, "id"),
		},
	}
}
