package torture

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Report is what a run did and found.
type Report struct {
	Engine     string                      `json:"engine"`
	Replicas   int                         `json:"replicas"`
	Standby    string                      `json:"standby,omitempty"`
	PgBouncer  bool                        `json:"pgbouncer,omitempty"`
	Seed       uint64                      `json:"seed"`
	Duration   time.Duration               `json:"duration"`
	Command    string                      `json:"command"` // repeats the choices
	Logs       string                      `json:"logs"`    // the directory of the servers' logs, kept after a failure
	Rooms      int64                       `json:"rooms"`
	Sessions   int64                       `json:"sessions"`
	Messages   int64                       `json:"messages"`
	Events     int64                       `json:"events"` // all that was recorded and checked
	Replayed   int64                       `json:"replayed"`
	Operations map[string]int64            `json:"operations"` // by transport: answered requests, and frames and messages that came
	Unanswered int64                       `json:"unanswered"` // requests that no answer came to
	Times      map[string]int64            `json:"times"`      // how often each fault was injected
	Injected   map[string]map[string]int64 `json:"injected"`   // the same, by transport: while a client of it was in a room
	Met        map[string]map[string]int64 `json:"met"`        // the operations that were under way or began while a fault lasted, by fault and transport
	Violations []Violation                 `json:"violations"`
}

// What the proxies do is counted by them.
const (
	cutConnections     = "cut connections"
	delayedConnections = "delayed connections"
	lateRequests       = "late requests"
)

func (r *runner) report() *Report {
	w := r.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.servers {
		for t, p := range s.proxies {
			for fault, n := range map[string]int64{cutConnections: p.cut.Load(), delayedConnections: p.delayed.Load(), lateRequests: p.late.Load()} {
				w.harmed(fault, t, n)
				w.times[fault] += n
			}
		}
	}
	return &Report{
		Engine: w.cfg.engine(), Replicas: w.cfg.Replicas, Standby: w.cfg.Standby, PgBouncer: w.cfg.PgBouncer, Seed: w.cfg.Seed, Duration: w.now(), Command: w.cfg.command(), Logs: r.dir,
		Rooms: r.rooms.Load(), Sessions: w.sessions.Load(), Messages: w.messages.Load(), Events: r.events.Load(), Replayed: w.replayed.Load(),
		Operations: w.tallied.operations, Unanswered: w.tallied.unanswered, Times: w.times, Injected: w.injected,
		Met: w.tallied.met(r.nemesis.history.all()), Violations: w.violations,
	}
}

// first is the first violation that is not excused, or nil.
func (r *Report) first() *Violation {
	for i := range r.Violations {
		if r.Violations[i].Excused == "" {
			return &r.Violations[i]
		}
	}
	return nil
}

func (r *Report) has(rule string) bool {
	return slices.ContainsFunc(r.Violations, func(v Violation) bool { return v.Rule == rule && v.Excused == "" })
}

// Failed tells whether there was a violation that is not excused.
func (r *Report) Failed() bool { return r.first() != nil }

// Write writes the report as text for people.
func (r *Report) Write(to io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %s, %d servers, %v: %d rooms, %d sessions, %d messages, %d replies replayed, %d events checked\n\n",
		r.Seed, r.Engine, r.Replicas, r.Duration.Round(time.Second), r.Rooms, r.Sessions, r.Messages, r.Replayed, r.Events)
	row := func(name string, of map[string]int64) {
		fmt.Fprintf(&b, "| %-20s |", name)
		for _, t := range Transports {
			fmt.Fprintf(&b, " %8d |", of[t])
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "| %-20s |", "")
	for _, t := range Transports {
		fmt.Fprintf(&b, " %8s |", t)
	}
	b.WriteString("\n|---" + strings.Repeat("|---", len(Transports)) + "|\n")
	row("operations", r.Operations)
	for _, name := range slices.Sorted(maps.Keys(r.Injected)) {
		row(name, r.Injected[name])
	}
	failures, excused := 0, 0
	for _, v := range r.Violations {
		if v.Excused != "" {
			excused++
			continue
		}
		failures++
		if failures > 10 {
			continue
		}
		fmt.Fprintf(&b, "\nVIOLATION at %.3fs: %s\n  %s %s\n  %s\n", v.When.Seconds(), v.Rule, v.Room, v.Session, v.What)
		for _, line := range v.History {
			fmt.Fprintf(&b, "    %s\n", line)
		}
	}
	fmt.Fprintf(&b, "\n%d violations", failures)
	if excused > 0 {
		fmt.Fprintf(&b, "; %d more are what the promotion of an asynchronous standby costs: commits that it had not received are lost", excused)
	}
	fmt.Fprintf(&b, "\nto repeat: %s\n", r.Command)
	if failures > 0 {
		fmt.Fprintf(&b, "logs of the servers: %s\n", r.Logs)
	}
	_, err := io.WriteString(to, b.String())
	return err
}
