package bench

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// post is a party that hands on what is added, as a server that may make mistakes.
type post struct {
	party   // it is asked for nothing else
	letters chan string
	deliver func(n int, body string) []string
	added   int
}

func (p *post) add(_, body string) error {
	p.added++
	for _, b := range p.deliver(p.added, body) {
		p.letters <- b
	}
	return nil
}

func (p *post) receive() (string, error) {
	select {
	case body := <-p.letters:
		return body, nil
	case <-time.After(4 * time.Minute):
		return "", errors.New("nothing came")
	}
}

func (p *post) hangUp() {}

func TestStreamNoticesWhatIsWrong(t *testing.T) {
	t.Parallel()
	var kept string
	for name, x := range map[string]struct {
		deliver func(n int, body string) []string
		faults  bool
	}{
		"nothing": {func(_ int, body string) []string { return []string{body} }, false},
		"a message is repeated": {func(n int, body string) []string {
			if n == 5 {
				return []string{body, body}
			}
			return []string{body}
		}, true},
		"a message is changed": {func(n int, body string) []string {
			if n == 5 {
				return []string{strings.Replace(body, "x", "y", 1)}
			}
			return []string{body}
		}, true},
		"a message is cut short": {func(n int, body string) []string {
			if n == 5 {
				return []string{body[:len(body)-1]}
			}
			return []string{body}
		}, true},
		"two messages change places": {func(n int, body string) []string {
			switch n {
			case 5:
				kept = body
				return nil
			case 6:
				return []string{body, kept}
			}
			return []string{body}
		}, true},
		"a message is lost": {func(n int, body string) []string {
			if n == 5 {
				return nil
			}
			return []string{body}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			l := &load{Command: Command{InFlight: 8, Size: 64, Duration: 20 * time.Millisecond}, shown: &progress{}}
			l.start()
			p := &post{letters: make(chan string, 64), deliver: x.deliver}
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			defer cancel()
			if err := l.send(ctx, p, p); err != nil {
				t.Fatal(err)
			}
			if r := l.result(); (r.Faults > 0) != x.faults {
				t.Errorf("it counts %d faults (%s)", r.Faults, r.FirstFault)
			}
		})
	}
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	var all tally
	for i := range 1000 {
		all.took = append(all.took, time.Duration(999-i)*time.Millisecond)
	}
	if got := all.quantiles(); got != (Quantiles{P50: 499, P99: 989, P999: 998, Max: 999}) {
		t.Errorf("%+v", got)
	}
	if got := new(tally).quantiles(); got != (Quantiles{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	rounds := func(rates ...float64) []Result {
		var list []Result
		for _, r := range rates {
			list = append(list, Result{PerSecond: r})
		}
		return list
	}
	r := Report{Command: Command{Scenario: "stream", Rounds: 3}, Targets: []Target{
		{URL: "http://a", Rounds: rounds(30, 10, 1000)}, {URL: "http://b", Rounds: rounds(5, 20, 10)},
	}}
	r.summarize()
	if r.Targets[0].Median.PerSecond != 30 || r.Targets[1].Median.PerSecond != 10 || r.Ratio != 3 {
		t.Errorf("medians %v and %v, ratio %v", r.Targets[0].Median.PerSecond, r.Targets[1].Median.PerSecond, r.Ratio)
	}
	if err := r.fault(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"medians of 3 rounds", "http://a", "30 messages a second", "once and in order", "ratio 3.00"} {
		if !strings.Contains(r.text(), want) {
			t.Errorf("the report does not say %q:\n%s", want, r.text())
		}
	}
	r.Targets[1].Rounds[2].Faults, r.Targets[1].Rounds[2].FirstFault = 1, "message 7 was to come"
	r.summarize()
	if err := r.fault(); err == nil || !strings.Contains(err.Error(), "http://b") || !strings.Contains(r.text(), "message 7 was to come") {
		t.Errorf("%v\n%s", err, r.text())
	}
}

func TestCommandRefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	good := Command{Scenario: "stream", URL: "http://localhost:1", Protocol: "poll", Pairs: 1, InFlight: 1, Size: 64, Duration: time.Second, Rounds: 1}
	if _, err := good.targets(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*Command){
		"--pairs":                     func(c *Command) { c.Pairs = 0 },
		"--duration":                  func(c *Command) { c.Duration = 0 },
		"--size":                      func(c *Command) { c.Size = 3 },
		"--in-flight":                 func(c *Command) { c.InFlight = 2 },
		"not the address of a server": func(c *Command) { c.Against = "localhost:4000" },
	} {
		c := good
		spoil(&c)
		if _, err := c.targets(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}
