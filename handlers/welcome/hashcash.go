package welcome

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" // #nosec G505 -- hashcash is defined with it, and it guards nothing but effort
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"math/bits"
	"strconv"
	"strings"
	"sync"
	"time"
)

// MethodHashcash is the one way to earn permission: work, proved by a hashcash stamp.
const MethodHashcash = "hashcash"

// NewResource makes the hashcash resource of a socket: no stamp fits two sockets.
func NewResource() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.StdEncoding.EncodeToString(b[:])
}

// ValidStamp reports whether a hashcash stamp of version 1 is for this resource and has so many bits. Its maker is
// free to choose its date, extension, random part and counter.
func ValidStamp(stamp, resource string, required int) bool {
	fields := strings.Split(stamp, ":")
	if len(stamp) > 512 || len(fields) != 7 || fields[0] != "1" || fields[3] != resource {
		return false
	}
	claimed, err := strconv.Atoi(fields[1])
	return err == nil && claimed >= required && leadingZeros(stamp) >= claimed
}

// leadingZeros returns how many bits the stamp's SHA-1 begins with that are 0.
func leadingZeros(stamp string) (n int) {
	for _, b := range sha1.Sum([]byte(stamp)) { // #nosec G401 -- see above
		n += bits.LeadingZeros8(b)
		if b != 0 {
			break
		}
	}
	return n
}

// Challenges are the challenges of handshakes over HTTP, which have no connection to tie one to: each is made of what
// the stamp is for and the time, and each stamp is good once.
type Challenges struct {
	secret func() []byte

	mu   sync.Mutex
	used map[int64]map[string]struct{} // stamps by the period of their challenge, to be forgotten together
}

// ChallengeTTL is how long a challenge is valid, at least: the time that a client has to do the work.
const ChallengeTTL = 10 * time.Minute

// NewChallenges makes challenges that all servers with the same secret accept.
func NewChallenges(secret func() []byte) *Challenges {
	return &Challenges{secret: secret, used: map[int64]map[string]struct{}{}}
}

// periodOf returns the number of the period in which challenges are the same.
func periodOf(now time.Time) int64 { return now.Unix() / int64(ChallengeTTL.Seconds()) }

// Resource returns the hashcash resource of a subject at a time. The subject is what a stamp gets its maker.
func (c *Challenges) Resource(subject string, now time.Time) string {
	return c.resource(subject, periodOf(now))
}

func (c *Challenges) resource(subject string, period int64) string {
	h := hmac.New(sha256.New, c.secret())
	_, _ = fmt.Fprintf(h, "%d %s", period, subject)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}

// Accept reports whether a stamp is valid for the subject, now or until lately, and has not been used. It is used from
// then on, unless giveBack is called because nothing was had for it.
func (c *Challenges) Accept(stamp, subject string, required int, now time.Time) (giveBack func(), ok bool) {
	current := periodOf(now)
	period := current
	if !ValidStamp(stamp, c.resource(subject, period), required) {
		if period--; !ValidStamp(stamp, c.resource(subject, period), required) {
			return nil, false
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.used, func(p int64, _ map[string]struct{}) bool {
		return p < current-2 // of one period more than is accepted, for a request whose time is a moment older
	})
	used := c.used[period]
	if used == nil {
		used = map[string]struct{}{}
		c.used[period] = used
	}
	if _, again := used[stamp]; again {
		return nil, false
	}
	used[stamp] = struct{}{}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(used, stamp)
	}, true
}
