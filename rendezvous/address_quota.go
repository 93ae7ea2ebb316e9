package rendezvous

import (
	"sync"
	"time"
)

const (
	// quotaShare is the part of its remaining quota that an address may use before what it has is
	// counted again: one in quotaShare. Several processes that counted at the same time exceed the
	// quota only by little. So does one that counted in a transaction which then failed and had
	// released some before.
	quotaShare = 8
	// quotaAddresses bounds how many addresses are remembered.
	quotaAddresses = 100_000
	// An address that has all that it may have is counted at each request, so that what it gives back is free at once. Where
	// that takes longer than a millisecond or so, because more than countedAtOnce are counted, it is not counted again for
	// fullFor, for each of them: twenty times as long as it takes. So the counting of one address takes little of the
	// writer's time, whatever its quota.
	countedAtOnce = 1000
	fullFor       = 20 * time.Microsecond
)

// addressQuota remembers how many more of one kind, sessions or claims, each address may have before those that it has
// are counted again, and each IPv6 network of 48 bits. Counting takes longer the more there are.
type addressQuota struct {
	mu   sync.Mutex
	free map[string]int
	full map[string]time.Time // until when an address is not counted, because it had all that it may have
}

// use takes one from what an address has left. It returns false if nothing is known to be
// left.
func (q *addressQuota) use(address string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.free[address]
	if n <= 1 {
		delete(q.free, address)
	} else {
		q.free[address] = n - 1
	}
	return n > 0
}

// grant records how many more an address may have.
func (q *addressQuota) grant(address string, left int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.free == nil || len(q.free) >= quotaAddresses {
		q.free = map[string]int{}
	}
	if share := left / quotaShare; share > 0 {
		q.free[address] = share
	}
}

// refuse records that an address had all that it may have, which are so many.
func (q *addressQuota) refuse(address string, quota int, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.full == nil || len(q.full) >= quotaAddresses {
		q.full = map[string]time.Time{}
	}
	if quota > countedAtOnce {
		q.full[address] = now.Add(time.Duration(quota-countedAtOnce) * fullFor)
	}
}

// isFull reports whether an address had all that it may have when it was counted a moment ago.
func (q *addressQuota) isFull(address string, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	until, known := q.full[address]
	if known && !now.Before(until) {
		delete(q.full, address)
		return false
	}
	return known
}

// counter counts what an address has, or the network that it stands for, up to atMost.
type counter func(address string, atMost int) (int, error)

// seldom returns a counter that returns less than atMost if an address may have one more. It takes that from what the
// address is known to have left, and counts only if nothing is: otherwise each one more would take as long as there are
// others.
func (q *addressQuota) seldom(now time.Time, count counter) counter {
	return func(address string, atMost int) (int, error) {
		if q.use(address) {
			return 0, nil
		}
		if q.isFull(address, now) {
			return atMost, nil
		}
		n, err := count(address, atMost)
		switch {
		case err != nil:
		case n < atMost:
			q.grant(address, atMost-n-1)
		default:
			q.refuse(address, atMost, now)
		}
		return n, err
	}
}

// overAddressLimit reports whether an address has as much as it may have, or the network around it.
func overAddressLimit(address string, limit int, count counter) (bool, error) {
	for key, share := range map[string]int{address: 1, NetworkID(address): networkShare} {
		if key == "" {
			continue
		}
		n, err := count(key, limit*share)
		if err != nil || n >= limit*share {
			return err == nil, err
		}
	}
	return false, nil
}
