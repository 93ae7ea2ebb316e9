package hub_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"restante/internal/hub"
)

// In any order of calls, an event calls its newest listener once for all that was set since the last Clear.
func TestEventIsWhatItsModelSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var (
			b         hub.Event
			set       bool
			listening *int
			heard     []*int
			want      = map[*int]int{}
		)
		t.Repeat(map[string]func(*rapid.T){
			"set": func(*rapid.T) {
				b.Set()
				if set = true; listening != nil {
					want[listening]++
					listening = nil
				}
			},
			"listen": func(*rapid.T) {
				one := new(int)
				heard = append(heard, one)
				b.OnSet(func() { *one++ })
				if listening = one; set {
					want[one]++
					listening = nil
				}
			},
			"clear": func(*rapid.T) {
				b.Clear()
				set = false
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

// While many goroutines set the event and one listens, looks and clears, the last Set is noticed.
func TestNoSetIsLost(*testing.T) {
	const setters, each = 4, 2000
	var (
		b      hub.Event
		said   atomic.Int64
		saying sync.WaitGroup
	)
	for range setters {
		saying.Go(func() {
			for range each {
				said.Add(1)
				b.Set()
			}
		})
	}
	for heard := int64(0); heard < setters*each; heard = said.Load() {
		<-b.Chan()
		b.Clear()
	}
	saying.Wait()
}

func TestOnWake(t *testing.T) {
	tests := map[string]struct {
		before, after func(*hub.Hub[string], *hub.Watch[string]) // OnWake
		want          int
	}{
		"a wake calls":                       {after: func(h *hub.Hub[string], _ *hub.Watch[string]) { h.Wake("a"); h.Wake("a") }, want: 1},
		"so does one that came before":       {before: func(h *hub.Hub[string], _ *hub.Watch[string]) { h.Wake("a") }, want: 1},
		"and the hub's end":                  {after: func(h *hub.Hub[string], _ *hub.Watch[string]) { h.Close() }, want: 1},
		"and one that came before":           {before: func(h *hub.Hub[string], _ *hub.Watch[string]) { h.Close() }, want: 1},
		"another key's wake does not":        {after: func(h *hub.Hub[string], _ *hub.Watch[string]) { h.Wake("b") }},
		"nothing does after the watch ended": {after: func(h *hub.Hub[string], w *hub.Watch[string]) { w.Stop(); h.Wake("a"); h.Close() }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var h hub.Hub[string]
			w, other, calls := h.Watch("a"), h.Watch("a"), 0
			defer other.Stop()
			if test.before != nil {
				test.before(&h, w)
			}
			w.OnWake(func() { calls++ })
			if test.after != nil {
				test.after(&h, w)
			}
			w.Stop()
			if calls != test.want {
				t.Errorf("it was called %d times, want %d", calls, test.want)
			}
		})
	}
}

func TestAHolderIsToldOnceThatItIsSuperseded(t *testing.T) {
	var (
		s          hub.Exclusive[string]
		superseded [3]int
		release    [3]func()
	)
	for i := range release {
		release[i] = s.AcquireFunc("a", func() { superseded[i]++ })
	}
	release[0]()
	if n := s.Holders(); n != 1 {
		t.Errorf("%d holders, want 1", n)
	}
	release[2]()
	if n := s.Holders(); n != 0 || superseded != [3]int{1, 1, 0} {
		t.Errorf("%d holders, superseded %v", n, superseded)
	}
}
