package handlers

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"sync"
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
	buckets map[string]*rate.Limiter
}

func newLimiters(l Limits) *limiters {
	if l.Rate <= 0 {
		return nil
	}
	window := int(math.Ceil(float64(l.Burst) / l.Rate))
	return &limiters{
		rate: rate.Limit(l.Rate), burst: l.Burst, max: max(l.Addresses, 1), buckets: map[string]*rate.Limiter{},
		policy: fmt.Sprintf(`"address";q=%d;w=%d`, l.Burst, max(window, 1)),
	}
}

// of returns the bucket of an address.
func (l *limiters) of(address string, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	bucket, known := l.buckets[address]
	if !known {
		if len(l.buckets) >= l.max {
			l.forget(now)
		}
		bucket = rate.NewLimiter(l.rate, l.burst)
		l.buckets[address] = bucket
	}
	return bucket
}

// allow takes a token from the bucket of an address. It returns false if there is none.
func (l *limiters) allow(address string, now time.Time) bool {
	return l == nil || l.of(address, now).AllowN(now, 1)
}

// describe writes the headers that say how many tokens an address has, of how many, and in how many seconds it has all
// of them (draft-ietf-httpapi-ratelimit-headers-10).
func (l *limiters) describe(address string, now time.Time, h http.Header) {
	if l == nil {
		return
	}
	left := max(l.of(address, now).TokensAt(now), 0)
	full := math.Ceil((float64(l.burst) - left) / float64(l.rate))
	h.Set("RateLimit-Policy", l.policy)
	h.Set("RateLimit", fmt.Sprintf(`"address";r=%d;t=%d`, int(left), int(full)))
}

// wait waits for a token from the bucket of an address: a socket cannot be answered 429, so it is slowed down.
func (l *limiters) wait(ctx context.Context, address string) error {
	if l == nil {
		return nil
	}
	return l.of(address, time.Now()).Wait(ctx)
}

// forget drops the buckets that are full, which are like new ones. If none is full, it drops all of them: memory is
// worth more than a burst. mu is held.
func (l *limiters) forget(now time.Time) {
	for address, bucket := range l.buckets {
		if bucket.TokensAt(now) >= float64(l.burst) {
			delete(l.buckets, address)
		}
	}
	if len(l.buckets) >= l.max {
		clear(l.buckets)
	}
}

// errRateLimited refuses a request of an address that asks too often.
var errRateLimited = &rendezvous.Failure{Code: rendezvous.RateLimited, Detail: "too many requests from this address; wait a moment, and ask less often"}

// rateLimit is middleware that refuses requests of an address that asks too often. Probes of the operator's monitoring
// are not counted, nor is a poll again that has waited without a goroutine.
func (s *Server) rateLimit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/livez", "/readyz", "/metrics":
		default:
			address, now := addressOf(r.Context()), time.Now()
			admitted := infoOf(r).poll != nil || s.limiters.allow(address, now)
			s.limiters.describe(address, now, w.Header())
			if !admitted {
				s.fail(w, r, errRateLimited)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
