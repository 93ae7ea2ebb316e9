package rendezvous

import (
	"sync"
	"time"
)

// claimBudgetAddresses bounds how many addresses are remembered.
const claimBudgetAddresses = 100_000

const (
	// guessCost is what a claim costs of a nameplate that was never allocated. It may be a guess.
	guessCost = 10
	// refusalCost is what a side pays that asks again before its turn, so that a client that goes on without waiting
	// waits longer.
	refusalCost = 0.5
	// turnKept is how long a side may come late to its turn. Clients wait longer than they are told: by whole seconds, or
	// by a wait of their own.
	turnKept = time.Minute
)

// claimBudget is how many nameplates each address may allocate and claim at the moment. It is kept by
// each process for itself.
//
// A side that is refused has its turn: what it asked for is taken from what its address will have, and is its when it
// comes back at the time that it is told. So every side gets in that waits as long as it is told, however many there are,
// and one that does not wait delays only what is asked for after it.
type claimBudget struct {
	mu    sync.Mutex
	left  map[string]allowance
	turns map[SideRef]turn
}

// allowance is what an address has left. It is negative after a guess, and while sides wait for their turns.
type allowance struct {
	tokens float64
	at     time.Time
}

// turn is when a side may have what it was refused, and what that has cost.
type turn struct {
	due  time.Time
	cost float64
}

// spend takes cost from what the address of a side has left, if at least one is left or it is the side's turn.
// Otherwise it returns how long it takes until then.
func (b *claimBudget) spend(side SideRef, cost float64, l Limits, now time.Time) (wait time.Duration) {
	if side.Address == "" || l.ClaimRate <= 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	wait, full := b.wait(side.Address, l, now)
	if its, has := b.turnOf(side, now); has {
		if wait := its.due.Sub(now); wait > 0 {
			if !full {
				b.take(side.Address, refusalCost, l, now)
			}
			return wait
		}
		delete(b.turns, side)
		b.take(side.Address, cost-its.cost, l, now)
		return 0
	}
	if wait > 0 && full {
		return wait
	}
	b.take(side.Address, cost, l, now)
	if wait > 0 {
		b.makeRoomForTurns(now)
		b.turns[side] = turn{now.Add(wait), cost}
	}
	return wait
}

// spendNow takes one from what an address has left, or returns false if none is left.
func (b *claimBudget) spendNow(address string, l Limits, now time.Time) bool {
	if address == "" || l.ClaimRate <= 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if wait, _ := b.wait(address, l, now); wait > 0 {
		return false
	}
	b.take(address, 1, l, now)
	return true
}

// leave gives the turn of a side back, if it has one: it does not come.
func (b *claimBudget) leave(side SideRef, l Limits, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if its, has := b.turnOf(side, now); has {
		delete(b.turns, side)
		b.take(side.Address, -its.cost, l, now)
	}
}

// turnOf returns the turn of a side, unless it is long over. mu is held.
func (b *claimBudget) turnOf(side SideRef, now time.Time) (its turn, has bool) {
	its, has = b.turns[side]
	return its, has && now.Sub(its.due) < turnKept
}

// scope is an address or the network around it, and how many times the limits apply to it.
type scope struct {
	key   string
	share float64
}

func scopesOf(address string) []scope {
	scopes := []scope{{address, 1}}
	if wide := NetworkID(address); wide != "" {
		scopes = append(scopes, scope{wide, networkShare})
	}
	return scopes
}

// wait returns how long it takes until an address has one left. It is full if no more turns are given: they are as many
// as it has at once or in a minute. mu is held.
func (b *claimBudget) wait(address string, l Limits, now time.Time) (wait time.Duration, full bool) {
	for _, one := range scopesOf(address) {
		a := b.of(one, l, now)
		if a.tokens < 1 {
			wait = max(wait, time.Duration((1-a.tokens)/(l.ClaimRate/60*one.share)*float64(time.Second)))
		}
		full = full || a.tokens <= -max(float64(l.ClaimBurst), l.ClaimRate)*one.share
	}
	return wait, full
}

// take takes cost from what an address has left, or gives it back if it is negative. mu is held.
func (b *claimBudget) take(address string, cost float64, l Limits, now time.Time) {
	for _, one := range scopesOf(address) {
		a := b.of(one, l, now)
		a.tokens -= cost
		b.left[one.key] = a
	}
}

// of returns what is left now. mu is held.
func (b *claimBudget) of(one scope, l Limits, now time.Time) allowance {
	burst, perSecond := float64(l.ClaimBurst)*one.share, l.ClaimRate/60*one.share
	a, known := b.left[one.key]
	if !known {
		b.makeRoom(l, now)
		return allowance{burst, now}
	}
	return allowance{min(burst, a.tokens+max(0, now.Sub(a.at).Seconds())*perSecond), now}
}

// makeRoom forgets the addresses that have everything left, and all if that is not enough: memory is worth
// more than an allowance. mu is held.
func (b *claimBudget) makeRoom(l Limits, now time.Time) {
	if len(b.left) < claimBudgetAddresses && b.left != nil {
		return
	}
	full := time.Duration(2 * float64(l.ClaimBurst) / l.ClaimRate * float64(time.Minute))
	for key, a := range b.left {
		if now.Sub(a.at) > full {
			delete(b.left, key)
		}
	}
	if b.left == nil || len(b.left) >= claimBudgetAddresses {
		b.left = map[string]allowance{}
	}
}

// makeRoomForTurns forgets the turns that are long over, and all if that is not enough. mu is held.
func (b *claimBudget) makeRoomForTurns(now time.Time) {
	if b.turns != nil && len(b.turns) < claimBudgetAddresses {
		return
	}
	for side := range b.turns {
		if _, has := b.turnOf(side, now); !has {
			delete(b.turns, side)
		}
	}
	if b.turns == nil || len(b.turns) >= claimBudgetAddresses {
		b.turns = map[SideRef]turn{}
	}
}

// charge is what one request pays for a nameplate: once, however often its transaction runs.
type charge struct {
	address string
	paid    bool
	// short and long say whether it may have one of the shortest nameplates, once that was decided.
	short, long bool
}

// pay refuses if the address has nothing left, and it is not the side's turn.
func (t *txn) pay(c *charge, app AppID, side Side, cost float64) error {
	if c.paid {
		return nil
	}
	if wait := t.s.claimBudget.spend(SideRef{app, side, c.address}, cost, t.s.Config.Limits, t.s.local()); wait > 0 {
		return &Failure{
			Code: RateLimited, RetryAfter: wait, Limit: LimitClaims,
			Detail: "too many nameplates were allocated and claimed from this address; wait a moment, and ask less often",
		}
	}
	c.paid = true
	return nil
}

// LeaveQueue gives up the turn of a side that was refused with [RateLimited] and does not come back, for those that come
// after it.
func (s *Service) LeaveQueue(ref SideRef) {
	s.claimBudget.leave(ref, s.Config.Limits, s.local())
}

// shortShare is the part of an address's nameplates that it is allocated from the shortest ones, which are few: the
// codes of all others stay short, whatever one address does.
const shortShare = 16

// mayAllocateShort reports whether an address may have one more of the shortest nameplates. It may hold so many, and
// allocate so many in a minute: a number that was released is not given out for a while, so that a client that
// allocates and releases in a loop takes as many as one that holds them.
func (t *txn) mayAllocateShort(c *charge) (bool, error) {
	limits := t.s.Config.Limits
	share := max(1, limits.AddressNameplates/shortShare)
	if limits.ClaimRate > 0 && !c.long && !c.short {
		of := Limits{ClaimRate: float64(share), ClaimBurst: share}
		c.short = t.s.shortBudget.spendNow(c.address, of, t.s.local())
		c.long = !c.short
	}
	if c.long {
		return false, nil
	}
	over, err := overAddressLimit(c.address, share, t.s.shortQuota.seldom(t.s.local(), t.CountClaimsFrom))
	return !over, err
}
