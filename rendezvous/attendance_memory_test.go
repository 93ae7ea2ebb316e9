package rendezvous_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"restante/internal/memstore"
	"restante/rendezvous"
)

// The loop that looks at watched sides keeps nothing from one look to the next.
func TestLookingAtWatchedSidesKeepsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &rendezvous.Service{Config: rendezvous.DefaultConfig(), Store: memstore.New(), Log: silent}
		s.Config.BootGrace, s.Config.MailboxTTL = 0, 24*time.Hour
		s.Config.HeartbeatInterval = 100 * time.Millisecond // so that it looks every 20 ms
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.Run(ctx)
		(&world{Service: s, t: t}).watches("a", "m")
		time.Sleep(time.Second)
		before := heap()
		time.Sleep(10_000 * 20 * time.Millisecond)
		if grown := heap() - before; grown > 500<<10 {
			t.Errorf("%d bytes are kept after 10,000 looks", grown)
		}
	})
}

// heap returns how many bytes are in use, after what is not needed any more was freed.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
