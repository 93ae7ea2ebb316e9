package testgate

import (
	"sync"
	"sync/atomic"
	"testing"
)

// TestSlotsAreFew has many take a slot at once: never more have one than there are.
func TestSlotsAreFew(t *testing.T) {
	t.Parallel()
	const slots = 2
	gate := t.Name()
	var inside, most atomic.Int32
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			f, err := take(gate, slots)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			now := inside.Add(1)
			defer inside.Add(-1)
			for {
				seen := most.Load()
				if now <= seen || most.CompareAndSwap(seen, now) {
					break
				}
			}
		})
	}
	all.Wait()
	if most.Load() > slots {
		t.Errorf("%d had a slot at once, of %d", most.Load(), slots)
	}
}

// TestSubtestsShareASlot enters more often than there are slots, within one test, which must not wait for itself.
func TestSubtestsShareASlot(t *testing.T) {
	Enter(t)
	for range 2 {
		t.Run("serial", func(t *testing.T) { Enter(t) })
	}
	t.Run("all", func(t *testing.T) {
		for range 64 {
			t.Run("parallel", func(t *testing.T) {
				t.Parallel()
				Enter(t)
			})
		}
	})
	holders.Lock()
	defer holders.Unlock()
	if n := holders.of[t.Name()].users; n != 1 {
		t.Errorf("%d hold the slot when all subtests have ended", n)
	}
}
