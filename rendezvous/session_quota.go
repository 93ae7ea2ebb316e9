package rendezvous

import "sync"

const (
	// quotaShare is the part of what an address has left that may be used before it is counted again: so
	// several processes that have one count do not exceed the quota by much, and one never does.
	quotaShare = 8
	// quotaAddresses is how many addresses are remembered.
	quotaAddresses = 100_000
)

// quotas are how many sessions addresses may begin before what they have is counted again: to
// count takes the longer the more there are.
type sessionQuota struct {
	mu   sync.Mutex
	free map[string]int
}

// use takes one, if there is one.
func (q *sessionQuota) use(address string) bool {
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

// grant notes how many more an address may have.
func (q *sessionQuota) grant(address string, left int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.free == nil || len(q.free) >= quotaAddresses {
		q.free = map[string]int{}
	}
	if share := left / quotaShare; share > 0 {
		q.free[address] = share
	}
}
