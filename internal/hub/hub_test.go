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

var errLeft = errors.New("the client left")

// ended is a context that ended with the cause errLeft.
func ended() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errLeft)
	return ctx
}

func TestWatch(t *testing.T) {
	tests := map[string]struct {
		do   func(*hub.Hub[string], *hub.Watch[string]) // between Watch and Wait; the context has ended by then
		want error
	}{
		"a wake that came before the wait is kept": {
			do:   func(h *hub.Hub[string], _ *hub.Watch[string]) { h.Wake("a") },
			want: nil,
		},
		"one wake of several keys reaches each": {
			do:   func(h *hub.Hub[string], _ *hub.Watch[string]) { h.Wake("b", "a", "a", "c") },
			want: nil,
		},
		"another key's wake does not": {
			do:   func(h *hub.Hub[string], _ *hub.Watch[string]) { h.Wake("b") },
			want: errLeft,
		},
		"waking no key does nothing": {
			do:   func(h *hub.Hub[string], _ *hub.Watch[string]) { h.Wake() },
			want: errLeft,
		},
		"news of some keys reach it if it is one of them": {
			do:   func(h *hub.Hub[string], _ *hub.Watch[string]) { h.WakeIf(func(key string) bool { return key == "a" }) },
			want: nil,
		},
		"news of other keys do not": {
			do:   func(h *hub.Hub[string], _ *hub.Watch[string]) { h.WakeIf(func(key string) bool { return key != "a" }) },
			want: errLeft,
		},
		"a wake beats a close": {
			do:   func(h *hub.Hub[string], _ *hub.Watch[string]) { h.Wake("a"); h.Close() },
			want: nil,
		},
		"a close beats a context that ended": {
			do:   func(h *hub.Hub[string], _ *hub.Watch[string]) { h.Close() },
			want: hub.ErrClosed,
		},
		"a wake after the close comes too late": {
			do:   func(h *hub.Hub[string], _ *hub.Watch[string]) { h.Close(); h.Wake("a") },
			want: hub.ErrClosed,
		},
		"another watch of the key may end": {
			do: func(h *hub.Hub[string], _ *hub.Watch[string]) {
				other := h.Watch("a")
				other.Stop()
				other.Stop()
				h.Wake("a")
			},
			want: nil,
		},
		"a watch that was stopped does not wait": {
			do:   func(_ *hub.Hub[string], w *hub.Watch[string]) { w.Stop() },
			want: nil,
		},
		"nor does it hide a close": {
			do:   func(h *hub.Hub[string], w *hub.Watch[string]) { w.Stop(); h.Close() },
			want: hub.ErrClosed,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var h hub.Hub[string]
			w := h.Watch("a")
			test.do(&h, w)
			if err := w.Wait(ended()); !errors.Is(err, test.want) {
				t.Errorf("Wait: %v, want %v", err, test.want)
			}
			if n := h.Waiting(); n != 0 {
				t.Errorf("%d watches are left waiting", n)
			}
		})
	}
}

func TestStoppingTwiceEndsNoOtherWatchOfTheKey(t *testing.T) {
	var h hub.Hub[string]
	stopped := h.Watch("a")
	stopped.Stop()
	other := h.Watch("a")
	stopped.Stop()
	h.Wake("a")
	if err := other.Wait(ended()); err != nil {
		t.Errorf("the other watch: %v", err)
	}
}

func TestAWakeIsOnlyForThoseWhoWatch(t *testing.T) {
	var h hub.Hub[string]
	h.Wake("a")
	early := h.Watch("a")
	h.Wake("a")
	late := h.Watch("a")
	if err := early.Wait(ended()); err != nil {
		t.Errorf("the watch from before the wake: %v", err)
	}
	if err := late.Wait(ended()); !errors.Is(err, errLeft) {
		t.Errorf("the watch from after the wake: %v, want %v", err, errLeft)
	}
}

func TestWaitEndsTheWatch(t *testing.T) {
	var h hub.Hub[string]
	w := h.Watch("a")
	if n := h.Waiting(); n != 1 {
		t.Errorf("%d waiting after Watch, want 1", n)
	}
	if err := w.Wait(ended()); !errors.Is(err, errLeft) {
		t.Fatal(err)
	}
	if n := h.Waiting(); n != 0 {
		t.Errorf("%d waiting after Wait, want 0", n)
	}
	if err := w.Wait(context.Background()); err != nil {
		t.Errorf("a second Wait: %v, want nil at once", err)
	}
}

func TestWaitingLastsExactlyAsLongAsItMust(t *testing.T) {
	tests := map[string]struct {
		release func(*hub.Hub[string]) // after 7 s
		want    error
		after   time.Duration
	}{
		"until the wake":     {func(h *hub.Hub[string]) { h.Wake("a") }, nil, 7 * time.Second},
		"until the close":    {func(h *hub.Hub[string]) { h.Close() }, hub.ErrClosed, 7 * time.Second},
		"until the deadline": {func(h *hub.Hub[string]) { h.Wake("b") }, context.DeadlineExceeded, 25 * time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var h hub.Hub[string]
				start := time.Now()
				go func() {
					time.Sleep(7 * time.Second)
					test.release(&h)
				}()
				patience, cancel := context.WithTimeout(t.Context(), 25*time.Second)
				defer cancel()
				err := h.Watch("a").Wait(patience)
				if !errors.Is(err, test.want) {
					t.Errorf("Wait: %v, want %v", err, test.want)
				}
				if took := time.Since(start); took != test.after {
					t.Errorf("it took %v, want exactly %v", took, test.after)
				}
			})
		})
	}
}

func TestAWakeReachesEveryWatcherOfItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h hub.Hub[int]
		const each = 100
		var woken sync.WaitGroup
		for i := range 2 * each {
			w := h.Watch(i % 2)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			woken.Go(func() {
				defer cancel()
				err := w.Wait(ctx)
				if even := i%2 == 0; even != (err == nil) {
					t.Errorf("watcher of key %d: %v", i%2, err)
				}
			})
		}
		h.Wake(0)
		synctest.Wait()
		if n := h.Waiting(); n != each {
			t.Errorf("%d are left waiting, want the %d of the other key", n, each)
		}
		woken.Wait()
	})
}

func TestCloseReleasesEveryoneForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h hub.Hub[int]
		start := time.Now()
		var released sync.WaitGroup
		for key := range 1000 {
			w := h.Watch(key)
			released.Go(func() {
				if err := w.Wait(t.Context()); !errors.Is(err, hub.ErrClosed) {
					t.Errorf("Wait: %v, want ErrClosed", err)
				}
			})
		}
		synctest.Wait()
		select {
		case <-h.Done():
			t.Error("Done before Close")
		default:
		}
		h.Close()
		h.Close()
		<-h.Done()
		released.Wait()
		for range 3 {
			if err := h.Watch(1).Wait(t.Context()); !errors.Is(err, hub.ErrClosed) {
				t.Errorf("a watch that begins after the close: %v, want ErrClosed", err)
			}
		}
		if n := h.Waiting(); n != 0 {
			t.Errorf("%d are left waiting", n)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

func TestKeysThatAreNotWatchedOccupyNothing(t *testing.T) {
	var h hub.Hub[[32]byte]
	key := func(i int) (k [32]byte) {
		k[0], k[1], k[2] = byte(i), byte(i>>8), byte(i>>16)
		return k
	}
	cycle := func(from, to int) {
		for i := from; i < to; i++ {
			woken, stopped, timedOut := h.Watch(key(i)), h.Watch(key(i)), h.Watch(key(i+1<<20))
			stopped.Stop()
			h.Wake(key(i))
			if err := woken.Wait(context.Background()); err != nil {
				t.Fatal(err)
			}
			if err := timedOut.Wait(ended()); !errors.Is(err, errLeft) {
				t.Fatal(err)
			}
		}
	}
	cycle(0, 1000)
	before := heap()
	cycle(1000, 31_000)
	if grown := heap() - before; grown > 256<<10 {
		t.Errorf("60,000 keys that came and went left %d bytes behind", grown)
	}
	if n := h.Waiting(); n != 0 {
		t.Errorf("%d are left waiting", n)
	}
	runtime.KeepAlive(&h)
}

// heap is how many bytes are in use once everything unreachable is gone.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
