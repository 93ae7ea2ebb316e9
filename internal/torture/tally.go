package torture

import (
	"sync"
	"time"
)

// tally counts the operations of a run: an operation is an answered request, an answered message of a wormhole client, or a
// delivered frame or message, and each of them is checked. What was never answered is counted apart.
type tally struct {
	mu         sync.Mutex
	spans      []span
	operations map[string]int64 // by transport
	unanswered int64
}

// span is when an operation was under way.
type span struct {
	transport string
	from, to  time.Duration
}

// count counts the operations in the history of a room.
func (t *tally) count(events []*Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.operations == nil {
		t.operations = map[string]int64{}
	}
	for _, e := range events {
		s := span{e.Transport, e.At, e.Done}
		switch e.Kind {
		case Request, Handshake:
			if e.Status == 0 {
				t.unanswered++
				continue
			}
		case Said:
			if e.Transport != Wormhole {
				continue // an acknowledgement on a session's socket or stream is never answered
			}
			if e.Answer == "" {
				t.unanswered++
				continue
			}
		case Frame, Message:
			s.from = e.Done // At is when its connection began
		default:
			continue
		}
		t.operations[e.Transport]++
		t.spans = append(t.spans, s)
	}
}

// met counts by fault and transport the operations that were under way or began while the fault lasted, which is until the
// servers were ready again.
func (t *tally) met(faults []*Event) map[string]map[string]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	met := map[string]map[string]int64{}
	for _, s := range t.spans {
		seen := map[string]bool{} // an operation meets a kind of fault once, however often that was injected meanwhile
		for _, f := range faults {
			if f.At > s.to || f.Done < s.from || seen[f.Transport] {
				continue
			}
			seen[f.Transport] = true
			if met[f.Transport] == nil {
				met[f.Transport] = map[string]int64{}
			}
			met[f.Transport][s.transport]++
		}
	}
	return met
}
