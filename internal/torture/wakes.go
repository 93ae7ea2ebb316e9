package torture

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// prompt is within what news reaches a client that waits for it. Heartbeats are further apart, and so is what
// is found by them only.
const prompt = 500 * time.Millisecond

// wakes counts messages that were added while their receiver waited, on all rooms.
type wakes struct{ all, late atomic.Int64 }

// count counts the messages of one room that came while nothing was done to the servers.
func (w *wakes) count(events, faults []*Event) {
	added := map[string]*Event{}
	for _, e := range events {
		var sent struct{ Body string }
		if e.Kind == Request && e.Status == 201 && strings.HasSuffix(e.Path, "/messages") && json.Unmarshal([]byte(e.Sent), &sent) == nil {
			added[sent.Body] = e
		}
	}
	seen := map[string]bool{}
	for _, e := range events {
		var m entry
		if e.Kind != Frame || json.Unmarshal([]byte(e.Answer), &m) != nil || seen[e.Session+m.Body] {
			continue
		}
		seen[e.Session+m.Body] = true
		by := added[m.Body]
		if by == nil || e.At > by.At || disturbed(faults, by.At, e.Done) {
			continue
		}
		w.all.Add(1)
		if e.Done-by.Done > prompt {
			w.late.Add(1)
		}
	}
}

// disturbed tells whether a fault was at work in a span of time, or shortly before.
func disturbed(faults []*Event, from, to time.Duration) bool {
	for _, f := range faults {
		if f.At <= to && f.Done+2*time.Second >= from {
			return true
		}
	}
	return false
}

// judge reports if many messages came late. One that is late may have had a lost notification, or a slow machine.
func (w *wakes) judge() []Violation {
	all, late := w.all.Load(), w.late.Load()
	if all < 50 || late*10 < all {
		return nil
	}
	return []Violation{{Rule: ruleWoken, What: fmt.Sprintf("%d of %d messages came more than %v after they were added, though their receiver waited", late, all, prompt)}}
}
