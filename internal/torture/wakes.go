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

// wakes counts messages that were added while their receiver waited, on all rooms: all, and the last words to sessions and to
// wormhole clients.
type wakes struct {
	promptness
	toSessions, toWormhole promptness
}

// promptness is how many messages there were, and how many of them came late.
type promptness struct{ all, late atomic.Int64 }

func (p *promptness) count(late bool) {
	p.all.Add(1)
	if late {
		p.late.Add(1)
	}
}

// count counts the messages of one room that came while nothing was done to the servers.
func (w *wakes) count(events, faults []*Event) {
	added := map[string]*Event{}
	for _, e := range events {
		var sent struct{ Type, Body string }
		overHTTP := isAdd(e) && e.Status == 201
		overWormhole := e.Kind == Said && e.Answer == "ack"
		if (overHTTP || overWormhole) && json.Unmarshal([]byte(e.Sent), &sent) == nil && (overHTTP || sent.Type == "add") {
			added[sent.Body] = e
		}
	}
	seen := map[string]bool{}
	for _, e := range events {
		var m entry
		if e.Kind != Frame && e.Kind != Message || json.Unmarshal([]byte(e.Answer), &m) != nil || seen[e.Session+m.Body] {
			continue
		}
		seen[e.Session+m.Body] = true
		by := added[m.Body]
		if by == nil || by.Session == e.Session || e.At > by.At || disturbed(faults, by.At, e.Done) {
			continue
		}
		late := e.Done-by.Done > prompt
		w.promptness.count(late)
		switch {
		case !strings.HasSuffix(m.Body, lastWord):
		case e.Transport == Wormhole:
			w.toWormhole.count(late)
		default:
			w.toSessions.count(late)
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
func (w *wakes) judge() (found []Violation) {
	for _, group := range []struct {
		*promptness
		of            string
		least, oneOut int64 // how many must be late, and what part of all
	}{
		{&w.promptness, "messages", 10, 10}, {&w.toSessions, "last words to sessions", 4, 6}, {&w.toWormhole, "last words to wormhole clients", 4, 6},
	} {
		if all, late := group.all.Load(), group.late.Load(); late >= group.least && late*group.oneOut >= all {
			found = append(found, Violation{Rule: ruleWoken, What: fmt.Sprintf("%d of %d %s came more than %v after they were added, though their receiver waited", late, all, group.of, prompt)})
		}
	}
	return found
}
