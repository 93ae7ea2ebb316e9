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

func TestTheNewestTakerHasTheSeat(t *testing.T) {
	var s hub.Exclusive[string]
	first, leaveFirst := s.Acquire(t.Context(), "a")
	defer leaveFirst()
	other, leaveOther := s.Acquire(t.Context(), "b")
	defer leaveOther()
	second, leaveSecond := s.Acquire(t.Context(), "a")
	defer leaveSecond()

	if err := context.Cause(first); !errors.Is(err, hub.ErrSuperseded) {
		t.Errorf("the earlier holder's context: %v, want ErrSuperseded", err)
	}
	if err := second.Err(); err != nil {
		t.Errorf("the newest holder's context: %v", err)
	}
	if err := other.Err(); err != nil {
		t.Errorf("the context of another seat's holder: %v", err)
	}
	if n := s.Holders(); n != 2 {
		t.Errorf("%d holders, want 2", n)
	}
}

func TestLeaving(t *testing.T) {
	t.Run("frees the seat at once, and again does nothing", func(t *testing.T) {
		var s hub.Exclusive[string]
		seated, leave := s.Acquire(t.Context(), "a")
		leave()
		if n := s.Holders(); n != 0 {
			t.Errorf("%d holders, want 0", n)
		}
		if err := context.Cause(seated); !errors.Is(err, context.Canceled) {
			t.Errorf("who left: %v, want context.Canceled", err)
		}
		next, leaveNext := s.Acquire(t.Context(), "a")
		defer leaveNext()
		leave()
		if err := next.Err(); err != nil || s.Holders() != 1 {
			t.Errorf("leaving again disturbed the next holder: %v, %d holders", err, s.Holders())
		}
	})
	t.Run("frees nothing of whoever has the seat by now", func(t *testing.T) {
		var s hub.Exclusive[string]
		first, leaveFirst := s.Acquire(t.Context(), "a")
		second, leaveSecond := s.Acquire(t.Context(), "a")
		defer leaveSecond()
		leaveFirst()
		if err := second.Err(); err != nil || s.Holders() != 1 {
			t.Errorf("the holder: %v, %d holders", err, s.Holders())
		}
		if err := context.Cause(first); !errors.Is(err, hub.ErrSuperseded) {
			t.Errorf("whoever was superseded and left is told %v, want ErrSuperseded", err)
		}
	})
	t.Run("is not what a context's end does", func(t *testing.T) {
		var s hub.Exclusive[string]
		ctx, cancel := context.WithCancelCause(t.Context())
		seated, leave := s.Acquire(ctx, "a")
		cancel(errLeft)
		if err := context.Cause(seated); !errors.Is(err, errLeft) {
			t.Errorf("the seated context: %v, want its parent's cause", err)
		}
		if n := s.Holders(); n != 1 {
			t.Errorf("%d holders before leave, want 1", n)
		}
		leave()
		if n := s.Holders(); n != 0 {
			t.Errorf("%d holders after leave, want 0", n)
		}
	})
}

func TestASupersededWaitEndsAtOnceAndSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			h     hub.Hub[string]
			seats hub.Exclusive[string]
			start = time.Now()
		)
		seated, leave := seats.Acquire(t.Context(), "client")
		patience, cancel := context.WithTimeout(seated, 25*time.Second)
		defer cancel()
		go func() {
			time.Sleep(3 * time.Second)
			_, leave := seats.Acquire(t.Context(), "client")
			leave()
		}()
		if err := h.Watch("mailbox").Wait(patience); !errors.Is(err, hub.ErrSuperseded) {
			t.Errorf("Wait: %v, want ErrSuperseded", err)
		}
		leave()
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("it took %v, want exactly 3 s", took)
		}
	})
}

// However many ask at once, when all have asked exactly one sits.
func TestOneOfManyWhoAskAtOnceIsSeated(t *testing.T) {
	var (
		s       hub.Exclusive[string]
		mu      sync.Mutex
		seated  []context.Context
		leaving []func()
		asking  sync.WaitGroup
	)
	for range 64 {
		asking.Go(func() {
			ctx, leave := s.Acquire(t.Context(), "a")
			mu.Lock()
			defer mu.Unlock()
			seated, leaving = append(seated, ctx), append(leaving, leave)
		})
	}
	asking.Wait()
	sitting := 0
	for _, ctx := range seated {
		if ctx.Err() == nil {
			sitting++
		} else if cause := context.Cause(ctx); !errors.Is(cause, hub.ErrSuperseded) {
			t.Errorf("unseated with %v", cause)
		}
	}
	if sitting != 1 || s.Holders() != 1 {
		t.Errorf("%d sit and %d hold, want 1 and 1", sitting, s.Holders())
	}
	for _, leave := range leaving {
		leave()
	}
	if n := s.Holders(); n != 0 {
		t.Errorf("%d holders, want 0", n)
	}
}

func TestFreeSeatsOccupyNothing(t *testing.T) {
	var s hub.Exclusive[int]
	parent, cancel := context.WithCancel(t.Context())
	defer cancel()
	cycle := func(from, to int) {
		for i := from; i < to; i++ {
			_, leaveFirst := s.Acquire(parent, i)
			_, leaveSecond := s.Acquire(parent, i)
			leaveFirst()
			leaveSecond()
		}
	}
	cycle(0, 1000)
	before := heap()
	cycle(1000, 21_000)
	if grown := heap() - before; grown > 256<<10 {
		t.Errorf("20,000 seats that were taken and left left %d bytes behind", grown)
	}
	runtime.KeepAlive(&s)
}
