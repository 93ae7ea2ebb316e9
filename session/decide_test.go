package session_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"restante/session"
)

// The sessions of the tables below: mine is the client's, old the one it may
// replace, other that of another client.
var (
	mine  = session.Key{1}
	old   = session.Key{2}
	other = session.Key{3}
)

// ledger is mid-conversation: commands below 5 received, frames 3 to 6 held.
var ledger = session.Ledger{Wanted: 5, Kept: 3, Next: 7}

func live(app, side string, l session.Ledger) session.Live {
	return session.Live{App: app, Side: side, Ledger: l, Epoch: 2}
}

func tombstone(app, side string) session.Tombstone {
	return session.Tombstone{App: app, Side: side, Closed: ended(session.Replaced)}
}

func ended(why session.Reason) session.Closed {
	return session.Closed{Ending: session.Ending{At: time.UnixMilli(9), Reason: why}, Ledger: ledger, Epoch: 2, Used: true}
}

// claims is the client's handshake: the first frame it has not processed, and
// the first command it would send again.
func claims(nextExpected, nextSent session.Seq) session.Hello {
	return session.Hello{Key: mine, App: "app", Side: "me", NextExpected: nextExpected, NextSent: nextSent}
}

func as(h session.Hello, app, side string) session.Hello {
	h.App, h.Side = app, side
	return h
}

func replacing(k session.Key, h session.Hello) session.Hello {
	h.Replaces = &k
	return h
}

// refusal is the essence of a Reject. why is a part of its Detail.
func refusal(code session.Code, why string) session.Reject {
	return session.Reject{Code: code, Detail: why}
}

// TestDecide is the handshake table of docs/protocol.md, cell by cell: what is stored against what the
// client says.
func welcomed(e session.Epoch, h session.Hello) session.Hello {
	h.Epoch = e
	return h
}

func TestDecide(t *testing.T) {
	var (
		nothing  = session.Nothing{}
		future   = refusal(session.StateMismatch, "the client is in the future")
		past     = refusal(session.StateMismatch, "the server is in the future")
		unsent   = refusal(session.StateMismatch, "the client expects what was never sent")
		unknown  = refusal(session.StateMismatch, "not known here")
		identity = refusal(session.IdentityMismatch, "another app or side")
		taken    = refusal(session.SideTaken, "'replaces'")
		itself   = refusal(session.Malformed, "replace itself")
		buried   = session.Reject{Code: session.StateMismatch, Detail: "commands below 5", Ended: new(ended(session.Replaced))}
	)
	type row struct {
		hello session.Hello
		facts session.Facts
		want  session.Decision
	}
	mineIsLive := session.Facts{Stored: live("app", "me", ledger), Replaced: nothing, Owner: &mine}
	mineEnded := session.Facts{Stored: tombstone("app", "me"), Replaced: nothing, Owner: &mine}
	fresh := session.Facts{Stored: live("app", "me", session.Ledger{}), Replaced: nothing, Owner: &mine}
	free := session.Facts{Stored: nothing, Replaced: nothing}
	owned := func(by session.Key, replaced session.Stored) session.Facts {
		return session.Facts{Stored: nothing, Replaced: replaced, Owner: &by}
	}
	unowned := func(replaced session.Stored) session.Facts {
		return session.Facts{Stored: nothing, Replaced: replaced}
	}

	groups := map[string]map[string]row{
		"something of another app or side": {
			"live, other side":                        {as(claims(3, 5), "app", "you"), mineIsLive, identity},
			"live, other app":                         {as(claims(3, 5), "ppa", "me"), mineIsLive, identity},
			"live, other app and other side":          {as(claims(3, 5), "ppa", "you"), mineIsLive, identity},
			"live, other app, no side":                {as(claims(3, 5), "ppa", ""), mineIsLive, identity},
			"live, an absent side fits":               {as(claims(3, 5), "app", ""), mineIsLive, session.Resume{From: 3}},
			"live, identity comes before counters":    {as(claims(99, 99), "app", "you"), mineIsLive, identity},
			"live, an absent side hides no mismatch":  {as(claims(3, 6), "app", ""), mineIsLive, future},
			"live, letter case matters":               {as(claims(3, 5), "App", "Me"), mineIsLive, identity},
			"tombstone, other side":                   {as(claims(0, 0), "app", "you"), mineEnded, identity},
			"tombstone, other app":                    {as(claims(0, 0), "ppa", "me"), mineEnded, identity},
			"tombstone, other app, no side":           {as(claims(0, 0), "ppa", ""), mineEnded, identity},
			"tombstone, an absent side fits":          {as(claims(0, 0), "app", ""), mineEnded, buried},
			"tombstone, identity comes before":        {as(claims(99, 99), "app", "you"), mineEnded, identity},
			"live, other side that replaces another":  {replacing(old, as(claims(0, 0), "app", "you")), mineIsLive, identity},
			"live, it is told nothing of the counter": {as(claims(0, 6), "ppa", "me"), mineIsLive, identity},
		},
		"a live session": {
			"would send the command that is wanted":           {claims(3, 5), mineIsLive, session.Resume{From: 3}},
			"would send a command again":                      {claims(3, 4), mineIsLive, session.Resume{From: 3}},
			"would send all commands again":                   {claims(3, 0), mineIsLive, session.Resume{From: 3}},
			"would leave a command out":                       {claims(3, 6), mineIsLive, future},
			"would leave many commands out":                   {claims(3, maxSeq), mineIsLive, future},
			"knows the latest epoch":                          {welcomed(2, claims(3, 5)), mineIsLive, session.Resume{From: 3}},
			"knows an earlier epoch":                          {welcomed(1, claims(3, 5)), mineIsLive, session.Resume{From: 3}},
			"knows an epoch that is not known here":           {welcomed(3, claims(3, 5)), mineIsLive, future},
			"expects the oldest frame held":                   {claims(3, 5), mineIsLive, session.Resume{From: 3}},
			"expects a frame that was forgotten":              {claims(2, 5), mineIsLive, past},
			"expects the first frame, long forgotten":         {claims(0, 0), mineIsLive, past},
			"expects the newest frame":                        {claims(6, 5), mineIsLive, session.Resume{From: 6}},
			"expects the next frame to be numbered":           {claims(7, 5), mineIsLive, session.Resume{From: 7}},
			"expects a frame that was never sent":             {claims(8, 5), mineIsLive, unsent},
			"expects far more than was ever sent":             {claims(maxSeq, 5), mineIsLive, unsent},
			"the client's future comes before our own":        {claims(2, 6), mineIsLive, future},
			"the client's future comes before the never sent": {claims(8, 6), mineIsLive, future},
			"that did nothing yet, met for the second time":   {claims(0, 0), fresh, session.Resume{From: 0}},
			"that did nothing yet, expecting a frame":         {claims(1, 0), fresh, unsent},
			"that did nothing yet, having sent a command":     {claims(0, 1), fresh, future},
			"of which all is acknowledged": {
				claims(7, 5),
				session.Facts{Stored: live("app", "me", session.Ledger{Wanted: 5, Kept: 7, Next: 7}), Replaced: nothing, Owner: &mine},
				session.Resume{From: 7},
			},
			"whose first handshake's reply was lost, replacing another": {
				replacing(old, claims(0, 0)),
				session.Facts{Stored: live("app", "me", session.Ledger{}), Replaced: tombstone("app", "me"), Owner: &mine},
				session.Resume{From: 0},
			},
			"whose side another has by now": {
				claims(3, 5), session.Facts{Stored: live("app", "me", ledger), Replaced: nothing, Owner: &other}, session.Resume{From: 3},
			},
			"that names a live session to replace only resumes": {
				replacing(old, claims(3, 5)),
				session.Facts{Stored: live("app", "me", ledger), Replaced: live("app", "me", ledger), Owner: &mine},
				session.Resume{From: 3},
			},
		},
		"a tombstone": {
			"by a client that agrees with it":         {claims(3, 5), mineEnded, buried},
			"by a client that starts over":            {claims(0, 0), mineEnded, buried},
			"by a client in the future":               {claims(7, 6), mineEnded, buried},
			"by a client that expects the never sent": {claims(8, 5), mineEnded, buried},
			"by a client that expects the forgotten":  {claims(2, 5), mineEnded, buried},
			"by a client that would replace another":  {replacing(old, claims(0, 0)), mineEnded, buried},
			"whose side another has by now":           {claims(0, 0), session.Facts{Stored: tombstone("app", "me"), Replaced: nothing, Owner: &other}, buried},
			"whose side is free again":                {claims(0, 0), session.Facts{Stored: tombstone("app", "me"), Replaced: nothing}, buried},
		},
		"nothing": {
			"both counters 0, but an epoch is known":             {welcomed(1, claims(0, 0)), free, unknown},
			"by a client that expects a frame":                   {claims(1, 0), free, unknown},
			"by a client that sent a command":                    {claims(0, 1), free, unknown},
			"by a client that did both":                          {claims(3, 5), free, unknown},
			"by a client that did both, on a side that is taken": {claims(3, 5), owned(other, nothing), unknown},
			"by a client that sent a command and would replace":  {replacing(old, claims(0, 1)), owned(old, live("app", "me", ledger)), unknown},
			"by a new client":                                    {claims(0, 0), free, session.Start{}},
			"by a new client that leaves the side to the server": {as(claims(0, 0), "app", ""), free, session.Start{}},
			"on a side with a live owner":                        {claims(0, 0), owned(other, nothing), taken},
			"on a side whose owner ended":                        {claims(0, 0), owned(old, nothing), taken},
			"on a side whose owner was replaced, named":          {replacing(old, claims(0, 0)), owned(other, tombstone("app", "me")), taken},
			"on a side whose owner is named wrongly":             {replacing(old, claims(0, 0)), owned(other, live("app", "you", ledger)), taken},
			"on a side with an owner, naming the unknown":        {replacing(old, claims(0, 0)), owned(other, nothing), taken},
			"replacing a live owner":                             {replacing(old, claims(0, 0)), owned(old, live("app", "me", ledger)), session.Replace{Old: old}},
			"replacing an owner that did nothing":                {replacing(old, claims(0, 0)), owned(old, live("app", "me", session.Ledger{})), session.Replace{Old: old}},
			"replacing an owner that ended":                      {replacing(old, claims(0, 0)), owned(old, tombstone("app", "me")), session.Start{TakesOver: true}},
			"replacing the unknown":                              {replacing(old, claims(0, 0)), unowned(nothing), session.Start{}},
			"replacing what is not gathered":                     {replacing(old, claims(0, 0)), unowned(nil), session.Start{}},
			"replacing what ended, of another side":              {replacing(old, claims(0, 0)), unowned(tombstone("app", "you")), session.Start{}},
			"replacing a live session, of another side":          {replacing(old, claims(0, 0)), unowned(live("app", "you", ledger)), session.Replace{Old: old}},
			"replacing a live session, side left to us":          {replacing(old, as(claims(0, 0), "app", "")), unowned(live("app", "you", ledger)), session.Replace{Old: old}},
			"replacing a live session, of another app":           {replacing(old, claims(0, 0)), unowned(live("ppa", "me", ledger)), session.Start{}},
			"replacing a session of another app, side taken":     {replacing(old, claims(0, 0)), owned(other, live("ppa", "me", ledger)), taken},
		},
		"naming itself to replace": {
			"nothing":                  {replacing(mine, claims(0, 0)), free, itself},
			"nothing, with counters":   {replacing(mine, claims(3, 5)), free, itself},
			"live":                     {replacing(mine, claims(3, 5)), session.Facts{Stored: mineIsLive.Stored, Replaced: mineIsLive.Stored, Owner: &mine}, itself},
			"live, of another side":    {replacing(mine, as(claims(3, 5), "app", "you")), mineIsLive, itself},
			"a tombstone":              {replacing(mine, claims(0, 0)), mineEnded, itself},
			"on a side that is taken":  {replacing(mine, claims(0, 0)), owned(other, nothing), itself},
			"that it is said to own":   {replacing(mine, claims(0, 0)), owned(mine, nothing), itself},
			"a tombstone, other's app": {replacing(mine, as(claims(0, 0), "ppa", "me")), mineEnded, itself},
		},
	}
	for stored, rows := range groups {
		t.Run(stored, func(t *testing.T) {
			for says, r := range rows {
				t.Run(says, func(t *testing.T) {
					got := session.Decide(r.hello, r.facts)
					want := r.want
					if reject, is := got.(session.Reject); is {
						if w, is := want.(session.Reject); is && strings.Contains(reject.Detail, w.Detail) {
							w.Detail = reject.Detail // it says why, and more
							want = w
						}
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("Decide (-want +got):\n%s", diff)
					}
				})
			}
		})
	}
}

func TestATombstoneSaysWhyItEnded(t *testing.T) {
	for _, why := range []session.Reason{session.Expired, session.Replaced, session.Deleted, session.Overflow} {
		f := session.Facts{Stored: session.Tombstone{App: "app", Side: "me", Closed: ended(why)}, Replaced: session.Nothing{}}
		reject, is := session.Decide(claims(0, 0), f).(session.Reject)
		if !is || reject.Ended == nil || reject.Ended.Reason != why || !strings.Contains(reject.Detail, string(why)) {
			t.Errorf("%s: %+v", why, reject)
		}
	}
}

// TestDecideIsTotalAndConsistent draws any claim against any facts that a store can hold. It checks
// the rules for which the table exists.
func TestDecideIsTotalAndConsistent(t *testing.T) {
	keys := rapid.SampledFrom([]session.Key{mine, old, other})
	word := rapid.SampledFrom([]string{"a", "a", "a", "b"})
	near := func(t *rapid.T, label string, around ...session.Seq) session.Seq {
		return rapid.OneOf(
			rapid.SampledFrom(around),
			rapid.Custom(func(t *rapid.T) session.Seq {
				return rapid.SampledFrom(around).Draw(t, "around") + session.Seq(rapid.IntRange(-1, 1).Draw(t, "off"))
			}).Filter(func(s session.Seq) bool { return s >= 0 }),
			rapid.Map(rapid.Int64Range(0, int64(maxSeq)), func(n int64) session.Seq { return session.Seq(n) }),
		).Draw(t, label)
	}
	ledgers := rapid.Custom(func(t *rapid.T) session.Ledger {
		n := rapid.SliceOfN(rapid.OneOf(rapid.Int64Range(0, 4), rapid.Int64Range(0, int64(maxSeq))), 3, 3).Draw(t, "ledger")
		return session.Ledger{Wanted: session.Seq(n[0]), Kept: session.Seq(min(n[1], n[2])), Next: session.Seq(max(n[1], n[2]))}
	})
	store := rapid.Custom(func(t *rapid.T) session.Stored {
		app, side, l := word.Draw(t, "app"), word.Draw(t, "side"), ledgers.Draw(t, "counters")
		switch rapid.IntRange(0, 2).Draw(t, "stored") {
		case 0:
			return session.Nothing{}
		case 1:
			return session.Live{App: app, Side: side, Ledger: l, Epoch: session.Epoch(rapid.Int64Range(1, 3).Draw(t, "epoch"))}
		}
		return session.Tombstone{App: app, Side: side, Closed: session.Closed{Ending: session.Ending{Reason: session.Expired}, Ledger: l}}
	})

	rapid.Check(t, func(t *rapid.T) {
		// What is stored under each key; the client's claim; the facts that follow from both.
		stored := map[session.Key]session.Stored{}
		for _, k := range []session.Key{mine, old, other} {
			stored[k] = store.Draw(t, "held")
		}
		l := ledgers.Draw(t, "anything")
		if held, is := stored[mine].(session.Live); is {
			l = held.Ledger
		}
		h := session.Hello{
			Key: mine, App: word.Draw(t, "app"), Side: rapid.SampledFrom([]string{"", "a", "a", "b"}).Draw(t, "side"),
		}
		f := session.Facts{Stored: stored[mine], Replaced: session.Nothing{}}
		if rapid.Bool().Draw(t, "replaces") {
			h.Replaces = new(keys.Draw(t, "replaced"))
			f.Replaced = stored[*h.Replaces]
		}
		if h.Side != "" {
			for _, k := range rapid.Permutation([]session.Key{mine, old, other}).Draw(t, "newest first") {
				if app, side, is := identity(stored[k]); is && app == h.App && side == h.Side {
					f.Owner = &k
					break
				}
			}
		}

		for range 10 {
			h.NextExpected, h.NextSent = near(t, "nextExpected", 0, l.Kept, l.Next), near(t, "nextSent", 0, l.Wanted)
			h.Epoch = session.Epoch(rapid.Int64Range(0, 4).Draw(t, "known epoch"))
			checkDecision(t, h, f)
		}
	})
}

// checkDecision checks a decision against the rules for which the table exists.
func checkDecision(t *rapid.T, h session.Hello, f session.Facts) {
	got := session.Decide(h, f)
	if again := session.Decide(h, f); !reflect.DeepEqual(got, again) {
		t.Fatalf("the same question has two answers: %+v and %+v", got, again)
	}
	app, side, something := identity(f.Stored)
	isMine := something && app == h.App && (h.Side == "" || h.Side == side)
	held, isLive := f.Stored.(session.Live)
	joins := isLive && isMine && held.Ledger.Kept <= h.NextExpected && h.NextExpected <= held.Ledger.Next && h.NextSent <= held.Ledger.Wanted && h.Epoch <= held.Epoch
	self := h.Replaces != nil && *h.Replaces == h.Key
	if _, is := got.(session.Resume); is != (joins && !self) {
		t.Fatalf("%+v, though it is %v that both directions join up", got, joins)
	}

	switch d := got.(type) {
	case session.Resume:
		// Frames: the server still has every one that the client has not processed.
		// Commands: the client still has every one that the server has not received.
		l := held.Ledger
		if d.From != h.NextExpected || d.From < l.Kept || d.From > l.Next || h.NextSent > l.Wanted {
			t.Fatalf("a gap: %+v, %+v, %+v", h, l, d)
		}
		attached := session.Record{Ledger: l, Epoch: 1}.State(time.Time{}, session.Timing{HeartbeatInterval: 1, HeartbeatsUntilDead: 1}).(session.Attached)
		next, err := attached.Reconnect(time.Time{}, d.From)
		want := session.Ledger{Wanted: l.Wanted, Kept: d.From, Next: l.Next}
		if err != nil || next.Ledger != want || next.Epoch != 2 {
			t.Fatalf("reconnected: %+v, %v, want %+v", next, err, want)
		}
	case session.Start, session.Replace:
		if something || h.NextExpected != 0 || h.NextSent != 0 || h.Epoch != 0 {
			t.Fatalf("%+v begins, with %+v held and the claim %+v", d, f.Stored, h)
		}
		if f.Owner != nil && (h.Replaces == nil || *h.Replaces != *f.Owner) {
			t.Fatalf("%+v takes a side that another owns", d)
		}
		start, _ := d.(session.Start)
		if _, is := d.(session.Start); is && start.TakesOver != (f.Owner != nil) {
			t.Fatalf("%+v, with the owner %v", d, f.Owner)
		}
		replaced, isLive := f.Replaced.(session.Live)
		toReplace := isLive && h.Replaces != nil && replaced.App == h.App
		if replace, is := d.(session.Replace); is != toReplace || is && (replace.Old != *h.Replaces || replace.Old == h.Key) {
			t.Fatalf("%+v, where %+v is to be replaced", d, f.Replaced)
		}
	case session.Reject:
		grave, isTombstone := f.Stored.(session.Tombstone)
		if (d.Ended != nil) != (isTombstone && isMine && !self) || d.Ended != nil && *d.Ended != grave.Closed {
			t.Fatalf("%+v, with %+v held", d, f.Stored)
		}
		if (d.Code == session.IdentityMismatch) != (something && !isMine && !self) || (d.Code == session.Malformed) != self || d.Detail == "" {
			t.Fatalf("%+v, with %+v held", d, f.Stored)
		}
		if something && !isMine && strings.ContainsAny(d.Detail, "0123456789") {
			t.Fatalf("a stranger is told: %q", d.Detail)
		}
	default:
		t.Fatalf("%T is no decision", got)
	}
}

// identity returns the app and side of the stored session, if there is one.
func identity(h session.Stored) (app, side string, something bool) {
	switch held := h.(type) {
	case session.Live:
		return held.App, held.Side, true
	case session.Tombstone:
		return held.App, held.Side, true
	}
	return "", "", false
}

func BenchmarkDecide(b *testing.B) {
	benchmarks := map[string]struct {
		hello session.Hello
		facts session.Facts
	}{
		"resume": {claims(3, 5), session.Facts{Stored: live("app", "me", ledger), Replaced: session.Nothing{}, Owner: &mine}},
		"start":  {claims(0, 0), session.Facts{Stored: session.Nothing{}, Replaced: session.Nothing{}}},
		"reject": {claims(8, 5), session.Facts{Stored: live("app", "me", ledger), Replaced: session.Nothing{}, Owner: &mine}},
	}
	for name, bm := range benchmarks {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				session.Decide(bm.hello, bm.facts)
			}
		})
	}
}
