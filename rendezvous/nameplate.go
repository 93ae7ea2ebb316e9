package rendezvous

import (
	"errors"
	"slices"
	"strconv"
	"time"
)

// Nameplate is a short number that points to a mailbox.
type Nameplate struct {
	App     AppID
	ID      NameplateID
	Mailbox MailboxKey
	Created time.Time
	// StaleAt is when pruning looks at it again. A nameplate lives as long as its mailbox.
	StaleAt time.Time
	// Crowded reports that a third side was refused.
	Crowded bool
	Claims  []Claim // at most two, oldest first
}

// Claim is one side's hold on a nameplate.
type Claim struct {
	Side     Side
	Address  string // from where it was made; "" is not known
	Since    time.Time
	Released *time.Time // nil while the claim stands
}

// Claim adds a side, or finds that it has a claim already. A side that has released its claim cannot
// claim again: the code is then [Reclaimed]. A third side gets [Crowded], and the returned nameplate
// has Crowded set, which is to be stored.
func (n Nameplate) Claim(s Side, address string, now time.Time) (Nameplate, Code) {
	for _, c := range n.Claims {
		switch {
		case c.Side != s:
		case c.Released != nil:
			return n, Reclaimed
		default:
			return n, ""
		}
	}
	if len(n.Claims) == 2 {
		n.Crowded = true
		return n, Crowded
	}
	n.Claims = append(slices.Clone(n.Claims), Claim{Side: s, Address: address, Since: now})
	return n, ""
}

// Release releases a side's claim. A side without a claim changes nothing.
func (n Nameplate) Release(s Side, now time.Time) Nameplate {
	n.Claims = slices.Clone(n.Claims)
	for i, c := range n.Claims {
		if c.Side == s && c.Released == nil {
			n.Claims[i].Released = &now
		}
	}
	return n
}

// Claimed reports whether any side still has a claim. A nameplate without claims is retired.
func (n Nameplate) Claimed() bool {
	return slices.ContainsFunc(n.Claims, func(c Claim) bool { return c.Released == nil })
}

// Waiting reports whether the nameplate waits for a partner: exactly one side has ever claimed it, and
// its claim stands.
func (n Nameplate) Waiting() bool {
	return len(n.Claims) == 1 && n.Claims[0].Released == nil
}

// Number returns the nameplate as a number, if it is one that the server would allocate: canonical
// decimal, 1 to 999,999.
func (n NameplateID) Number() (int, bool) {
	if len(n) == 0 || len(n) > 6 || n[0] < '1' {
		return 0, false
	}
	i, err := strconv.Atoi(string(n))
	return i, err == nil
}

// NumberRanges are the ranges in which nameplates are allocated, shortest numbers first. In the last
// one a number is drawn blindly, in the others among the free ones.
var NumberRanges = []struct{ Low, High int }{{1, 9}, {10, 99}, {100, 999}, {1000, 999_999}}

// ErrNoFreeNameplate reports that every number of a range is taken.
var ErrNoFreeNameplate = errors.New("unable to find a free nameplate")

// PickFree chooses one of the numbers low…high that are not in taken, each with the same probability.
// taken is sorted and within the range. pick(n) draws one of 0…n−1. It returns [ErrNoFreeNameplate] if
// none is free.
func PickFree(low, high int, taken []int, pick func(n int) int) (int, error) {
	free := high - low + 1 - len(taken)
	if free <= 0 {
		return 0, ErrNoFreeNameplate
	}
	number := low + pick(free)
	for _, t := range taken {
		if t > number {
			break
		}
		number++
	}
	return number, nil
}
