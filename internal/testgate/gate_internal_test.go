package testgate

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

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

// TestSubtestsOfOneThatHasASlotWaitForNoOther has more tests wait for slots than anybody counted, while one that has a slot
// begins subtests: if there were only so many places for tests that run, those that wait would have them all, and the slot
// never be free.
func TestSubtestsOfOneThatHasASlotWaitForNoOther(t *testing.T) {
	const many, slots = 300, 2
	gate := t.Name()
	begin := make(chan struct{})
	var waiting atomic.Int32
	t.Run("all", func(t *testing.T) {
		t.Run("has all slots", func(t *testing.T) {
			t.Parallel()
			var taken []io.Closer
			for range slots {
				slot, err := take(gate, slots)
				if err != nil {
					t.Fatal(err)
				}
				taken = append(taken, slot)
			}
			close(begin)
			for waiting.Load() < many {
				runtime.Gosched()
			}
			t.Run("subtests", func(t *testing.T) {
				for range 2 {
					t.Run("parallel", func(t *testing.T) { t.Parallel() })
				}
			})
			for _, slot := range taken {
				_ = slot.Close()
			}
		})
		for i := range many {
			t.Run(fmt.Sprint("waits ", i), func(t *testing.T) {
				t.Parallel()
				<-begin
				waiting.Add(1)
				slot, err := take(gate, slots)
				if err != nil {
					t.Fatal(err)
				}
				_ = slot.Close()
			})
		}
	})
}
