package welcome

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestStampsAreGoodOnce has clients submit stamps early, late and again, while the periods of the challenges go by.
func TestStampsAreGoodOnce(t *testing.T) {
	type submitted struct {
		period int64 // of its challenge
		used   bool
	}
	rapid.Check(t, func(t *rapid.T) {
		c := NewChallenges(func() []byte { return []byte("secret") })
		now, stamps, known := time.Unix(1_800_000_000, 0), []string(nil), map[string]*submitted{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 400).Draw(t, "seconds")) * time.Second)
			period := now.Unix() / 600
			stamp := fmt.Sprintf("1:0::%s:::%d", c.Resource("someone", now), len(stamps))
			if known[stamp] = (&submitted{period: period}); len(stamps) > 0 && rapid.Bool().Draw(t, "an older one") {
				stamp = rapid.SampledFrom(stamps).Draw(t, "stamp")
			}
			stamps = append(stamps, stamp)
			s := known[stamp]
			giveBack, ok := c.Accept(stamp, "someone", 0, now)
			if want := !s.used && s.period >= period-1; ok != want {
				t.Fatalf("the stamp of a challenge %d periods ago, used: %t, is accepted: %t", period-s.period, s.used, ok)
			}
			if !ok {
				continue
			}
			if s.used = rapid.Bool().Draw(t, "a session begins"); !s.used {
				giveBack()
			}
			kept, want := 0, 0
			for _, used := range c.used {
				kept += len(used)
			}
			for _, s := range known {
				if s.used && s.period >= period-2 {
					want++
				}
			}
			if kept != want {
				t.Fatalf("%d stamps are kept, want %d", kept, want)
			}
		}
	})
}
