package handlers

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"restante/rendezvous"
)

// limiters are the token buckets of the addresses from which requests came lately.
type limiters struct {
	rate  rate.Limit
	burst int
	max   int
	// policy is the header that says how many requests an address may make in how many seconds.
	policy string

	mu      sync.Mutex
	buckets map[string]*bucket
}

// bucket is what an address has left, and how often it was refused.
type bucket struct {
	*rate.Limiter

	refused atomic.Int64
	patience
}

// networkShare is how many times the limit of an IPv6 network of 64 bits applies to the network of 48 bits around it.
const networkShare = 4

// refusalsPerToken is how many refusals cost as much as a request: a client that goes on without waiting is answered
// ever later.
const refusalsPerToken = 4

func newLimiters(l Limits) *limiters {
	if l.Rate <= 0 {
		return nil
	}
	window := int(math.Ceil(float64(l.Burst) / l.Rate))
	return &limiters{
		rate: rate.Limit(l.Rate), burst: l.Burst, max: max(l.Addresses, 1), buckets: map[string]*bucket{},
		policy: fmt.Sprintf(`"address";q=%d;w=%d`, l.Burst, max(window, 1)),
	}
}

// of returns the bucket of an address.
func (l *limiters) of(address string, now time.Time) *bucket { return l.share(address, 1, now) }

// share returns a bucket with so many times the limit.
func (l *limiters) share(address string, times int, now time.Time) *bucket {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, known := l.buckets[address]
	if !known {
		if len(l.buckets) >= l.max {
			l.forget(now)
		}
		b = &bucket{Limiter: rate.NewLimiter(l.rate*rate.Limit(times), l.burst*times)}
		l.buckets[address] = b
	}
	return b
}

// allow takes a token from the bucket of an address, and from that of the network around it. If either has none, it
// returns it. A client that goes on has its bucket owe tokens, up to a burst.
func (l *limiters) allow(address string, now time.Time) (exhausted *bucket) {
	if l == nil {
		return nil
	}
	b := l.of(address, now)
	if b.AllowN(now, 1) {
		if network := rendezvous.NetworkID(address); network != "" {
			if around := l.share(network, networkShare, now); !around.AllowN(now, 1) {
				return around
			}
		}
		return nil
	}
	if b.refused.Add(1)%refusalsPerToken == 0 && b.TokensAt(now) > -float64(l.burst) {
		b.ReserveN(now, 1)
	}
	return b
}

// charge takes tokens from the bucket of an address, and from that of the network around it, for a request that was
// admitted and costs more than one. The buckets may owe them: what comes next waits.
func (l *limiters) charge(address string, tokens int) {
	if l == nil || tokens <= 0 {
		return
	}
	now := time.Now()
	tokens = min(tokens, l.burst)
	l.of(address, now).ReserveN(now, tokens)
	if network := rendezvous.NetworkID(address); network != "" {
		l.share(network, networkShare, now).ReserveN(now, tokens)
	}
}

// describe writes the headers that say how many tokens an address has, of how many, and in how many seconds it has all
// of them (draft-ietf-httpapi-ratelimit-headers-10).
func (l *limiters) describe(address string, now time.Time, h http.Header) {
	if policy, left := l.state(address, now); policy != "" {
		h.Set("Ratelimit-Policy", policy)
		h.Set("Ratelimit", left)
	}
}

// state returns what describe writes, or nothing without limits.
func (l *limiters) state(address string, now time.Time) (policy, left string) {
	if l == nil {
		return "", ""
	}
	tokens := max(l.of(address, now).TokensAt(now), 0)
	full := math.Ceil((float64(l.burst) - tokens) / float64(l.rate))
	return l.policy, `"address";r=` + strconv.Itoa(int(tokens)) + `;t=` + strconv.Itoa(int(full))
}

// exhausted reports whether an address, or the network around it, has to wait for a token.
func (l *limiters) exhausted(address string, now time.Time) bool {
	if l == nil {
		return false
	}
	network := rendezvous.NetworkID(address)
	return l.of(address, now).TokensAt(now) < 1 || network != "" && l.share(network, networkShare, now).TokensAt(now) < 1
}

// wait waits for a token from the bucket of an address: a socket cannot be answered 429, so it is slowed down.
func (l *limiters) wait(ctx context.Context, address string) error {
	if l == nil {
		return nil
	}
	if network := rendezvous.NetworkID(address); network != "" {
		if err := l.share(network, networkShare, time.Now()).Wait(ctx); err != nil {
			return err
		}
	}
	return l.of(address, time.Now()).Wait(ctx)
}

// forget drops the buckets that are full, which are like new ones. If none is full, it drops all of them: memory is
// worth more than a burst. mu is held.
func (l *limiters) forget(now time.Time) {
	for address, bucket := range l.buckets {
		if bucket.TokensAt(now) >= float64(bucket.Burst()) {
			delete(l.buckets, address)
		}
	}
	if len(l.buckets) >= l.max {
		clear(l.buckets)
	}
}

// errRateLimited refuses a request of an address that asks too often.
var errRateLimited = &rendezvous.Failure{Code: rendezvous.RateLimited, Limit: limitRequests, Detail: "too many requests from this address; wait a moment, and ask less often"}

// rateLimit is middleware that refuses requests of an address that asks too often. Probes of the operator's monitoring
// are not counted, nor is a poll again that has waited without a goroutine.
func (s *Server) rateLimit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/livez", "/readyz", "/metrics":
		default:
			address, now := addressOf(r.Context()), time.Now()
			var exhausted *bucket
			if infoOf(r).poll == nil && infoOf(r).read == nil {
				exhausted = s.limiters.allow(address, now)
			}
			if exhausted != nil && !exhausted.slowDown(r.Context(), s.Service.Stopping()) {
				w.Header().Set("Connection", "close") // it has as many refusals under way as it may
			}
			s.limiters.describe(address, now, w.Header())
			if exhausted != nil {
				s.fail(w, r, errRateLimited)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
