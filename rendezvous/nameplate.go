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
	// StaleAt is when it is looked at again: its life is its mailbox's.
	StaleAt time.Time
	// Crowded tells that a third side was refused.
	Crowded bool
	Claims  []Claim // at most two, oldest first
}

// Claim is one side's hold on a nameplate.
type Claim struct {
	Side     Side
	Since    time.Time
	Released *time.Time // nil while it is held
}

// Claim adds a side, or finds that it is there already. A side that has
// released cannot claim again (reclaimed), and a third one finds it crowded;
// Crowded is then to be kept.
func (n Nameplate) Claim(s Side, now time.Time) (Nameplate, Code) {
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
	n.Claims = append(slices.Clone(n.Claims), Claim{Side: s, Since: now})
	return n, ""
}

// Release lets go of a side's claim; a side that holds none changes nothing.
func (n Nameplate) Release(s Side, now time.Time) Nameplate {
	n.Claims = slices.Clone(n.Claims)
	for i, c := range n.Claims {
		if c.Side == s && c.Released == nil {
			n.Claims[i].Released = &now
		}
	}
	return n
}

// Claimed tells whether any side still holds it. One that nobody holds is retired.
func (n Nameplate) Claimed() bool {
	return slices.ContainsFunc(n.Claims, func(c Claim) bool { return c.Released == nil })
}

// Waiting tells whether it waits for a partner: exactly one side has come, and is still there.
func (n Nameplate) Waiting() bool {
	return len(n.Claims) == 1 && n.Claims[0].Released == nil
}

// Number is the nameplate as a number, where it is one that the server would
// allocate: canonical decimal, 1 to 999,999.
func (n NameplateID) Number() (int, bool) {
	if len(n) == 0 || len(n) > 6 || n[0] < '1' {
		return 0, false
	}
	i, err := strconv.Atoi(string(n))
	return i, err == nil
}

// NumberRanges are the ranges in which nameplates are allocated, shortest first. In
// the last one a number is drawn blindly; in those before, among the free.
var NumberRanges = []struct{ Low, High int }{{1, 9}, {10, 99}, {100, 999}, {1000, 999_999}}

// ErrNoFreeNameplate tells that every number of a range is taken.
var ErrNoFreeNameplate = errors.New("unable to find a free nameplate")

// PickFree chooses one of the numbers low…high that are not taken (which is
// sorted and within them), each as likely as any other; pick(n) draws from 0…n−1.
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
