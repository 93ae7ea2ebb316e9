package torture

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Table sums the reports of several runs up, as Markdown: the runs, and for each engine how often each fault was injected and
// how many operations of each transport met it.
func Table(reports []*Report) string {
	var b strings.Builder
	all := newSum()
	kinds := map[string]*sum{}
	engines := map[string]*sum{}
	for _, r := range reports {
		for _, s := range []*sum{all, of(kinds, r.kind()), of(engines, r.Engine)} {
			s.add(r)
		}
	}
	b.WriteString("| servers and database | runs | time | rooms | sessions | operations | unanswered | violations |\n|---|---|---|---|---|---|---|---|\n")
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		kinds[kind].line(&b, kind)
	}
	all.line(&b, "all")
	for _, engine := range slices.Sorted(maps.Keys(engines)) {
		s := engines[engine]
		fmt.Fprintf(&b, "\n%s:\n\n| fault | injected |", map[string]string{"sqlite": "SQLite", "postgresql": "PostgreSQL"}[engine])
		for _, t := range Transports {
			b.WriteString(" " + t + " |")
		}
		b.WriteString("\n|---|---|" + strings.Repeat("---|", len(Transports)) + "\n| operations | |")
		for _, t := range Transports {
			b.WriteString(" " + thousands(s.operations[t]) + " |")
		}
		b.WriteString("\n")
		for _, fault := range slices.Sorted(maps.Keys(s.times)) {
			name := "`" + fault + "`"
			met := s.met[fault]
			if slices.Contains([]string{cutConnections, delayedConnections, lateRequests}, fault) {
				name, met = fault, s.injected[fault]
			}
			b.WriteString("| " + name + " | " + thousands(s.times[fault]) + " |")
			for _, t := range Transports {
				b.WriteString(" " + thousands(met[t]) + " |")
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// kind is what ran, in words.
func (r *Report) kind() string {
	if r.Engine == "sqlite" {
		return "1 server, SQLite"
	}
	kind := fmt.Sprintf("%d servers, PostgreSQL", r.Replicas)
	if r.Replicas == 1 {
		kind = "1 server, PostgreSQL"
	}
	switch r.Standby {
	case "sync":
		kind += ", synchronous standby"
	case "async":
		kind += ", asynchronous standby"
	}
	if r.PgBouncer {
		kind += ", PgBouncer"
	}
	return kind
}

// sum is what several runs did.
type sum struct {
	runs                                               int
	took                                               time.Duration
	rooms, sessions, done, unanswered, failed, excused int64
	operations, times                                  map[string]int64
	injected, met                                      map[string]map[string]int64
}

func newSum() *sum {
	return &sum{operations: map[string]int64{}, times: map[string]int64{}, injected: map[string]map[string]int64{}, met: map[string]map[string]int64{}}
}

func of(sums map[string]*sum, key string) *sum {
	if sums[key] == nil {
		sums[key] = newSum()
	}
	return sums[key]
}

func (s *sum) add(r *Report) {
	s.runs++
	s.took += r.Duration
	s.rooms += r.Rooms
	s.sessions += r.Sessions
	s.unanswered += r.Unanswered
	for t, n := range r.Operations {
		s.operations[t] += n
		s.done += n
	}
	for fault, n := range r.Times {
		s.times[fault] += n
	}
	for _, both := range []struct{ to, from map[string]map[string]int64 }{{s.injected, r.Injected}, {s.met, r.Met}} {
		for fault, by := range both.from {
			if both.to[fault] == nil {
				both.to[fault] = map[string]int64{}
			}
			for t, n := range by {
				both.to[fault][t] += n
			}
		}
	}
	for _, v := range r.Violations {
		if v.Excused == "" {
			s.failed++
		} else {
			s.excused++
		}
	}
}

func (s *sum) line(b *strings.Builder, name string) {
	violations := strconv.FormatInt(s.failed, 10)
	if s.excused > 0 {
		violations += fmt.Sprintf(" (and %d excused)", s.excused)
	}
	fmt.Fprintf(b, "| %s | %d | %v | %s | %s | %s | %s | %s |\n",
		name, s.runs, s.took.Round(time.Second), thousands(s.rooms), thousands(s.sessions), thousands(s.done), thousands(s.unanswered), violations)
}

// thousands is a number with a comma between thousands, or a dash for none.
func thousands(n int64) string {
	if n == 0 {
		return "–"
	}
	text := strconv.FormatInt(n, 10)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
