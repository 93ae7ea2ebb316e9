package rendezvous

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// visitor is a client that claims again and again from one address.
type visitor struct {
	side    SideRef
	cost    float64
	hammers time.Duration // it comes back after that whatever it is told; 0 for one that waits as long as it is told
	next    time.Time
	since   time.Time // when it began to ask for what it asks for
	served  int
	longest time.Duration // that it waited
}

// play has visitors come for so long. late is by how much they are late when they come back.
func play(b *claimBudget, l Limits, visitors []*visitor, start time.Time, long time.Duration, late func() time.Duration) {
	for {
		one := slices.MinFunc(visitors, func(a, b *visitor) int { return a.next.Compare(b.next) })
		now := one.next
		if now.Sub(start) >= long {
			return
		}
		switch wait := b.spend(one.side, one.cost, l, now); {
		case wait == 0:
			one.served++
			one.longest = max(one.longest, now.Sub(one.since))
			one.since, one.next = now, now.Add(one.hammers+late())
		case one.hammers > 0:
			one.next = now.Add(one.hammers)
		default:
			one.next = now.Add((wait + time.Second - 1).Truncate(time.Second) + late())
		}
	}
}

// drawBudget draws limits and a budget of which an address has used up all that it has at once.
func drawBudget(t *rapid.T, address string) (b *claimBudget, l Limits, start time.Time) {
	l = Limits{ClaimRate: rapid.Float64Range(1, 600).Draw(t, "rate"), ClaimBurst: rapid.IntRange(1, 100).Draw(t, "burst")}
	b, start = &claimBudget{}, time.Unix(1_800_000_000, 0)
	for i := range l.ClaimBurst {
		b.spend(SideRef{Side: Side("before" + strconv.Itoa(i)), Address: address}, 1, l, start)
	}
	return b, l, start
}

// TestSidesThatWaitAreServed has up to as many sides of an address as may wait ask for one after the other, and wait as long
// as they are told. All that comes is used, and each gets its share, as if the others stood in a line before it.
func TestSidesThatWaitAreServed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const long = 10 * time.Minute
		b, l, start := drawBudget(t, "addr-one")
		perSecond := l.ClaimRate / 60
		atMost := int(max(float64(l.ClaimBurst), l.ClaimRate)) - 1
		v := make([]*visitor, rapid.IntRange(1, max(atMost, 1)).Draw(t, "sides"))
		for i := range v {
			at := start.Add(time.Duration(rapid.IntRange(0, 1000).Draw(t, "at")) * time.Millisecond)
			v[i] = &visitor{side: SideRef{Side: Side(strconv.Itoa(i)), Address: "addr-one"}, cost: 1, next: at, since: at}
		}
		play(b, l, v, start, long, func() time.Duration { return time.Duration(rapid.IntRange(1, 300).Draw(t, "late")) * time.Millisecond })
		// Each waits for the others, for its own turn and the one taken before, and until the second is over in which it is.
		turn := time.Duration(float64(len(v)+2)/perSecond*float64(time.Second)) + 1300*time.Millisecond
		total := 0
		for i, one := range v {
			total += one.served
			if one.longest > turn {
				t.Fatalf("side %d of %d waited for %v", i, len(v), one.longest)
			}
			if want := int(long/turn) - 1; one.served < want {
				t.Fatalf("side %d of %d was served %d times, not %d", i, len(v), one.served, want)
			}
		}
		if most := perSecond*long.Seconds() + float64(l.ClaimBurst) + 1; float64(total) > most {
			t.Fatalf("%d were served, of %.0f", total, most)
		}
	})
}

// TestAClientThatDoesNotWaitGetsNoMoreThanTheRate has clients ask on and on, some of them for guesses, beside some that wait
// as long as they are told.
func TestAClientThatDoesNotWaitGetsNoMoreThanTheRate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const long = 10 * time.Minute
		b, l, start := drawBudget(t, "addr-one")
		v := make([]*visitor, rapid.IntRange(1, 10).Draw(t, "sides"))
		for i := range v {
			v[i] = &visitor{side: SideRef{Side: Side(strconv.Itoa(i)), Address: "addr-one"}, cost: 1, next: start, since: start}
			if i == 0 || rapid.Bool().Draw(t, "hammers") {
				v[i].hammers = time.Duration(rapid.IntRange(100, 5000).Draw(t, "every")) * time.Millisecond
			}
			if rapid.Bool().Draw(t, "guesses") {
				v[i].cost = guessCost
			}
		}
		play(b, l, v, start, long, func() time.Duration { return 100 * time.Millisecond })
		spent := 0.0
		for _, one := range v {
			spent += float64(one.served) * one.cost
		}
		if most := l.ClaimRate/60*long.Seconds() + float64(l.ClaimBurst) + guessCost; spent > most {
			t.Fatalf("they got %.0f, of %.0f", spent, most)
		}
	})
}

// TestATurnIsPaidAsItIsUsed has a side ask for less than it then takes, and for more.
func TestATurnIsPaidAsItIsUsed(t *testing.T) {
	t.Parallel()
	l := Limits{ClaimRate: 60, ClaimBurst: 1}
	for name, costs := range map[string][2]float64{"less": {1, guessCost}, "more": {guessCost, 1}} {
		t.Run(name, func(t *testing.T) {
			var b claimBudget
			now, one := time.Unix(1_800_000_000, 0), SideRef{Side: "one", Address: "addr"}
			b.spend(SideRef{Side: "before", Address: "addr"}, 1, l, now)
			now = now.Add(b.spend(one, costs[0], l, now))
			if wait := b.spend(one, costs[1], l, now); wait != 0 {
				t.Fatalf("it is not its turn for %v", wait)
			}
			if wait := b.spend(one, 1, l, now); wait != time.Duration(costs[1])*time.Second {
				t.Errorf("what comes next waits for %v", wait)
			}
		})
	}
}

// TestTurnsEnd has a side not come to its turn, or come too late.
func TestTurnsEnd(t *testing.T) {
	t.Parallel()
	l := Limits{ClaimRate: 60, ClaimBurst: 1}
	now, one, other := time.Unix(1_800_000_000, 0), SideRef{Side: "one", Address: "addr"}, SideRef{Side: "other", Address: "addr"}
	empty := func() *claimBudget {
		b := &claimBudget{}
		b.spend(SideRef{Side: "before", Address: "addr"}, 1, l, now)
		b.spend(one, 1, l, now)
		return b
	}
	t.Run("it leaves", func(t *testing.T) {
		b := empty()
		b.leave(one, l, now)
		b.leave(one, l, now)
		if wait := b.spend(other, 1, l, now); wait != time.Second {
			t.Errorf("the next one waits for %v", wait)
		}
	})
	t.Run("it comes too late", func(t *testing.T) {
		b := empty()
		late := now.Add(time.Second + turnKept)
		b.spend(other, 1, l, late)
		if wait := b.spend(one, 1, l, late); wait != time.Second {
			t.Errorf("it waits for %v", wait)
		}
	})
	t.Run("it comes too early", func(t *testing.T) {
		b := empty()
		if wait := b.spend(one, 1, l, now); wait != time.Second {
			t.Errorf("its turn is in %v", wait)
		}
		if wait := b.spend(other, 1, l, now); wait != 2500*time.Millisecond {
			t.Errorf("the next one waits for %v", wait)
		}
	})
}
