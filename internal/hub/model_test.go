package hub_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"restante/internal/hub"
)

// In any order of calls, the hub answers as a model of a few lines does.
func TestHubIsWhatItsModelSays(t *testing.T) {
	type watched struct {
		watch        *hub.Watch[int]
		key          int
		woken, ended bool
	}
	rapid.Check(t, func(t *rapid.T) {
		var (
			h       hub.Hub[int]
			watches []*watched
			closed  bool
		)
		key := rapid.IntRange(0, 2)
		// some draws one of the watches, or returns nil if there are none.
		some := func(t *rapid.T) *watched {
			if len(watches) == 0 {
				return nil
			}
			return rapid.SampledFrom(watches).Draw(t, "watch")
		}
		t.Repeat(map[string]func(*rapid.T){
			"watch": func(t *rapid.T) {
				k := key.Draw(t, "key")
				watches = append(watches, &watched{watch: h.Watch(k), key: k, ended: closed})
			},
			"wake": func(t *rapid.T) {
				keys := rapid.SliceOfN(key, 0, 3).Draw(t, "keys")
				h.Wake(keys...)
				for _, w := range watches {
					for _, k := range keys {
						if w.key == k && !closed {
							w.woken = true
						}
					}
				}
			},
			"stop": func(t *rapid.T) {
				w := some(t)
				if w == nil {
					return
				}
				w.watch.Stop()
				w.ended = true
			},
			"wait": func(t *rapid.T) {
				w := some(t)
				if w == nil {
					return
				}
				var want error
				switch {
				case w.woken && !w.ended:
				case closed:
					want = hub.ErrClosed
				case !w.ended:
					want = errLeft
				}
				if err := w.watch.Wait(ended()); !errors.Is(err, want) {
					t.Fatalf("Wait: %v, want %v", err, want)
				}
				w.ended = true
			},
			"close": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "seldom") == 0 {
					h.Close()
					closed = true
				}
			},
			"": func(t *rapid.T) {
				parked := 0
				for _, w := range watches {
					if !w.woken && !w.ended && !closed {
						parked++
					}
				}
				if n := h.Waiting(); n != parked {
					t.Fatalf("%d waiting, want %d", n, parked)
				}
			},
		})
	})
}

// A reader that watches, reads and waits sees the last thing written, however the
// writers' and readers' steps interleave: had a wake been lost, it would wait for
// its deadline, an hour later.
func TestNoWakeIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pauses := func(label string, n int) []time.Duration {
			return rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 3), func(ms int) time.Duration {
				return time.Duration(ms) * time.Millisecond
			}), n, n).Draw(t, label)
		}
		const keys, writes = 2, 8
		readers := rapid.IntRange(1, 4).Draw(t, "readers")
		writing, reading, looking := pauses("writing", writes), pauses("reading", readers), pauses("looking", readers)

		rapid.SyncTest(t, func(t *rapid.T) {
			var (
				h     hub.Hub[int]
				mu    sync.Mutex
				store [keys]int
				all   sync.WaitGroup
				start = time.Now()
			)
			for reader := range readers {
				all.Go(func() {
					key := reader % keys
					patience, cancel := context.WithTimeout(context.Background(), time.Hour)
					defer cancel()
					for {
						watch := h.Watch(key)
						time.Sleep(reading[reader])
						mu.Lock()
						seen := store[key]
						mu.Unlock()
						if seen == writes {
							watch.Stop()
							return
						}
						time.Sleep(looking[reader])
						if err := watch.Wait(patience); err != nil {
							t.Errorf("reader %d has seen %d of %d and is told: %v", reader, seen, writes, err)
							return
						}
					}
				})
			}
			for key := range keys {
				all.Go(func() {
					for _, pause := range writing {
						time.Sleep(pause)
						mu.Lock()
						store[key]++
						mu.Unlock()
						h.Wake(key)
					}
				})
			}
			all.Wait()
			if took := time.Since(start); took > time.Second {
				t.Errorf("it took %v", took)
			}
			if n := h.Waiting(); n != 0 {
				t.Errorf("%d are left waiting", n)
			}
		})
	})
}

// In any order of calls, each key has at most one holder: the newest, until its release.
func TestOneHolderPerKey(t *testing.T) {
	type holder struct {
		held    context.Context
		release func()
		key     int
		cause   error // nil while it holds its key
	}
	rapid.Check(t, func(t *rapid.T) {
		var (
			s       hub.Exclusive[int]
			holders []*holder
			live    = map[int]*holder{}
		)
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				key := rapid.IntRange(0, 2).Draw(t, "key")
				held, release := s.Acquire(context.Background(), key)
				if before := live[key]; before != nil {
					before.cause = hub.ErrSuperseded
				}
				live[key] = &holder{held: held, release: release, key: key}
				holders = append(holders, live[key])
			},
			"release": func(t *rapid.T) {
				if len(holders) == 0 {
					return // there is no holder yet
				}
				h := rapid.SampledFrom(holders).Draw(t, "holder")
				h.release()
				if live[h.key] == h {
					delete(live, h.key)
					h.cause = context.Canceled
				}
			},
			"": func(t *rapid.T) {
				if n := s.Holders(); n != len(live) {
					t.Fatalf("%d holders, want %d", n, len(live))
				}
				for i, h := range holders {
					if cause := context.Cause(h.held); !errors.Is(cause, h.cause) {
						t.Fatalf("holder %d of key %d: %v, want %v", i, h.key, cause, h.cause)
					}
				}
			},
		})
	})
}
