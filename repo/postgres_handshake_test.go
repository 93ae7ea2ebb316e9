package repo_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/session"
)

// numberedID returns the nth id of a session.
func numberedID(n int) session.ID {
	id, err := session.ParseID(fmt.Sprintf("%022d", n))
	must(err)
	return id
}

// refusedWith reports whether err is a refusal with the code.
func refusedWith(err error, code rendezvous.Code) bool {
	f, ok := errors.AsType[*rendezvous.Failure](err)
	return ok && f.Code == code
}

// TestNoFrameIsLostBehindAnAcceptedHandshake has an older tab's acknowledgement written before any statement
// of a newer tab's handshake, which names less, and the other way round: either the handshake is refused, or
// it gets every frame from the one that it named.
func TestNoFrameIsLostBehindAnAcceptedHandshake(t *testing.T) {
	t.Parallel()
	i := newInterleaving(t)
	ctx := context.Background()
	next, outcomes := 0, map[bool]int{}
	for _, handshakeHere := range []bool{true, false} {
		for at, most := 0, 1; at < most; at++ {
			next++
			app, id := rendezvous.AppID(fmt.Sprint("app ", next)), numberedID(next)
			prepareFrames(i.elsewhere, app, id, 4)
			var reply rendezvous.HandshakeReply
			handshake := func(s *rendezvous.Service) func() error {
				return func() (err error) {
					reply, err = s.Handshake(ctx, rendezvous.Handshake{ID: id, App: app, Side: "reader", NextExpected: 2})
					return err
				}
			}
			acknowledge := func(s rendezvous.Store) func() error {
				return func() error {
					return s.Update(ctx, func(tx rendezvous.Tx) error {
						return tx.Acknowledge(session.Ack{Session: id.Key(), Epoch: 1, UpTo: 4})
					})
				}
			}
			operation, other := handshake(i.here), acknowledge(i.elsewhereDB)
			if !handshakeHere {
				operation, other = acknowledge(i.hereDB), handshake(i.elsewhere)
			}
			errs, statements := i.run(operation, []int{at}, other)
			most = max(most, statements)
			what := fmt.Sprintf("handshake here: %v, before statement %d", handshakeHere, at)
			i.check(what, errs)
			refused := refusedWith(errors.Join(errs...), rendezvous.SessionStateMismatch)
			if outcomes[refused]++; refused {
				continue
			}
			wantFrames(t, what, i.elsewhereDB, id.Key(), 2, 4)
			if reply.Epoch != 2 || reply.Kept != 2 {
				t.Errorf("%s: %+v", what, reply)
			}
		}
	}
	if outcomes[true] == 0 || outcomes[false] == 0 {
		t.Errorf("of all handshakes, %d were refused and %d accepted", outcomes[true], outcomes[false])
	}
}

// prepareFrames begins a session of the side "reader" and sends it so many messages.
func prepareFrames(s *rendezvous.Service, app rendezvous.AppID, id session.ID, count int) {
	ctx, writer := context.Background(), rendezvous.SideRef{App: app, Side: "writer"}
	_, err := s.Handshake(ctx, rendezvous.Handshake{ID: id, App: app, Side: "reader"})
	must(err)
	_, err = s.OpenFor(ctx, writer, "mailbox")
	must(err)
	_, err = s.Open(ctx, rendezvous.Command{Session: id.Key()}, "mailbox", rendezvous.OpenRequest{})
	must(err)
	_, err = s.AddFor(ctx, writer, "mailbox", make([]rendezvous.Draft, count))
	must(err)
}

// wantFrames checks that the outbox has exactly the frames from number from on, up to number to.
func wantFrames(t *testing.T, what string, store rendezvous.Store, k session.Key, from, to session.Seq) {
	t.Helper()
	must(store.View(context.Background(), func(tx rendezvous.Tx) error {
		s, err := tx.Session(k)
		if err != nil {
			return err
		}
		if s.Kept > from || s.Next != to {
			t.Errorf("%s: frames %d to %d are kept, not %d to %d", what, s.Kept, s.Next, from, to)
		}
		frames, err := tx.Frames(k, from, 100, 1<<20)
		if len(frames) != int(to-from) {
			t.Errorf("%s: %d frames from %d on, want %d", what, len(frames), from, to-from)
		}
		for n, payload := range frames {
			var f struct{ Seq, Position session.Seq }
			must(json.Unmarshal(payload, &f))
			if want := from + session.Seq(n); f.Seq != want || f.Position != want+1 {
				t.Errorf("%s: frame %d is %s", what, want, payload)
			}
		}
		return err
	}))
}

// twoHandshakes are two handshakes that come at the same time, and the one that began a session before.
type twoHandshakes struct {
	before          *rendezvous.Handshake
	beforeExpired   bool // the session of before has expired since, without ever doing anything
	first, second   rendezvous.Handshake
	wantBothResumed bool
}

// TestARepeatedHandshakeFindsItsFirstCopy sends a handshake again, to another server, before any statement of its
// first copy: each gets an answer as if they had come one after the other.
func TestARepeatedHandshakeFindsItsFirstCopy(t *testing.T) {
	t.Parallel()
	i := newInterleaving(t)
	for name, prepare := range map[string]func(app rendezvous.AppID, n int) twoHandshakes{
		"of a new session": func(app rendezvous.AppID, n int) twoHandshakes {
			h := rendezvous.Handshake{ID: numberedID(n), App: app, Side: "side"}
			return twoHandshakes{first: h, second: h}
		},
		"of a session that goes on": func(app rendezvous.AppID, n int) twoHandshakes {
			h := rendezvous.Handshake{ID: numberedID(n), App: app, Side: "side"}
			return twoHandshakes{before: &h, first: h, second: h, wantBothResumed: true}
		},
		"of a session that replaces another one": func(app rendezvous.AppID, n int) twoHandshakes {
			old := rendezvous.Handshake{ID: numberedID(1_000_000 + n), App: app, Side: "side"}
			h := rendezvous.Handshake{ID: numberedID(n), App: app, Replaces: &old.ID}
			return twoHandshakes{before: &old, first: h, second: h}
		},
	} {
		eachTwoHandshakes(i, prepare, func(at int, x twoHandshakes, replies [2]rendezvous.HandshakeReply, errs []error) {
			what := fmt.Sprintf("%s, before statement %d", name, at)
			if err := errors.Join(errs...); err != nil {
				t.Errorf("%s: %v", what, err)
				return
			}
			a, b := replies[0], replies[1]
			if a.Side != "side" || b.Side != "side" || a.Epoch == b.Epoch {
				t.Errorf("%s: %+v and %+v", what, a, b)
			}
			if bothResumed := a.Resumed && b.Resumed; a.Resumed == b.Resumed && !bothResumed || bothResumed != x.wantBothResumed {
				t.Errorf("%s: resumed %v and %v", what, a.Resumed, b.Resumed)
			}
		})
	}
}

// TestTwoSessionsNeverHaveOneSide begins two sessions of one side at the same time, also where the side's last session
// has expired.
func TestTwoSessionsNeverHaveOneSide(t *testing.T) {
	t.Parallel()
	i := newInterleaving(t)
	prepare := func(expired bool) func(app rendezvous.AppID, n int) twoHandshakes {
		return func(app rendezvous.AppID, n int) twoHandshakes {
			x := twoHandshakes{
				first:  rendezvous.Handshake{ID: numberedID(n), App: app, Side: "side"},
				second: rendezvous.Handshake{ID: numberedID(1_000_000 + n), App: app, Side: "side"},
			}
			if expired {
				x.before = &rendezvous.Handshake{ID: numberedID(2_000_000 + n), App: app, Side: "side"}
				x.beforeExpired = true
			}
			return x
		}
	}
	for _, expired := range []bool{false, true} {
		eachTwoHandshakes(i, prepare(expired), func(at int, x twoHandshakes, _ [2]rendezvous.HandshakeReply, errs []error) {
			what := fmt.Sprintf("the last session has expired: %v, before statement %d", expired, at)
			if errs[0] == nil == (errs[1] == nil) || !refusedWith(errors.Join(errs...), rendezvous.SideTaken) {
				t.Errorf("%s: %v", what, errs)
				return
			}
			accepted := x.first.ID
			if errs[0] != nil {
				accepted = x.second.ID
			}
			must(i.elsewhereDB.View(context.Background(), func(tx rendezvous.Tx) error {
				s, err := tx.Session(accepted.Key())
				if err != nil || s.Ended != nil {
					t.Errorf("%s: the accepted session is %+v, %v", what, s, err)
				}
				return nil
			}))
		})
	}
}

// eachTwoHandshakes does the second handshake before each statement of the first one.
func eachTwoHandshakes(i *interleaving, prepare func(app rendezvous.AppID, n int) twoHandshakes,
	judge func(at int, x twoHandshakes, replies [2]rendezvous.HandshakeReply, errs []error),
) {
	i.tb.Helper()
	ctx := context.Background()
	for at, most := 0, 1; at < most; at++ {
		i.apps++
		x := prepare(rendezvous.AppID(fmt.Sprint("app ", i.apps)), i.apps)
		if x.before != nil {
			_, err := newService(i.elsewhereDB).Handshake(ctx, *x.before)
			must(err)
		}
		if x.beforeExpired {
			longAgo := time.Now().Add(-time.Hour).UnixMilli()
			_, err := i.observer.Exec(`UPDATE sessions SET began = $1, seen = $1 WHERE app = $2`, longAgo, x.before.App)
			must(err)
		}
		var replies [2]rendezvous.HandshakeReply
		shake := func(n int, s *rendezvous.Service, h rendezvous.Handshake) func() error {
			return func() (err error) {
				replies[n], err = s.Handshake(ctx, h)
				return err
			}
		}
		errs, statements := i.run(shake(0, i.here, x.first), []int{at}, shake(1, i.elsewhere, x.second))
		most = max(most, statements)
		judge(at, x, replies, errs)
	}
}
