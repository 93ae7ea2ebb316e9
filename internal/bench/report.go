package bench

import (
	"fmt"
	"slices"
	"strings"
)

// Report is what was measured, of all servers.
type Report struct {
	Command Command  `json:"command"`
	Targets []Target `json:"targets"`
	// Ratio is the first server's median rate by the second's, if there are two.
	Ratio float64 `json:"ratio,omitempty"`
}

// Target is what was measured of one server.
type Target struct {
	URL    string   `json:"url"`
	Rounds []Result `json:"rounds"`
	// Median is, figure by figure, the median of the rounds.
	Median Result `json:"median"`
}

// Result is what a round measured.
type Result struct {
	Operations int       `json:"operations"`
	Seconds    float64   `json:"seconds"`
	PerSecond  float64   `json:"perSecond"`
	Latency    Quantiles `json:"latencyMs"`
	Memory     *Memory   `json:"memory,omitempty"`
	// Checked is how many there were in all, the warm-up included.
	Checked int64 `json:"checked"`
	// Faults counts messages that were lost, repeated, changed or out of order.
	Faults     int64  `json:"faults"`
	FirstFault string `json:"firstFault,omitempty"`
}

// Quantiles are of durations, in milliseconds.
type Quantiles struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Memory is what clients that wait cost a server, in resident bytes.
type Memory struct {
	Clients   int     `json:"clients"`
	Before    int64   `json:"before"`
	After     int64   `json:"after"`
	PerClient float64 `json:"perClient"`
}

// summarize computes the medians of the rounds, and the ratio.
func (r *Report) summarize() {
	for i := range r.Targets {
		r.Targets[i].Median = median(r.Targets[i].Rounds)
	}
	if len(r.Targets) == 2 && r.Targets[1].Median.PerSecond > 0 {
		r.Ratio = r.Targets[0].Median.PerSecond / r.Targets[1].Median.PerSecond
	}
}

// median returns the median of each figure over the rounds.
func median(rounds []Result) Result {
	of := func(figure func(Result) float64) float64 {
		var figures []float64
		for _, r := range rounds {
			figures = append(figures, figure(r))
		}
		slices.Sort(figures)
		return (figures[(len(figures)-1)/2] + figures[len(figures)/2]) / 2
	}
	m := Result{
		Operations: int(of(func(r Result) float64 { return float64(r.Operations) })),
		Seconds:    rounds[0].Seconds,
		PerSecond:  of(func(r Result) float64 { return r.PerSecond }),
		Latency: Quantiles{
			P50:  of(func(r Result) float64 { return r.Latency.P50 }),
			P99:  of(func(r Result) float64 { return r.Latency.P99 }),
			P999: of(func(r Result) float64 { return r.Latency.P999 }),
			Max:  of(func(r Result) float64 { return r.Latency.Max }),
		},
	}
	for _, r := range rounds {
		m.Checked += r.Checked
		m.Faults += r.Faults
		if m.FirstFault == "" {
			m.FirstFault = r.FirstFault
		}
	}
	if rounds[0].Memory != nil {
		memory := *rounds[0].Memory
		memory.PerClient = of(func(r Result) float64 { return r.Memory.PerClient })
		m.Memory = &memory
	}
	return m
}

// fault returns an error if a server made a mistake.
func (r *Report) fault() error {
	for _, t := range r.Targets {
		if t.Median.Faults > 0 {
			return fmt.Errorf("%s: %d faults: the figures are worth nothing; the first: %s", t.URL, t.Median.Faults, t.Median.FirstFault)
		}
	}
	return nil
}

// unit returns the name of what is counted.
func (c *Command) unit() string {
	return map[string]string{"rendezvous": "rendezvous", "stream": "messages", "idle": "heartbeats", "allocate": "nameplates"}[c.Scenario]
}

// text formats the report for people.
func (r *Report) text() string {
	var b strings.Builder
	c := r.Command
	fmt.Fprintf(&b, "%s over %s, %d %s", c.Scenario, c.Protocol, c.Pairs, map[bool]string{true: "clients", false: "pairs"}[c.Scenario == "idle" || c.Scenario == "allocate"])
	switch c.Scenario {
	case "stream":
		fmt.Fprintf(&b, " × %d in flight, %d bytes", c.InFlight, c.Size)
	case "allocate":
		fmt.Fprintf(&b, ", %d taken", c.Taken)
	}
	fmt.Fprintf(&b, ", %v", c.Duration)
	if c.Rounds > 1 {
		fmt.Fprintf(&b, ", medians of %d rounds", c.Rounds)
	}
	b.WriteString("\n\n")
	for _, t := range r.Targets {
		m := t.Median
		fmt.Fprintf(&b, "%s\n", t.URL)
		if c.Scenario != "idle" {
			fmt.Fprintf(&b, "  %.0f %s a second   p50 %.2f ms   p99 %.2f ms   p99.9 %.2f ms   max %.2f ms\n",
				m.PerSecond, c.unit(), m.Latency.P50, m.Latency.P99, m.Latency.P999, m.Latency.Max)
		}
		if m.Memory != nil {
			fmt.Fprintf(&b, "  %d clients wait: %.1f KiB of resident memory each (%.1f MiB before, %.1f MiB after)\n",
				m.Memory.Clients, m.Memory.PerClient/1024, float64(m.Memory.Before)/(1<<20), float64(m.Memory.After)/(1<<20))
		}
		if c.Scenario == "stream" || c.Scenario == "rendezvous" {
			verdict := fmt.Sprintf("checked: %d %s, every message once and in order", m.Checked, c.unit())
			if m.Faults > 0 {
				verdict = fmt.Sprintf("WRONG, %d times: %s", m.Faults, m.FirstFault)
			}
			fmt.Fprintf(&b, "  %s\n", verdict)
		}
	}
	if r.Ratio > 0 {
		fmt.Fprintf(&b, "\nratio %.2f\n", r.Ratio)
	}
	return b.String()
}
