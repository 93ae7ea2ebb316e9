package rendezvous_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"restante/rendezvous"
)

// boxTTL is the ttl of the mailboxes below.
const boxTTL = 100 * time.Second

// second is a moment of these tests, counted from 1970.
func second(n int64) time.Time { return time.Unix(n, 0) }

// box returns a mailbox that was made at second 0 and changed last at this second.
func box(changed int64, sides ...rendezvous.Opening) rendezvous.Mailbox {
	m := rendezvous.NewMailbox("app", "box", boxTTL, second(0))
	m.Updated, m.StaleAt, m.Sides = second(changed), second(changed).Add(boxTTL), sides
	return m
}

func crowdedBox(changed int64, sides ...rendezvous.Opening) rendezvous.Mailbox {
	m := box(changed, sides...)
	m.Crowded = true
	return m
}

// entered returns a side that is in and has not opened.
func entered(s rendezvous.Side, at int64) rendezvous.Opening {
	return rendezvous.Opening{Side: s, Entered: second(at)}
}

func opened(s rendezvous.Side, since, at int64) rendezvous.Opening {
	return rendezvous.Opening{Side: s, Entered: second(since), Opened: new(second(at))}
}

// closed returns a side that has closed.
func closed(o rendezvous.Opening, at int64, mood rendezvous.Mood) rendezvous.Opening {
	o.Closed = &rendezvous.Closing{At: second(at), Mood: mood}
	return o
}

// copyBox returns a copy that shares nothing with the original.
func copyBox(m rendezvous.Mailbox) rendezvous.Mailbox {
	m.Sides = slices.Clone(m.Sides)
	for i, o := range m.Sides {
		if o.Opened != nil {
			m.Sides[i].Opened = new(*o.Opened)
		}
		if o.Closed != nil {
			m.Sides[i].Closed = new(*o.Closed)
		}
	}
	return m
}

// boxRow is a rule applied at second 9, and its result.
type boxRow struct {
	from rendezvous.Mailbox
	side rendezvous.Side
	want rendezvous.Mailbox
	says bool
}

func testBoxRows(t *testing.T, rule func(rendezvous.Mailbox, rendezvous.Side) (rendezvous.Mailbox, bool), rows map[string]boxRow) {
	t.Helper()
	for name, r := range rows {
		t.Run(name, func(t *testing.T) {
			before := copyBox(r.from)
			got, says := rule(r.from, r.side)
			if says != r.says {
				t.Errorf("answered %v, want %v", says, r.says)
			}
			if diff := cmp.Diff(r.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(before, r.from); diff != "" {
				t.Errorf("the original changed (-before +after)\n%s", diff)
			}
		})
	}
}

func TestNewMailboxIsEmptyAndLivesForItsTTL(t *testing.T) {
	want := rendezvous.Mailbox{App: "app", ID: "box", Created: second(5), Updated: second(5), TTL: boxTTL, StaleAt: second(105), Stored: 1 << 10}
	got := rendezvous.NewMailbox("app", "box", boxTTL, second(5))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if !got.Empty() {
		t.Error("a side is in it")
	}
}

func TestMailboxEnter(t *testing.T) {
	enter := func(m rendezvous.Mailbox, s rendezvous.Side) (rendezvous.Mailbox, bool) { return m.Enter(s, second(9)) }
	testBoxRows(t, enter, map[string]boxRow{
		"the first side is let in":  {box(0), "a", box(9, entered("a", 9)), true},
		"the second side is let in": {box(1, entered("a", 1)), "b", box(9, entered("a", 1), entered("b", 9)), true},
		"a side that is in changes nothing": {
			box(2, entered("a", 1), entered("b", 2)), "a", box(2, entered("a", 1), entered("b", 2)), true,
		},
		"a side that has opened it stays so": {
			box(2, opened("a", 1, 2)), "a", box(2, opened("a", 1, 2)), true,
		},
		"a third side is not admitted, is flagged and renews nothing": {
			box(2, entered("a", 1), opened("b", 2, 2)), "c", crowdedBox(2, entered("a", 1), opened("b", 2, 2)), false,
		},
		"a third side is not admitted where one has closed": {
			box(4, closed(opened("a", 1, 3), 4, "happy"), entered("b", 2)), "c",
			crowdedBox(4, closed(opened("a", 1, 3), 4, "happy"), entered("b", 2)), false,
		},
		"a third side is not admitted where both have closed": {
			box(5, closed(opened("a", 1, 3), 4, "happy"), closed(entered("b", 2), 5, "happy")), "c",
			crowdedBox(5, closed(opened("a", 1, 3), 4, "happy"), closed(entered("b", 2), 5, "happy")), false,
		},
		"a third side is not admitted the second time either": {
			crowdedBox(2, entered("a", 1), entered("b", 2)), "c", crowdedBox(2, entered("a", 1), entered("b", 2)), false,
		},
		"a third side never locks out the first": {
			crowdedBox(2, entered("a", 1), entered("b", 2)), "a", crowdedBox(2, entered("a", 1), entered("b", 2)), true,
		},
		"a third side never locks out a side that has closed": {
			crowdedBox(4, closed(opened("a", 1, 3), 4, "happy"), entered("b", 2)), "a",
			crowdedBox(9, entered("a", 1), entered("b", 2)), true,
		},
		"a side is let in again after its own close, and has not opened": {
			box(4, closed(opened("a", 1, 3), 4, "scary"), entered("b", 2)), "a",
			box(9, entered("a", 1), entered("b", 2)), true,
		},
		"the second side is let in where the first has closed": {
			box(4, closed(opened("a", 1, 3), 4, "happy")), "b",
			box(9, closed(opened("a", 1, 3), 4, "happy"), entered("b", 9)), true,
		},
	})
}

// A slice may have room behind its sides. Two results of one value must not share it.
func TestMailboxEnterTwiceFromOneValue(t *testing.T) {
	m := box(1, slices.Grow([]rendezvous.Opening{entered("a", 1)}, 1)...)
	withB, _ := m.Enter("b", second(2))
	withC, _ := m.Open("c", second(3))
	for _, r := range []struct{ want, got rendezvous.Mailbox }{
		{box(1, entered("a", 1)), m},
		{box(2, entered("a", 1), entered("b", 2)), withB},
		{box(3, entered("a", 1), opened("c", 3, 3)), withC},
	} {
		if diff := cmp.Diff(r.want, r.got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

func TestMailboxOpen(t *testing.T) {
	open := func(m rendezvous.Mailbox, s rendezvous.Side) (rendezvous.Mailbox, bool) { return m.Open(s, second(9)) }
	testBoxRows(t, open, map[string]boxRow{
		"the first side enters and opens": {box(0), "a", box(9, opened("a", 9, 9)), true},
		"the second side enters and opens": {
			box(1, entered("a", 1)), "b", box(9, entered("a", 1), opened("b", 9, 9)), true,
		},
		"a side that has entered opens, and keeps when it entered": {
			box(2, entered("a", 1), entered("b", 2)), "a", box(9, opened("a", 1, 9), entered("b", 2)), true,
		},
		"opening twice keeps when, and renews nothing": {
			box(2, opened("a", 1, 2)), "a", box(2, opened("a", 1, 2)), true,
		},
		"a third side is not admitted, is flagged and renews nothing": {
			box(2, opened("a", 1, 1), entered("b", 2)), "c", crowdedBox(2, opened("a", 1, 1), entered("b", 2)), false,
		},
		"a third side is not admitted where both have closed": {
			box(5, closed(opened("a", 1, 3), 4, "happy"), closed(entered("b", 2), 5, "happy")), "c",
			crowdedBox(5, closed(opened("a", 1, 3), 4, "happy"), closed(entered("b", 2), 5, "happy")), false,
		},
		"a third side never locks out the second": {
			crowdedBox(2, opened("a", 1, 1), entered("b", 2)), "b", crowdedBox(9, opened("a", 1, 1), opened("b", 2, 9)), true,
		},
		"a side opens again after its own close, as of now": {
			box(4, closed(opened("a", 1, 3), 4, "errory"), opened("b", 2, 2)), "a",
			box(9, opened("a", 1, 9), opened("b", 2, 2)), true,
		},
		"a side that closed without opening opens": {
			box(4, closed(entered("a", 1), 4, "happy")), "a", box(9, opened("a", 1, 9)), true,
		},
	})
}

func TestMailboxClose(t *testing.T) {
	shut := func(m rendezvous.Mailbox, s rendezvous.Side) (rendezvous.Mailbox, bool) {
		return m.Close(s, rendezvous.Scary, second(9))
	}
	testBoxRows(t, shut, map[string]boxRow{
		"a side leaves, and the other stays": {
			box(3, opened("a", 1, 2), opened("b", 3, 3)), "a", box(9, closed(opened("a", 1, 2), 9, "scary"), opened("b", 3, 3)), true,
		},
		"the only side leaves": {
			box(2, opened("a", 1, 2)), "a", box(9, closed(opened("a", 1, 2), 9, "scary")), true,
		},
		"the last side leaves": {
			box(4, closed(opened("a", 1, 2), 4, "happy"), opened("b", 3, 3)), "b",
			box(9, closed(opened("a", 1, 2), 4, "happy"), closed(opened("b", 3, 3), 9, "scary")), true,
		},
		"a side that has only entered leaves": {
			box(1, entered("a", 1)), "a", box(9, closed(entered("a", 1), 9, "scary")), true,
		},
		"closing twice keeps the first mood, and renews nothing": {
			box(4, closed(opened("a", 1, 2), 4, "happy"), opened("b", 3, 3)), "a",
			box(4, closed(opened("a", 1, 2), 4, "happy"), opened("b", 3, 3)), false,
		},
		"a side that never came changes nothing": {
			box(2, opened("a", 1, 2)), "b", box(2, opened("a", 1, 2)), false,
		},
		"a third side that was refused changes nothing": {
			crowdedBox(3, opened("a", 1, 2), opened("b", 3, 3)), "c", crowdedBox(3, opened("a", 1, 2), opened("b", 3, 3)), false,
		},
		"a mailbox without sides": {box(0), "a", box(0), false},
		"a crowded one stays known for that": {
			crowdedBox(3, opened("a", 1, 2), opened("b", 3, 3)), "b", crowdedBox(9, opened("a", 1, 2), closed(opened("b", 3, 3), 9, "scary")), true,
		},
	})
}

func TestMailboxPresence(t *testing.T) {
	type presence struct{ Has, HasOpen, Empty bool } // of side a
	for name, r := range map[string]struct {
		m    rendezvous.Mailbox
		want presence
	}{
		"no side came":                       {box(0), presence{Empty: true}},
		"it has entered":                     {box(1, entered("a", 1)), presence{Has: true}},
		"it has opened":                      {box(2, opened("a", 1, 2)), presence{Has: true, HasOpen: true}},
		"it has entered and closed":          {box(3, closed(entered("a", 1), 3, "happy")), presence{Empty: true}},
		"it has opened and closed":           {box(3, closed(opened("a", 1, 2), 3, "happy")), presence{Empty: true}},
		"only another is in":                 {box(2, opened("b", 1, 2)), presence{}},
		"another is in, it has closed":       {box(3, opened("b", 1, 1), closed(opened("a", 2, 2), 3, "happy")), presence{}},
		"another has closed, it has entered": {box(3, closed(opened("b", 1, 1), 3, "happy"), entered("a", 2)), presence{Has: true}},
		"another has closed, it has opened":  {box(3, closed(opened("b", 1, 1), 3, "happy"), opened("a", 2, 2)), presence{Has: true, HasOpen: true}},
		"both are in":                        {box(3, opened("b", 1, 1), entered("a", 2)), presence{Has: true}},
		"both have closed":                   {box(4, closed(opened("b", 1, 1), 3, "happy"), closed(opened("a", 2, 2), 4, "happy")), presence{Empty: true}},
		"it was the third":                   {crowdedBox(2, opened("b", 1, 1), opened("c", 2, 2)), presence{}},
		"it was the third, and is alone": {
			crowdedBox(4, closed(opened("b", 1, 1), 3, "happy"), closed(opened("c", 2, 2), 4, "happy")), presence{Empty: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(r.want, presence{r.m.Has("a"), r.m.HasOpen("a"), r.m.Empty()}); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestMailboxExtend(t *testing.T) {
	// lives is a mailbox that changed at second 10, with this ttl and looked at at that second.
	lives := func(ttl time.Duration, staleAt int64) rendezvous.Mailbox {
		m := box(10, opened("a", 1, 10))
		m.TTL, m.StaleAt = ttl, second(staleAt)
		return m
	}
	for name, r := range map[string]struct {
		from rendezvous.Mailbox
		ttl  time.Duration
		want rendezvous.Mailbox
	}{
		"a longer life counts from the last change":                {lives(100*time.Second, 110), 300 * time.Second, lives(300*time.Second, 310)},
		"a shorter life changes nothing":                           {lives(100*time.Second, 110), 99 * time.Second, lives(100*time.Second, 110)},
		"the same life changes nothing":                            {lives(100*time.Second, 110), 100 * time.Second, lives(100*time.Second, 110)},
		"asking for nothing changes nothing":                       {lives(100*time.Second, 110), 0, lives(100*time.Second, 110)},
		"where it was put off it stays put off":                    {lives(100*time.Second, 900), 300 * time.Second, lives(300*time.Second, 900)},
		"where it was put off, and would end later, it ends later": {lives(100*time.Second, 200), 300 * time.Second, lives(300*time.Second, 310)},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(r.want, r.from.Extend(r.ttl)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	t.Run("it never shortens anything", rapid.MakeCheck(func(t *rapid.T) {
		span := rapid.Int64Range(0, 1000)
		m := lives(time.Duration(span.Draw(t, "ttl"))*time.Second, span.Draw(t, "staleAt"))
		seen := second(span.Draw(t, "seen"))
		asked := time.Duration(span.Draw(t, "asked")) * time.Second
		got := m.Extend(asked)
		if got.TTL < m.TTL || got.TTL < asked || got.StaleAt.Before(m.StaleAt) || got.Stale(seen).Before(m.Stale(seen)) {
			t.Fatalf("%v became %v", m, got)
		}
	}))
}

func TestMailboxAppended(t *testing.T) {
	full := box(3, opened("a", 1, 2), entered("b", 3))
	full.Last, full.Bytes = 7, 70
	for name, r := range map[string]struct {
		from        rendezvous.Mailbox
		body        string
		last, bytes int64
	}{
		"the first message is at 1":                   {box(3, opened("a", 1, 2)), "hello", 1, 5},
		"the next one has the next position":          {full, "hello", 8, 75},
		"an empty body has a position":                {full, "", 8, 70},
		"a body counts by its bytes":                  {full, "€🐌", 8, 77},
		"a body that is not text counts by its bytes": {full, "\x00\xff", 8, 72},
	} {
		t.Run(name, func(t *testing.T) {
			before := copyBox(r.from)
			want := copyBox(r.from)
			want.Last, want.Bytes = rendezvous.Position(r.last), r.bytes
			want.Updated = second(9)
			if diff := cmp.Diff(want, r.from.Appended(r.body, second(9))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			late := r.from.StaleAt.Add(-boxTTL / 3)
			want.Updated, want.StaleAt = late, late.Add(boxTTL)
			if diff := cmp.Diff(want, r.from.Appended(r.body, late)); diff != "" {
				t.Errorf("when it would soon be looked at (-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(before, r.from); diff != "" {
				t.Errorf("the original changed (-before +after)\n%s", diff)
			}
		})
	}
}

func TestMailboxStale(t *testing.T) {
	long := box(10).Extend(1000 * time.Second)
	putOff := box(10)
	putOff.StaleAt = second(5000)
	for name, r := range map[string]struct {
		m    rendezvous.Mailbox
		seen time.Time
		want time.Time
	}{
		"it has no sign of life":                              {box(10), time.Time{}, second(110)},
		"its holder was seen before it changed":               {box(10), second(4), second(110)},
		"its holder was seen when it changed":                 {box(10), second(10), second(110)},
		"its holder was seen after it changed":                {box(10), second(40), second(140)},
		"a longer life counts":                                {long, second(40), second(1040)},
		"when it is looked at says nothing of when it is old": {putOff, second(40), second(140)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := r.m.Stale(r.seen); !got.Equal(r.want) {
				t.Errorf("stale at %v, want %v", got, r.want)
			}
		})
	}
}

// visitor is one side of a mailbox in the model.
type visitor struct {
	side     rendezvous.Side
	in, open bool
	mood     rendezvous.Mood
}

// modelBox is what a mailbox should be, expressed differently.
type modelBox struct {
	visitors []visitor
	crowded  bool
	changed  time.Time
}

func (b *modelBox) of(s rendezvous.Side) *visitor {
	for i := range b.visitors {
		if b.visitors[i].side == s {
			return &b.visitors[i]
		}
	}
	return nil
}

// come is Enter, and also Open if open is set.
func (b *modelBox) come(s rendezvous.Side, open bool, now time.Time) bool {
	v := b.of(s)
	if v == nil && len(b.visitors) == 2 {
		b.crowded = true
		return false
	}
	if v == nil {
		b.visitors = append(b.visitors, visitor{side: s})
		v = b.of(s)
	}
	if !v.in || open && !v.open {
		b.changed = now
	}
	v.in, v.open, v.mood = true, v.open || open, ""
	return true
}

func (b *modelBox) leave(s rendezvous.Side, mood rendezvous.Mood, now time.Time) bool {
	v := b.of(s)
	if v == nil || !v.in {
		return false
	}
	v.in, v.open, v.mood, b.changed = false, false, mood, now
	return true
}

// Three sides come and go at random. Whatever they do, the mailbox is what the model says, and keeps
// its promises to the first two.
func TestMailboxAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := second(0)
		m := rendezvous.NewMailbox("app", "box", boxTTL, now)
		model := modelBox{changed: now}
		type version struct{ value, copy rendezvous.Mailbox }
		versions := []version{{m, copyBox(m)}}
		sides := []rendezvous.Side{"a", "b", "c"}

		step := func(t *rapid.T) rendezvous.Side {
			now = now.Add(time.Duration(rapid.IntRange(0, 50).Draw(t, "seconds")) * time.Second)
			return rapid.SampledFrom(sides).Draw(t, "side")
		}
		became := func(t *rapid.T, next rendezvous.Mailbox, got, want bool) {
			if got != want {
				t.Fatalf("answered %v, and the model %v", got, want)
			}
			m = next
			versions = append(versions, version{m, copyBox(m)})
		}
		come := func(t *rapid.T, open bool) {
			s := step(t)
			first := model.of(s) != nil || len(model.visitors) < 2
			rule := rendezvous.Mailbox.Enter
			if open {
				rule = rendezvous.Mailbox.Open
			}
			next, admitted := rule(m, s, now)
			if admitted != first {
				t.Fatalf("%s is one of the first two: %v; admitted: %v", s, first, admitted)
			}
			became(t, next, admitted, model.come(s, open, now))
		}
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) { come(t, false) },
			"open":  func(t *rapid.T) { come(t, true) },
			"close": func(t *rapid.T) {
				s := step(t)
				mood := rapid.SampledFrom([]rendezvous.Mood{rendezvous.Happy, rendezvous.Lonely, rendezvous.Scary, rendezvous.Errory}).Draw(t, "mood")
				next, left := m.Close(s, mood, now)
				became(t, next, left, model.leave(s, mood, now))
			},
			"": func(t *rapid.T) {
				if len(m.Sides) > 2 {
					t.Fatalf("%d sides", len(m.Sides))
				}
				seen := modelBox{crowded: m.Crowded, changed: m.Updated}
				empty := true
				for _, o := range m.Sides {
					v := visitor{side: o.Side, in: m.Has(o.Side), open: m.HasOpen(o.Side)}
					if o.Closed != nil {
						v.mood = o.Closed.Mood
					}
					if (v.mood == "") != v.in {
						t.Fatalf("%s is in: %v, with mood %q", o.Side, v.in, v.mood)
					}
					empty = empty && !v.in
					seen.visitors = append(seen.visitors, v)
				}
				if diff := cmp.Diff(model, seen, cmp.AllowUnexported(modelBox{}, visitor{})); diff != "" {
					t.Fatalf("(-model +mailbox)\n%s", diff)
				}
				if m.Empty() != empty {
					t.Fatalf("empty: %v; every side that entered has closed: %v", m.Empty(), empty)
				}
				for _, s := range sides {
					if (m.Has(s) || m.HasOpen(s)) && model.of(s) == nil {
						t.Fatalf("%s is in, and was never admitted", s)
					}
				}
				if want := m.Updated.Add(m.TTL); !m.StaleAt.Equal(want) {
					t.Fatalf("stale at %v, want %v", m.StaleAt, want)
				}
			},
		})
		for _, v := range versions {
			if diff := cmp.Diff(v.copy, v.value); diff != "" {
				t.Fatalf("an earlier mailbox changed (-before +after)\n%s", diff)
			}
		}
	})
}
