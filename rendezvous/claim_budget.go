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
	// refusalCost is what a refusal costs, so that a client that goes on without waiting waits longer.
	refusalCost = 0.5
)

// claimBudget is how many nameplates each address may allocate and claim at the moment. It is kept by
// each process for itself.
type claimBudget struct {
	mu   sync.Mutex
	left map[string]allowance
}

// allowance is what an address has left. It is negative after a guess.
type allowance struct {
	tokens float64
	at     time.Time
}

// spend takes cost from what an address has left, if at least one is left. Otherwise it returns how long
// it takes until one is.
func (b *claimBudget) spend(address string, cost float64, l Limits, now time.Time) (wait time.Duration) {
	if address == "" || l.ClaimRate <= 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	scopes := []scope{{address, 1}}
	if wide := NetworkID(address); wide != "" {
		scopes = append(scopes, scope{wide, networkShare})
	}
	for _, one := range scopes {
		a := b.of(one, l, now)
		if a.tokens < 1 {
			perSecond := l.ClaimRate / 60 * one.share
			a.tokens = max(a.tokens-refusalCost, -float64(l.ClaimBurst)*one.share)
			b.left[one.key] = a
			wait = max(wait, time.Duration((1-a.tokens)/perSecond*float64(time.Second)))
		}
	}
	if wait > 0 {
		return wait
	}
	for _, one := range scopes {
		a := b.of(one, l, now)
		a.tokens -= cost
		b.left[one.key] = a
	}
	return 0
}

// scope is an address or the network around it, and how many times the limits apply to it.
type scope struct {
	key   string
	share float64
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

// charge is what one request pays for a nameplate: once, however often its transaction runs.
type charge struct {
	address string
	paid    bool
	// short and long say whether it may have one of the shortest nameplates, once that was decided.
	short, long bool
}

// pay refuses if the address has nothing left.
func (t *txn) pay(c *charge, cost float64) error {
	if c.paid {
		return nil
	}
	if wait := t.s.claimBudget.spend(c.address, cost, t.s.Config.Limits, t.s.now()); wait > 0 {
		return &Failure{
			Code: RateLimited, RetryAfter: wait, Limit: LimitClaims,
			Detail: "too many nameplates were allocated and claimed from this address; wait a moment, and ask less often",
		}
	}
	c.paid = true
	return nil
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
		c.long = t.s.shortBudget.spend(c.address, 1, of, t.s.now()) > 0
		c.short = !c.long
	}
	if c.long {
		return false, nil
	}
	over, err := overAddressLimit(c.address, share, t.CountClaimsFrom)
	return !over, err
}
