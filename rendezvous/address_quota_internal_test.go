package rendezvous

import (
	"strconv"
	"testing"

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
