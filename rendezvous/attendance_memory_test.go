package rendezvous_test

import (
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"restante/rendezvous"
)

// The loop that looks at watched sides keeps nothing from one look to the next.
func TestLookingAtWatchedSidesKeepsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "restante.db")
	synctest.Test(t, func(t *testing.T) {
		w := open(t, path, func(c *rendezvous.Config) {
			c.MailboxTTL, c.HeartbeatInterval = 24*time.Hour, 100*time.Millisecond // so that it looks every 20 ms
		}, nil)
		defer func() { w.stop() }()
		w.watches("a", "m")
		time.Sleep(time.Second)
		before := heap()
		time.Sleep(5_000 * 20 * time.Millisecond)
		if grown := heap() - before; grown > 500<<10 {
			t.Errorf("%d bytes are kept after 5,000 looks", grown)
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
