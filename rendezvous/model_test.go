package rendezvous_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"restante/rendezvous"
	"restante/session"
)

// TestServiceIsWhatItsModelSays makes three clients do things at random, while requests and answers
// are lost, time passes and the server restarts. What each client is answered and sent, what is
// stored, and what is recorded in the end is what the model says.
//
// For a deeper run: -rapid.checks=5000 -rapid.steps=60.
func TestServiceIsWhatItsModelSays(t *testing.T) {
	t.Parallel()
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue { // a history takes longer than other cases
		defer func() { _ = checks.Value.Set(checks.DefValue) }()
		_ = checks.Value.Set("25")
	}
	empty, dir := emptyDatabase(t), t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		draw := func(what string, n int) int { return rapid.IntRange(0, n-1).Draw(r, what) }
		rapid.SyncTest(r, func(r *rapid.T) {
			h := start(judge{TB: t, ctx: r.Context(), fail: func(why string) { r.Fatal(why) }}, draw, dir, empty, "")
			defer h.end()
			r.Repeat(map[string]func(*rapid.T){"step": func(*rapid.T) { h.step() }})
			h.finish()
		})
	})
}

// TestTheModelSeesMistakes gives the service a store that makes a mistake, and checks that a few
// histories find it.
func TestTheModelSeesMistakes(t *testing.T) {
	t.Parallel()
	empty, dir := emptyDatabase(t), t.TempDir()
	for _, m := range []mistake{addsTwice, dropsFrames, forgetsTooMuch, admitsAThird, garblesReplies, keepsSending, forgetsReleases, miscounts, wakesNobody} {
		t.Run(string(m), func(t *testing.T) {
			var found string
			histories := 0
			for ; found == "" && histories < 50; histories++ {
				luck := rand.New(rand.NewPCG(uint64(histories), 10))
				draw := func(_ string, n int) int { return luck.IntN(n) }
				synctest.Test(t, func(t *testing.T) {
					defer func() {
						if p := recover(); p != nil && found == "" {
							panic(p)
						}
					}()
					h := start(judge{TB: t, ctx: t.Context(), fail: func(why string) { found = why; panic(why) }}, draw, dir, empty, m)
					defer h.end()
					for range 60 {
						h.step()
					}
					h.finish()
				})
			}
			if found == "" {
				t.Fatal("it was not found")
			}
			t.Logf("found in history %d: %s", histories, found)
		})
	}
}

// mistake is something that a store does wrong.
type mistake string

const (
	addsTwice       mistake = "it adds a message twice"
	dropsFrames     mistake = "it drops a frame"
	forgetsTooMuch  mistake = "it forgets a frame more than was acknowledged"
	admitsAThird    mistake = "it overlooks the second side of a mailbox"
	garblesReplies  mistake = "it records another reply"
	keepsSending    mistake = "it does not end a subscription"
	forgetsReleases mistake = "it forgets that a nameplate was released"
	miscounts       mistake = "it records another result"
	wakesNobody     mistake = "it wakes no reader"
)

type mistaken struct {
	rendezvous.Store
	makes mistake
}

type mistakenTx struct {
	rendezvous.Tx
	makes mistake
}

func (s mistaken) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	return s.Store.Update(ctx, func(tx rendezvous.Tx) error { return f(mistakenTx{tx, s.makes}) })
}

func (t mistakenTx) Append(b rendezvous.Mailbox, messages ...rendezvous.Message) error {
	err := t.Tx.Append(b, messages...)
	if t.makes == addsTwice && err == nil {
		m := messages[len(messages)-1]
		b = b.Appended(m.Body, t.Now())
		m.Position = b.Last
		err = t.Tx.Append(b, m)
	}
	return err
}

func (t mistakenTx) SendMessages(k session.Key, m rendezvous.MailboxKey, first rendezvous.Position, count int64) (session.Seq, error) {
	if t.makes == dropsFrames && first == 2 && count == 1 {
		return 0, nil
	}
	return t.Tx.SendMessages(k, m, first, count)
}

func (t mistakenTx) Acknowledge(acks ...session.Ack) error {
	acks = slices.Clone(acks)
	for i := range acks {
		if t.makes == forgetsTooMuch {
			acks[i].UpTo++
		}
	}
	return t.Tx.Acknowledge(acks...)
}

func (t mistakenTx) Mailbox(a rendezvous.AppID, id rendezvous.MailboxID) (rendezvous.Mailbox, error) {
	b, err := t.Tx.Mailbox(a, id)
	if t.makes == admitsAThird && len(b.Sides) > 1 {
		b.Sides = b.Sides[:1]
	}
	return b, err
}

func (t mistakenTx) Complete(k session.Key, n session.Seq, r rendezvous.Reply) error {
	if t.makes == garblesReplies {
		r.Outcome = []byte(`{"result":{}}`)
	}
	return t.Tx.Complete(k, n, r)
}

func (t mistakenTx) Unsubscribe(k session.Key, b rendezvous.MailboxKey) error {
	if t.makes == keepsSending {
		return nil
	}
	return t.Tx.Unsubscribe(k, b)
}

func (t mistakenTx) UpdateNameplate(n rendezvous.Nameplate) error {
	for i := range n.Claims {
		if t.makes == forgetsReleases {
			n.Claims[i].Released = nil
		}
	}
	return t.Tx.UpdateNameplate(n)
}

func (t mistakenTx) RetireMailbox(b rendezvous.Mailbox, u rendezvous.Usage) error {
	if t.makes == miscounts {
		u.Result = rendezvous.ResultQuiet
	}
	return t.Tx.RetireMailbox(b, u)
}

func (t mistakenTx) AfterCommit(f func()) {
	if t.makes != wakesNobody {
		t.Tx.AfterCommit(f)
	}
}

// judge is a test whose failures end the history.
type judge struct {
	testing.TB
	ctx  context.Context
	fail func(why string)
}

func (j judge) Context() context.Context          { return j.ctx }
func (j judge) Error(args ...any)                 { j.fail(fmt.Sprint(args...)) }
func (j judge) Fatal(args ...any)                 { j.fail(fmt.Sprint(args...)) }
func (j judge) Errorf(format string, args ...any) { j.fail(fmt.Sprintf(format, args...)) }
func (j judge) Fatalf(format string, args ...any) { j.fail(fmt.Sprintf(format, args...)) }
