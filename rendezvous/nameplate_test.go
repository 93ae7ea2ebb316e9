package rendezvous_test

import (
	"errors"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"restante/rendezvous"
)

// plate returns a nameplate with these claims.
func plate(claims ...rendezvous.Claim) rendezvous.Nameplate {
	return rendezvous.Nameplate{App: "app", ID: "7", Mailbox: 3, Created: second(0), StaleAt: second(100), Claims: claims}
}

func crowdedPlate(claims ...rendezvous.Claim) rendezvous.Nameplate {
	n := plate(claims...)
	n.Crowded = true
	return n
}

func claimed(s rendezvous.Side, since int64) rendezvous.Claim {
	return rendezvous.Claim{Side: s, Since: second(since)}
}

func released(s rendezvous.Side, since, at int64) rendezvous.Claim {
	return rendezvous.Claim{Side: s, Since: second(since), Released: new(second(at))}
}

// copyPlate returns a copy that shares nothing with the original.
func copyPlate(n rendezvous.Nameplate) rendezvous.Nameplate {
	n.Claims = slices.Clone(n.Claims)
	for i, c := range n.Claims {
		if c.Released != nil {
			n.Claims[i].Released = new(*c.Released)
		}
	}
	return n
}

func TestNameplateClaim(t *testing.T) {
	for name, r := range map[string]struct {
		from rendezvous.Nameplate
		side rendezvous.Side // claims at second 9
		want rendezvous.Nameplate
		code rendezvous.Code
	}{
		"the first side claims it": {
			plate(), "a", plate(claimed("a", 9)), "",
		},
		"the second side claims it, after the first": {
			plate(claimed("a", 1)), "b", plate(claimed("a", 1), claimed("b", 9)), "",
		},
		"claiming twice changes nothing, and keeps since when": {
			plate(claimed("a", 1)), "a", plate(claimed("a", 1)), "",
		},
		"the second side's claiming twice changes nothing either": {
			plate(claimed("a", 1), claimed("b", 2)), "b", plate(claimed("a", 1), claimed("b", 2)), "",
		},
		"the second side claims it after the first has released": {
			plate(released("a", 1, 2)), "b", plate(released("a", 1, 2), claimed("b", 9)), "",
		},
		"a side that released while another holds it has reclaimed": {
			plate(released("a", 1, 3), claimed("b", 2)), "a", plate(released("a", 1, 3), claimed("b", 2)), rendezvous.Reclaimed,
		},
		"a side that released has reclaimed also where it was alone": {
			plate(released("a", 1, 3)), "a", plate(released("a", 1, 3)), rendezvous.Reclaimed,
		},
		"a side that released a crowded one has reclaimed": {
			crowdedPlate(claimed("a", 1), released("b", 2, 3)), "b", crowdedPlate(claimed("a", 1), released("b", 2, 3)), rendezvous.Reclaimed,
		},
		"a third side is refused and flagged, and nothing else changes": {
			plate(claimed("a", 1), claimed("b", 2)), "c", crowdedPlate(claimed("a", 1), claimed("b", 2)), rendezvous.Crowded,
		},
		"a third side is refused where one of the two has released": {
			plate(released("a", 1, 3), claimed("b", 2)), "c", crowdedPlate(released("a", 1, 3), claimed("b", 2)), rendezvous.Crowded,
		},
		"a third side is refused again": {
			crowdedPlate(claimed("a", 1), claimed("b", 2)), "c", crowdedPlate(claimed("a", 1), claimed("b", 2)), rendezvous.Crowded,
		},
		"a third side never locks out the first": {
			crowdedPlate(claimed("a", 1), claimed("b", 2)), "a", crowdedPlate(claimed("a", 1), claimed("b", 2)), "",
		},
		"a third side never locks out the second": {
			crowdedPlate(claimed("a", 1), claimed("b", 2)), "b", crowdedPlate(claimed("a", 1), claimed("b", 2)), "",
		},
		"letter case tells sides apart": {
			plate(claimed("a", 1)), "A", plate(claimed("a", 1), claimed("A", 9)), "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := copyPlate(r.from)
			got, code := r.from.Claim(r.side, "", second(9))
			if code != r.code {
				t.Errorf("answered %q, want %q", code, r.code)
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

// A slice may have room behind its claims. Two results of one value must not share it.
func TestNameplateClaimTwiceFromOneValue(t *testing.T) {
	n := plate(slices.Grow([]rendezvous.Claim{claimed("a", 1)}, 1)...)
	withB, _ := n.Claim("b", "", second(2))
	withC, _ := n.Claim("c", "", second(3))
	for _, r := range []struct{ want, got rendezvous.Nameplate }{
		{plate(claimed("a", 1)), n},
		{plate(claimed("a", 1), claimed("b", 2)), withB},
		{plate(claimed("a", 1), claimed("c", 3)), withC},
	} {
		if diff := cmp.Diff(r.want, r.got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

func TestNameplateRelease(t *testing.T) {
	for name, r := range map[string]struct {
		from rendezvous.Nameplate
		side rendezvous.Side // releases at second 9
		want rendezvous.Nameplate
	}{
		"the only side lets go":              {plate(claimed("a", 1)), "a", plate(released("a", 1, 9))},
		"the first of two lets go":           {plate(claimed("a", 1), claimed("b", 2)), "a", plate(released("a", 1, 9), claimed("b", 2))},
		"the second of two lets go":          {plate(claimed("a", 1), claimed("b", 2)), "b", plate(claimed("a", 1), released("b", 2, 9))},
		"the last of two lets go":            {plate(released("a", 1, 3), claimed("b", 2)), "b", plate(released("a", 1, 3), released("b", 2, 9))},
		"releasing twice keeps when":         {plate(released("a", 1, 3), claimed("b", 2)), "a", plate(released("a", 1, 3), claimed("b", 2))},
		"a side without a claim":             {plate(claimed("a", 1)), "b", plate(claimed("a", 1))},
		"a third side that was refused":      {crowdedPlate(claimed("a", 1), claimed("b", 2)), "c", crowdedPlate(claimed("a", 1), claimed("b", 2))},
		"a nameplate without any claim":      {plate(), "a", plate()},
		"a crowded one stays known for that": {crowdedPlate(claimed("a", 1), claimed("b", 2)), "a", crowdedPlate(released("a", 1, 9), claimed("b", 2))},
	} {
		t.Run(name, func(t *testing.T) {
			before := copyPlate(r.from)
			if diff := cmp.Diff(r.want, r.from.Release(r.side, second(9))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(before, r.from); diff != "" {
				t.Errorf("the original changed (-before +after)\n%s", diff)
			}
		})
	}
}

func TestNameplateHeldAndWaiting(t *testing.T) {
	for name, r := range map[string]struct {
		n             rendezvous.Nameplate
		held, waiting bool
	}{
		"no side came":                            {plate(), false, false},
		"one side holds it":                       {plate(claimed("a", 1)), true, true},
		"the only side has released":              {plate(released("a", 1, 2)), false, false},
		"both hold it":                            {plate(claimed("a", 1), claimed("b", 2)), true, false},
		"the first has released":                  {plate(released("a", 1, 3), claimed("b", 2)), true, false},
		"the second has released":                 {plate(claimed("a", 1), released("b", 2, 3)), true, false},
		"both have released":                      {plate(released("a", 1, 3), released("b", 2, 3)), false, false},
		"both hold it and a third was refused":    {crowdedPlate(claimed("a", 1), claimed("b", 2)), true, false},
		"both released it and a third is refused": {crowdedPlate(released("a", 1, 3), released("b", 2, 3)), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if held, waiting := r.n.Claimed(), r.n.Waiting(); held != r.held || waiting != r.waiting {
				t.Errorf("held %v, waiting %v; want %v, %v", held, waiting, r.held, r.waiting)
			}
		})
	}
}

func TestNumber(t *testing.T) {
	for name, r := range map[string]struct {
		id   rendezvous.NameplateID
		want int // 0: not one that is allocated
	}{
		"the smallest":             {"1", 1},
		"the greatest":             {"999999", 999_999},
		"a zero inside":            {"100", 100},
		"one that is too great":    {"1000000", 0},
		"forty digits":             {"1234567890123456789012345678901234567890", 0},
		"zero":                     {"0", 0},
		"a leading zero":           {"07", 0},
		"leading zeros, as short":  {"000007", 0},
		"nothing":                  {"", 0},
		"a sign":                   {"+7", 0},
		"a negative one":           {"-7", 0},
		"a letter":                 {"7a", 0},
		"an underscore":            {"1_0", 0},
		"Unicode digits":           {"٧", 0},
		"a trailing newline":       {"7\n", 0},
		"hexadecimal":              {"0x7", 0},
		"as long, but not decimal": {"0b1010", 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := r.id.Number(); got != r.want || ok != (r.want != 0) {
				t.Errorf("Number(%q) = %d, %v; want %d", r.id, got, ok, r.want)
			}
		})
	}
	t.Run("a number has one nameplate, and only that is the number", rapid.MakeCheck(func(t *rapid.T) {
		want := rapid.IntRange(1, 999_999).Draw(t, "number")
		if got, ok := rendezvous.NameplateID(strconv.Itoa(want)).Number(); !ok || got != want {
			t.Fatalf("Number of %d is %d, %v", want, got, ok)
		}
		id := rapid.StringMatching(`[+\- 0]?[0-9]{0,7}`).Draw(t, "id")
		if got, ok := rendezvous.NameplateID(id).Number(); ok && strconv.Itoa(got) != id {
			t.Fatalf("%q counts as %d", id, got)
		}
	}))
}

func TestDigits(t *testing.T) {
	t.Run("the ranges follow upon each other, from 1 to 999,999", func(t *testing.T) {
		next := 1
		for _, r := range rendezvous.NumberRanges {
			if r.Low != next || r.High < r.Low {
				t.Errorf("range %d…%d follows, and should start at %d", r.Low, r.High, next)
			}
			next = r.High + 1
		}
		if next != 1_000_000 {
			t.Errorf("they end before %d", next)
		}
	})
	t.Run("one, two and three digits each have their range", func(t *testing.T) {
		for i, r := range rendezvous.NumberRanges[:3] {
			if low, high := len(strconv.Itoa(r.Low)), len(strconv.Itoa(r.High)); low != i+1 || high != i+1 {
				t.Errorf("range %d…%d is not of %d digits", r.Low, r.High, i+1)
			}
		}
	})
	t.Run("what is allocated is a number", func(t *testing.T) {
		for _, r := range rendezvous.NumberRanges {
			for _, n := range []int{r.Low, r.High} {
				if got, ok := rendezvous.NameplateID(strconv.Itoa(n)).Number(); !ok || got != n {
					t.Errorf("%d is read as %d, %v", n, got, ok)
				}
			}
		}
	})
}

// pick returns drawn, and complains unless it was asked to draw from exactly free numbers.
func pick(t interface {
	Helper()
	Errorf(format string, args ...any)
}, free, drawn int,
) func(int) int {
	t.Helper()
	return func(n int) int {
		if n != free {
			t.Errorf("it drew from %d numbers, and %d are free", n, free)
		}
		return drawn
	}
}

func TestPickFree(t *testing.T) {
	for name, r := range map[string]struct {
		low, high int
		taken     []int
		drawn     int
		want      int // 0: none is free
	}{
		"none is taken, the first is drawn":  {1, 9, nil, 0, 1},
		"none is taken, the last is drawn":   {1, 9, nil, 8, 9},
		"the first is taken":                 {1, 9, []int{1}, 0, 2},
		"the last is taken":                  {1, 9, []int{9}, 7, 8},
		"those around are taken":             {1, 9, []int{4, 6}, 3, 5},
		"a run is stepped over":              {1, 9, []int{2, 3, 4}, 1, 5},
		"two runs are stepped over":          {1, 9, []int{1, 2, 5, 6}, 2, 7},
		"those behind do not matter":         {1, 9, []int{8, 9}, 2, 3},
		"only the first is free":             {1, 3, []int{2, 3}, 0, 1},
		"only one in the middle is free":     {1, 3, []int{1, 3}, 0, 2},
		"only the last is free":              {1, 3, []int{1, 2}, 0, 3},
		"a range that does not start at one": {100, 999, []int{100, 102}, 1, 103},
		"a range of one":                     {5, 5, nil, 0, 5},
		"all are taken":                      {1, 3, []int{1, 2, 3}, 0, 0},
		"a range of one is taken":            {5, 5, []int{5}, 0, 0},
		"an empty range":                     {6, 5, nil, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := rendezvous.PickFree(r.low, r.high, r.taken, pick(t, r.high-r.low+1-len(r.taken), r.drawn))
			if r.want == 0 && !errors.Is(err, rendezvous.ErrNoFreeNameplate) {
				t.Errorf("%d, %v; want ErrNoFreeNameplate", got, err)
			}
			if r.want != 0 && (got != r.want || err != nil) {
				t.Errorf("%d, %v; want %d", got, err, r.want)
			}
		})
	}
	t.Run("where nothing is free, nothing is drawn", func(t *testing.T) {
		_, err := rendezvous.PickFree(1, 1, []int{1}, func(int) int { panic("drawn") })
		if err == nil {
			t.Error("no error")
		}
	})
}

// Whatever numbers of a small range are taken, the draws and the free numbers match one to one. So all
// free numbers have the same probability.
func TestPickFreeReachesEachFreeNumberByOneDraw(t *testing.T) {
	const low = 3
	for size := range 8 {
		for subset := range 1 << size {
			var taken, free, reached []int
			for i := range size {
				if subset>>i&1 == 1 {
					taken = append(taken, low+i)
				} else {
					free = append(free, low+i)
				}
			}
			for drawn := range free {
				got, err := rendezvous.PickFree(low, low+size-1, taken, pick(t, len(free), drawn))
				if err != nil {
					t.Fatalf("taken %v of %d: %v", taken, size, err)
				}
				reached = append(reached, got)
			}
			slices.Sort(reached)
			if !slices.Equal(reached, free) {
				t.Errorf("taken %v: reaches %v, and free are %v", taken, reached, free)
			}
		}
	}
}

func TestPickFreeInTheAllocatedRanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rapid.SampledFrom(rendezvous.NumberRanges).Draw(t, "range")
		taken := rapid.SliceOfNDistinct(rapid.IntRange(r.Low, r.High), 0, min(r.High-r.Low, 300), rapid.ID[int]).Draw(t, "taken")
		slices.Sort(taken)
		free := r.High - r.Low + 1 - len(taken)
		drawn := rapid.IntRange(0, free-1).Draw(t, "drawn")
		got, err := rendezvous.PickFree(r.Low, r.High, taken, pick(t, free, drawn))
		_, isTaken := slices.BinarySearch(taken, got)
		if err != nil || got < r.Low || got > r.High || isTaken {
			t.Fatalf("%d, %v", got, err)
		}
		below, _ := slices.BinarySearch(taken, got)
		if got-r.Low-below != drawn {
			t.Fatalf("%d is the free number %d, and %d was drawn", got, got-r.Low-below, drawn)
		}
	})
}

// As the reference server does it: nine allocations take 1 to 9, and ninety more take 10 to 99.
func TestPickFreeFillsARange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rapid.SampledFrom(rendezvous.NumberRanges[:2]).Draw(t, "range")
		var taken []int
		for range r.High - r.Low + 1 {
			got, err := rendezvous.PickFree(r.Low, r.High, taken, func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "drawn") })
			if err != nil {
				t.Fatal(err)
			}
			at, found := slices.BinarySearch(taken, got)
			if found {
				t.Fatalf("%d was given twice", got)
			}
			taken = slices.Insert(taken, at, got)
		}
		if _, err := rendezvous.PickFree(r.Low, r.High, taken, func(int) int { panic("drawn") }); !errors.Is(err, rendezvous.ErrNoFreeNameplate) {
			t.Fatalf("all are taken: %v", err)
		}
	})
}
