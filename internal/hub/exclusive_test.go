package hub_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"restante/internal/hub"
)

func TestTheNewestCallerHoldsTheKey(t *testing.T) {
	var s hub.Exclusive[string]
	first, releaseFirst := s.Acquire(t.Context(), "a")
	defer releaseFirst()
	other, releaseOther := s.Acquire(t.Context(), "b")
	defer releaseOther()
	second, releaseSecond := s.Acquire(t.Context(), "a")
	defer releaseSecond()

	if err := context.Cause(first); !errors.Is(err, hub.ErrSuperseded) {
		t.Errorf("the earlier holder's context: %v, want ErrSuperseded", err)
	}
	if err := second.Err(); err != nil {
		t.Errorf("the newest holder's context: %v", err)
	}
	if err := other.Err(); err != nil {
		t.Errorf("the context of another key's holder: %v", err)
	}
	if n := s.Holders(); n != 2 {
		t.Errorf("%d holders, want 2", n)
	}
}

func TestRelease(t *testing.T) {
	t.Run("frees the key at once, and again does nothing", func(t *testing.T) {
		var s hub.Exclusive[string]
		held, release := s.Acquire(t.Context(), "a")
		release()
		if n := s.Holders(); n != 0 {
			t.Errorf("%d holders, want 0", n)
		}
		if err := context.Cause(held); !errors.Is(err, context.Canceled) {
			t.Errorf("the released context: %v, want context.Canceled", err)
		}
		next, releaseNext := s.Acquire(t.Context(), "a")
		defer releaseNext()
		release()
		if err := next.Err(); err != nil || s.Holders() != 1 {
			t.Errorf("releasing again disturbed the next holder: %v, %d holders", err, s.Holders())
		}
	})
	t.Run("does not free the key of a newer holder", func(t *testing.T) {
		var s hub.Exclusive[string]
		first, releaseFirst := s.Acquire(t.Context(), "a")
		second, releaseSecond := s.Acquire(t.Context(), "a")
		defer releaseSecond()
		releaseFirst()
		if err := second.Err(); err != nil || s.Holders() != 1 {
			t.Errorf("the holder: %v, %d holders", err, s.Holders())
		}
		if err := context.Cause(first); !errors.Is(err, hub.ErrSuperseded) {
			t.Errorf("the superseded context after its release: %v, want ErrSuperseded", err)
		}
	})
	t.Run("is not what a context's end does", func(t *testing.T) {
		var s hub.Exclusive[string]
		ctx, cancel := context.WithCancelCause(t.Context())
		held, release := s.Acquire(ctx, "a")
		cancel(errLeft)
		if err := context.Cause(held); !errors.Is(err, errLeft) {
			t.Errorf("the held context: %v, want its parent's cause", err)
		}
		if n := s.Holders(); n != 1 {
			t.Errorf("%d holders before the release, want 1", n)
		}
		release()
		if n := s.Holders(); n != 0 {
			t.Errorf("%d holders after the release, want 0", n)
		}
	})
}

func TestASupersededWaitEndsAtOnceAndSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			h     hub.Hub[string]
			keys  hub.Exclusive[string]
			start = time.Now()
		)
		held, release := keys.Acquire(t.Context(), "client")
		patience, cancel := context.WithTimeout(held, 25*time.Second)
		defer cancel()
		go func() {
			time.Sleep(3 * time.Second)
			_, release := keys.Acquire(t.Context(), "client")
			release()
		}()
		if err := h.Watch("mailbox").Wait(patience); !errors.Is(err, hub.ErrSuperseded) {
			t.Errorf("Wait: %v, want ErrSuperseded", err)
		}
		release()
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("it took %v, want exactly 3 s", took)
		}
	})
}

// When many have acquired a key at once, exactly one holds it.
func TestOneOfManyConcurrentCallersHoldsTheKey(t *testing.T) {
	var (
		s         hub.Exclusive[string]
		mu        sync.Mutex
		held      []context.Context
		releasing []func()
		asking    sync.WaitGroup
	)
	for range 64 {
		asking.Go(func() {
			ctx, release := s.Acquire(t.Context(), "a")
			mu.Lock()
			defer mu.Unlock()
			held, releasing = append(held, ctx), append(releasing, release)
		})
	}
	asking.Wait()
	live := 0
	for _, ctx := range held {
		if ctx.Err() == nil {
			live++
		} else if cause := context.Cause(ctx); !errors.Is(cause, hub.ErrSuperseded) {
			t.Errorf("superseded with %v", cause)
		}
	}
	if live != 1 || s.Holders() != 1 {
		t.Errorf("%d contexts live and %d keys are held, want 1 and 1", live, s.Holders())
	}
	for _, release := range releasing {
		release()
	}
	if n := s.Holders(); n != 0 {
		t.Errorf("%d holders, want 0", n)
	}
}

func TestFreeKeysOccupyNothing(t *testing.T) {
	var s hub.Exclusive[int]
	parent, cancel := context.WithCancel(t.Context())
	defer cancel()
	cycle := func(from, to int) {
		for i := from; i < to; i++ {
			_, releaseFirst := s.Acquire(parent, i)
			_, releaseSecond := s.Acquire(parent, i)
			releaseFirst()
			releaseSecond()
		}
	}
	cycle(0, 1000)
	before := heap()
	cycle(1000, 21_000)
	if grown := heap() - before; grown > 256<<10 {
		t.Errorf("20,000 keys that were acquired and released left %d bytes behind", grown)
	}
	runtime.KeepAlive(&s)
}
