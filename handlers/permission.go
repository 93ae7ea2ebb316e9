package handlers

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" // #nosec G505 -- hashcash is defined with it, and it guards nothing but effort
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"sync"
	"time"

	"restante/api"
	"restante/rendezvous"
)

// methodHashcash is the one way to earn permission: work, proved by a hashcash stamp.
const methodHashcash = "hashcash"

// mintChallenge makes the resource of a socket's hashcash: no stamp fits two sockets.
func mintChallenge() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.StdEncoding.EncodeToString(b[:])
}

// submit is a client proving that it may use the server.
func (c *socket) submit(o object) error {
	method, _ := o.text("method")
	switch {
	case c.notices.HashcashBits == 0 && (method == "none" || method == methodHashcash):
		return nil // nothing was asked for
	case method != methodHashcash:
		return complaint(fmt.Sprintf("'%.40s' is not one of: %s", method, methodHashcash))
	}
	stamp, _ := o.text("stamp")
	if !stamped(stamp, c.challenge, c.notices.HashcashBits) {
		return submitFailed
	}
	c.permitted = true
	return nil
}

// stamped tells whether a hashcash stamp, version 1, is for this resource and of
// so many bits. Its date, extension, random part and counter are its maker's business.
func stamped(stamp, resource string, required int) bool {
	fields := strings.Split(stamp, ":")
	if len(stamp) > 512 || len(fields) != 7 || fields[0] != "1" || fields[3] != resource {
		return false
	}
	claimed, err := strconv.Atoi(fields[1])
	return err == nil && claimed >= required && zeros(stamp) >= claimed
}

// zeros is how many bits the stamp's SHA-1 begins with that are 0.
func zeros(stamp string) (n int) {
	for _, b := range sha1.Sum([]byte(stamp)) { // #nosec G401 -- see above
		n += bits.LeadingZeros8(b)
		if b != 0 {
			break
		}
	}
	return n
}

// challenges are those of handshakes over HTTP, which has no connection to tie
// one to: each is made of the client's address and the time, and each stamp is good once.
type challenges struct {
	secret [32]byte

	mu   sync.Mutex
	used map[string]time.Time // stamps, until their challenge is over
}

// challengeTime is how long a challenge is good for, at least.
const challengeTime = 10 * time.Minute

func newChallenges() *challenges {
	c := &challenges{used: map[string]time.Time{}}
	_, _ = rand.Read(c.secret[:]) // never fails
	return c
}

// of is the challenge of an address at a time.
func (c *challenges) of(address string, now time.Time) string {
	h := hmac.New(sha256.New, c.secret[:])
	_, _ = fmt.Fprintf(h, "%d %s", now.Unix()/int64(challengeTime.Seconds()), address)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}

// met tells whether a stamp meets the address's challenge, now or until lately, for the first time.
func (c *challenges) met(stamp, address string, required int, now time.Time) bool {
	if !stamped(stamp, c.of(address, now), required) && !stamped(stamp, c.of(address, now.Add(-challengeTime)), required) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for old, until := range c.used {
		if now.After(until) {
			delete(c.used, old)
		}
	}
	if _, again := c.used[stamp]; again {
		return false
	}
	c.used[stamp] = now.Add(2 * challengeTime)
	return true
}

// permit asks the client of a handshake for work, where the operator does.
func (s *Server) permit(ctx context.Context, p *api.Permission) error {
	required := s.told().HashcashBits
	if required == 0 {
		return nil
	}
	address, now := addressOf(ctx), time.Now()
	if p != nil && string(p.Method) == methodHashcash && s.challenges.met(p.Stamp, address, required, now) {
		return nil
	}
	return &rendezvous.Failure{
		Code:   rendezvous.PermissionRequired,
		Detail: "this server asks for work first: send 'permission' with a hashcash stamp of so many bits for this resource",
		Work:   &rendezvous.Work{Bits: required, Resource: s.challenges.of(address, now)},
	}
}
