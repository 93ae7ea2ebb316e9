package hub_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"

	"restante/internal/hub"
)

// BenchmarkWatchWakeWait measures one poll's wait, while others wait for keys of their own.
func BenchmarkWatchWakeWait(b *testing.B) {
	for _, parked := range []int{1, 10_000, 1_000_000} {
		b.Run(fmt.Sprintf("parked=%d", parked), func(b *testing.B) {
			h, _ := crowded(parked)
			ctx, key := context.Background(), [32]byte{}
			b.ReportAllocs()
			for b.Loop() {
				w := h.Watch(key)
				h.Wake(key)
				if err := w.Wait(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWatchWakeWaitParallel shows what the single lock costs when every core wants it.
func BenchmarkWatchWakeWaitParallel(b *testing.B) {
	h, _ := crowded(10_000)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		ctx, key := context.Background(), [32]byte{}
		for pb.Next() {
			w := h.Watch(key)
			h.Wake(key)
			if err := w.Wait(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkWaiting measures the memory of one watch.
func BenchmarkWaiting(b *testing.B) {
	const parked = 100_000
	for b.Loop() {
		before := heap()
		h, watches := crowded(parked)
		b.ReportMetric(float64(heap()-before)/parked, "B/watch")
		runtime.KeepAlive(h)
		runtime.KeepAlive(watches)
	}
}

func BenchmarkAcquireRelease(b *testing.B) {
	var s hub.Exclusive[[32]byte]
	ctx := b.Context() // which can be cancelled, like a request's
	b.ReportAllocs()
	for b.Loop() {
		_, release := s.Acquire(ctx, [32]byte{})
		release()
	}
}

// crowded returns a hub with so many watches, each of a key of its own other than 0.
func crowded(parked int) (*hub.Hub[[32]byte], []*hub.Watch[[32]byte]) {
	h, watches := new(hub.Hub[[32]byte]), make([]*hub.Watch[[32]byte], parked)
	for i := range watches {
		var key [32]byte
		binary.BigEndian.PutUint64(key[:], uint64(i+1))
		watches[i] = h.Watch(key)
	}
	return h, watches
}
