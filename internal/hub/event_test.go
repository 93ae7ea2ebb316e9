package hub_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"restante/internal/hub"
)

// Whatever is done in whatever order, a bell tells its newest listener once of all that was rung since it was hushed.
func TestBellIsWhatItsModelSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var (
			b         hub.Event
			rung      bool
			listening *int
			heard     []*int
			want      = map[*int]int{}
		)
		t.Repeat(map[string]func(*rapid.T){
			"ring": func(*rapid.T) {
				b.Set()
				if rung = true; listening != nil {
					want[listening]++
					listening = nil
				}
			},
			"listen": func(*rapid.T) {
				one := new(int)
				heard = append(heard, one)
				b.OnSet(func() { *one++ })
				if listening = one; rung {
					want[one]++
					listening = nil
				}
			},
			"hush": func(*rapid.T) {
				b.Clear()
				rung = false
			},
			"": func(t *rapid.T) {
				for i, one := range heard {
					if *one != want[one] {
						t.Fatalf("listener %d was told %d times, want %d", i, *one, want[one])
					}
				}
			},
		})
	})
}

// However many ring while one listens, looks and hushes, the last ring is heard.
func TestNoRingIsLost(*testing.T) {
	const ringers, each = 4, 2000
	var (
		b      hub.Event
		said   atomic.Int64
		saying sync.WaitGroup
	)
	for range ringers {
		saying.Go(func() {
			for range each {
				said.Add(1)
				b.Set()
			}
		})
	}
	for heard := int64(0); heard < ringers*each; heard = said.Load() {
		<-b.Chan()
		b.Clear()
	}
	saying.Wait()
}

func TestRing(t *testing.T) {
	tests := map[string]struct {
		before, after func(*hub.Hub[string], *hub.Watch[string]) // Ring
		want          int
	}{
		"a wake rings":                       {after: func(h *hub.Hub[string], _ *hub.Watch[string]) { h.Wake("a"); h.Wake("a") }, want: 1},
		"so does one that came before":       {before: func(h *hub.Hub[string], _ *hub.Watch[string]) { h.Wake("a") }, want: 1},
		"and the hub's end":                  {after: func(h *hub.Hub[string], _ *hub.Watch[string]) { h.Close() }, want: 1},
		"and one that came before":           {before: func(h *hub.Hub[string], _ *hub.Watch[string]) { h.Close() }, want: 1},
		"another key's wake does not":        {after: func(h *hub.Hub[string], _ *hub.Watch[string]) { h.Wake("b") }},
		"nothing does after the watch ended": {after: func(h *hub.Hub[string], w *hub.Watch[string]) { w.Stop(); h.Wake("a"); h.Close() }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var h hub.Hub[string]
			w, other, rings := h.Watch("a"), h.Watch("a"), 0
			defer other.Stop()
			if test.before != nil {
				test.before(&h, w)
			}
			w.OnWake(func() { rings++ })
			if test.after != nil {
				test.after(&h, w)
			}
			w.Stop()
			if rings != test.want {
				t.Errorf("it rang %d times, want %d", rings, test.want)
			}
		})
	}
}

func TestWhoSitsIsToldOnceThatAnotherDoes(t *testing.T) {
	var (
		s        hub.Exclusive[string]
		unseated [3]int
		leave    [3]func()
	)
	for i := range leave {
		leave[i] = s.AcquireFunc("a", func() { unseated[i]++ })
	}
	leave[0]()
	if n := s.Holders(); n != 1 {
		t.Errorf("%d holders, want 1", n)
	}
	leave[2]()
	if n := s.Holders(); n != 0 || unseated != [3]int{1, 1, 0} {
		t.Errorf("%d holders, unseated %v", n, unseated)
	}
}
