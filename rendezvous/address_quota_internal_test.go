package rendezvous

import (
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever begins and ends, an address never has more than its quota, is refused only if it has
// all of it, and is seldom counted while it has little.
func TestQuotas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q addressQuota
		quota := rapid.IntRange(1, 200).Draw(t, "quota")
		live := map[string]int{}
		address := func(t *rapid.T) string { return strconv.Itoa(rapid.IntRange(0, 2).Draw(t, "address")) }
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				a := address(t)
				if !q.use(a) {
					if live[a] >= quota {
						return
					}
					q.grant(a, quota-live[a]-1)
				}
				if live[a]++; live[a] > quota {
					t.Fatalf("%s has %d of %d", a, live[a], quota)
				}
			},
			"end": func(t *rapid.T) {
				if a := address(t); live[a] > 0 {
					live[a]--
				}
			},
		})
	})
	var q addressQuota
	counted := 0
	for live := range 1000 {
		if !q.use("a") {
			counted++
			q.grant("a", 1000-live-1)
		}
	}
	if counted > 60 {
		t.Errorf("an address that began 1,000 was counted %d times", counted)
	}
	for i := range 2 * quotaAddresses {
		q.grant(strconv.Itoa(i), 1000)
	}
	if n := len(q.free); n > quotaAddresses {
		t.Errorf("%d addresses are remembered, want %d at most", n, quotaAddresses)
	}
}

// However many an address may have, counting them takes less than a tenth of the time, also if it has all of them and asks
// for more without a pause.
func TestCountingTakesLittleTime(t *testing.T) {
	for _, quota := range []int{countedAtOnce + 1000, 100_000, 1_000_000} {
		var q addressQuota
		now, counting := time.Time{}, time.Duration(0)
		count := func(_ string, atMost int) (int, error) {
			took := time.Duration(atMost) * time.Microsecond
			now, counting = now.Add(took), counting+took
			return atMost, nil
		}
		for now.Before(time.Time{}.Add(time.Minute)) {
			if n, err := q.seldom(now, count)("a", quota); n != quota || err != nil {
				t.Fatalf("it has %d of %d, %v", n, quota, err)
			}
			now = now.Add(100 * time.Microsecond)
		}
		if counting > 6*time.Second {
			t.Errorf("of %d, counting took %v of a minute", quota, counting)
		}
	}
}

// What an address gives back is free at once, where counting takes no time.
func TestWhatIsGivenBackIsFree(t *testing.T) {
	var q addressQuota
	has := countedAtOnce
	count := func(string, int) (int, error) { return has, nil }
	for range 3 {
		if n, err := q.seldom(time.Time{}, count)("a", countedAtOnce); n < countedAtOnce || err != nil {
			t.Errorf("it has %d of %d, %v", n, countedAtOnce, err)
		}
	}
	has--
	if n, err := q.seldom(time.Time{}, count)("a", countedAtOnce); n >= countedAtOnce || err != nil {
		t.Errorf("after one is given back it has %d of %d, %v", n, countedAtOnce, err)
	}
}
