package rendezvous

import "sync"

const (
	// quotaShare is the part of its remaining quota that an address may use before what it has is
	// counted again: one in quotaShare. Several processes that counted at the same time exceed the
	// quota only by little. So does one that counted in a transaction which then failed and had
	// released some before.
	quotaShare = 8
	// quotaAddresses bounds how many addresses are remembered.
	quotaAddresses = 100_000
)

// addressQuota remembers how many more of one kind, sessions or claims, each address may have before those that it has
// are counted again. Counting takes longer the more there are.
type addressQuota struct {
	mu   sync.Mutex
	free map[string]int
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
