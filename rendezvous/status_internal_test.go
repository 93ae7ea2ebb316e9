package rendezvous

import (
	"testing"
	"testing/synctest"
	"time"
)

// Counting the clients costs in proportion to them, so it rests for longer after it took longer.
func TestCountingClientsTakesATwentiethOfTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c attachedCache
		counts := int64(0)
		ask := func() int64 {
			return c.count(time.Now, func() int64 {
				time.Sleep(time.Second)
				counts++
				return counts
			})
		}
		for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(100 * time.Millisecond) {
			if got := ask(); got != counts {
				t.Fatalf("it is %d, want the latest count, %d", got, counts)
			}
		}
		if counts != 3 {
			t.Errorf("in a minute, it is counted %d times, each of which takes a second; want 3", counts)
		}
	})
}
