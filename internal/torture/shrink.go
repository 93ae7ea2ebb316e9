package torture

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// shortest is the shortest history that could be found in which a violation is still seen: events of the
// affected session and mailbox, less all that the check does not need.
func shortest(v Violation, events, faults []*Event, replicas int) []*Event {
	still := func(events []*Event) bool {
		return slices.ContainsFunc(check(v.Room, events, faults, replicas), func(other Violation) bool {
			return other.Rule == v.Rule && other.Session == v.Session && other.What == v.What
		})
	}
	own := slices.DeleteFunc(slices.Clone(events), func(e *Event) bool { return e.Session != v.Session })
	if still(own) {
		events = own
	} else if !still(events) { // it was not found by the check of one room: its end has to do
		return gist(own)
	}
	for size := (len(events) + 1) / 2; size > 0; size /= 2 {
		for at := 0; at < len(events); {
			fewer := slices.Concat(events[:at], events[min(at+size, len(events)):])
			if len(fewer) > 0 && still(fewer) {
				events = fewer
			} else {
				at += size
			}
		}
	}
	return events
}

// gist is what tells most about why a client was not served: where it said that it stands, what it acknowledged
// last, and its end.
func gist(own []*Event) []*Event {
	const end = 25
	var most *Event
	for _, e := range own {
		if e.Kind != Note && e.Kind != Frame && (most == nil || e.Ack >= most.Ack) {
			most = e
		}
	}
	var kept []*Event
	for i, e := range own {
		if e.Kind == Handshake || e == most || i >= len(own)-end {
			kept = append(kept, e)
		}
	}
	return kept
}

// story is a history as lines, with the faults of its time.
func story(events, faults []*Event) []string {
	if len(events) == 0 {
		return nil
	}
	events = slices.Clone(events)
	from, to := events[0].At, events[0].Done
	for _, e := range events {
		from, to = min(from, e.At), max(to, e.Done)
	}
	for _, f := range faults {
		if f.Done >= from && f.At <= to {
			events = append(events, f)
		}
	}
	slices.SortStableFunc(events, func(a, b *Event) int { return cmp.Compare(a.At, b.At) })
	var lines []string
	for i, same := 0, 1; i < len(events); i, same = i+same, 1 {
		for i+same < len(events) && alike(events[i], events[i+same]) {
			same++
		}
		line := strings.TrimRight(events[i].String(), " ")
		if same > 1 {
			line += fmt.Sprintf(" (and %d more like it)", same-1)
		}
		lines = append(lines, line)
	}
	const most = 60
	return lines[max(0, len(lines)-most):]
}

// alike tells whether two events tell the same, so that one of them is enough.
func alike(a, b *Event) bool {
	path := func(e *Event) string {
		path, _, _ := strings.Cut(e.Path, "&wait=")
		return path
	}
	return a.Kind == b.Kind && a.Session == b.Session && a.Method == b.Method && path(a) == path(b) && a.Seq == b.Seq && a.Status == b.Status && a.Code == b.Code &&
		(a.Kind == Request || a.Kind == Handshake || a.Kind == Beat)
}
