package welcome_test

import (
	"crypto/sha1" // #nosec G505 -- hashcash is SHA-1
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"restante/handlers/welcome"
)

// sum returns the SHA-1 of a stamp.
func sum(stamp string) []byte {
	h := sha1.Sum([]byte(stamp)) // #nosec G401 -- hashcash is SHA-1
	return h[:]
}

// FuzzStamp gives stamps to the check of hashcash. What it takes has seven fields, is for the resource, and has the bits
// that it claims and that are needed.
func FuzzStamp(f *testing.F) {
	for _, stamp := range []string{
		"", ":::::::", "1:0:271126:x::r:0", "1:3:271126:x::r:5", "1:-1:271126:x::r:0", "1:+0::x:::", "1:00::x:::", "1:99999999999999999999::x:::", "1:3:271126:x::r:5:6", "0:0::x:::", "1:0::\xff:::",
	} {
		f.Add(stamp, "x", 0)
		f.Add(stamp, "x", 3)
	}
	f.Fuzz(func(t *testing.T, stamp, resource string, required int) {
		bits := fmt.Sprintf("%0160b", new(big.Int).SetBytes(sum(stamp)))
		zeros := len(bits) - len(strings.TrimLeft(bits, "0"))
		fields := strings.Split(stamp, ":")
		should := false
		if len(fields) == 7 && len(stamp) <= 512 {
			claimed, err := strconv.ParseInt(fields[1], 10, 64)
			should = err == nil && fields[0] == "1" && fields[3] == resource && int(claimed) >= required && zeros >= int(claimed)
		}
		if got := welcome.ValidStamp(stamp, resource, required); got != should {
			t.Errorf("ValidStamp(%q, %q, %d) is %v", stamp, resource, required, got)
		}
	})
}

// FuzzChallenge makes stamps for subjects. Each is good once, for its subject and for its time, and again if it was given
// back.
func FuzzChallenge(f *testing.F) {
	f.Add("addr-x key", "addr-y key", int64(0), "r")
	f.Add("", "", int64(600), ":")
	f.Add("a", "a ", int64(-5), "é")
	f.Fuzz(func(t *testing.T, subject, other string, later int64, salt string) {
		c := welcome.NewChallenges(func() []byte { return []byte("secret") })
		now := time.Unix(1_800_000_000, 0)
		const bits = 4
		var stamp string
		for n := 0; ; n++ {
			stamp = fmt.Sprintf("1:%d:271126:%s::%.20s:%d", bits, c.Resource(subject, now), strings.ReplaceAll(salt, ":", "."), n)
			if sum(stamp)[0] < 16 {
				break
			}
		}
		if other != subject {
			if _, ok := c.Accept(stamp, other, bits, now); ok {
				t.Fatalf("the stamp of %q is good for %q", subject, other)
			}
		}
		if _, ok := c.Accept(stamp, subject, bits+1, now); ok {
			t.Fatal("a stamp of fewer bits is good")
		}
		after := now.Add(time.Duration(later%10_000) * time.Second)
		giveBack, ok := c.Accept(stamp, subject, bits, after)
		switch age := after.Sub(now); {
		case !ok && age >= 0 && age < 10*time.Minute:
			t.Fatalf("it is not good after %v", age)
		case ok && (age > 20*time.Minute || age < -10*time.Minute):
			t.Fatalf("it is good after %v", age)
		case !ok:
			return
		}
		if _, again := c.Accept(stamp, subject, bits, after); again {
			t.Fatal("it is good twice")
		}
		giveBack()
		if _, again := c.Accept(stamp, subject, bits, after); !again {
			t.Fatal("it was given back, and is not good again")
		}
	})
}
