package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"
)

// Command is the command line of bench.
type Command struct {
	Scenario string `json:"scenario" arg:"" enum:"rendezvous,stream,idle,allocate" help:"What the clients do. rendezvous: pairs meet by a nameplate, exchange three messages each and leave. stream: one of each pair sends messages through an open mailbox. idle: clients wait, and the server's memory is looked at. allocate: nameplates are allocated and given back."`
	URL      string `json:"url" arg:"" help:"The server, for example http://localhost:4000."`
	Against  string `json:"against,omitempty" placeholder:"URL" help:"Another server, to be measured in turn with the first; the report gives the ratio."`

	Protocol string        `json:"protocol" enum:"poll,sse,socket,wormhole" default:"poll" help:"How they talk: poll, sse and socket are sessions that receive by long-poll, event stream or WebSocket; wormhole is the magic-wormhole mailbox protocol (${default})."`
	Pairs    int           `json:"pairs" default:"10" help:"Pairs of clients; with idle and allocate, single clients (${default})."`
	InFlight int           `json:"inFlight" default:"1" help:"stream: messages of a pair that are under way at once (${default})."`
	Size     int           `json:"size" default:"256" help:"stream: bytes of a message (${default})."`
	Taken    int           `json:"taken,omitempty" default:"0" help:"allocate: nameplates that are taken beforehand (${default})."`
	PID      int           `json:"pid,omitempty" name:"pid" placeholder:"PID" help:"idle: the server's process, whose memory is read from /proc; by default its /metrics is asked."`
	Duration time.Duration `json:"durationNs" default:"5s" help:"How long each round is measured (${default})."`
	Warmup   time.Duration `json:"warmupNs" default:"500ms" help:"How long the load runs before that (${default})."`
	Rounds   int           `json:"rounds" default:"1" help:"Rounds; the report gives their medians (${default})."`
	JSON     bool          `json:"-" name:"json" help:"Report in JSON."`
}

// Help returns what --help says besides the flags.
func (*Command) Help() string {
	return `Examples:
  restante bench stream http://localhost:4000 --protocol=sse --pairs=50
  restante bench rendezvous ws://localhost:4000/v1 --protocol=wormhole --against=ws://localhost:4001/v1 --rounds=5

All load comes from one address, which the server limits. To measure it and not
its limits, start it with --request-rate=0 --claim-rate=0 --max-connections=1000000 --max-nameplates-per-address=1000000 --max-bytes-per-address=1000000000000 --max-per-address=1000000 --max-sockets=1000000.

It exits with 1 if a message was lost, repeated, changed or out of order.`
}

// Measure puts load on the server, and reports. It returns an error if something could not be measured, or if the
// server made a mistake.
func (c *Command) Measure(ctx context.Context, out, progress io.Writer) error {
	targets, err := c.targets()
	if err != nil {
		return err
	}
	report := Report{Command: *c}
	for round := range c.Rounds {
		for i, t := range targets {
			name := fmt.Sprintf("%s over %s, round %d of %d, %s", c.Scenario, c.Protocol, round+1, c.Rounds, t)
			result, err := c.round(ctx, t, show(progress, name))
			if err != nil {
				return fmt.Errorf("%s: %w", t, explain(err))
			}
			if round == 0 {
				report.Targets = append(report.Targets, Target{URL: t.String()})
			}
			report.Targets[i].Rounds = append(report.Targets[i].Rounds, result)
		}
	}
	report.summarize()
	if c.JSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		_, err = io.WriteString(out, report.text())
	}
	return errors.Join(err, report.fault())
}

// targets returns the servers to measure.
func (c *Command) targets() ([]*url.URL, error) {
	switch {
	case c.Pairs < 1 || c.InFlight < 1 || c.Rounds < 1 || c.Taken < 0:
		return nil, errors.New("--pairs, --in-flight and --rounds must be at least 1, and --taken cannot be negative")
	case c.Duration < 10*time.Millisecond || c.Warmup < 0:
		return nil, errors.New("--duration must be at least 10ms, and --warmup cannot be negative")
	case c.Size < minSize:
		return nil, fmt.Errorf("--size must be at least %d: a message says which it is and when it was sent", minSize)
	case c.InFlight > 1 && (c.Protocol == "poll" || c.Protocol == "sse"):
		return nil, errors.New("--in-flight must be 1 over poll and sse, where a request waits for the one before it; use more --pairs, or socket or wormhole")
	}
	var targets []*url.URL
	for _, text := range []string{c.URL, c.Against} {
		if text == "" {
			continue
		}
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || scheme(u) == "" {
			return nil, fmt.Errorf("%q is not the address of a server; give one such as http://localhost:4000", text)
		}
		targets = append(targets, u)
	}
	return targets, nil
}

// scheme returns http or https for these and their WebSocket forms, and "" for any other.
func scheme(u *url.URL) string {
	switch u.Scheme {
	case "http", "ws":
		return "http"
	case "https", "wss":
		return "https"
	}
	return ""
}

// round measures a server once.
func (c *Command) round(ctx context.Context, target *url.URL, shown *progress) (Result, error) {
	defer shown.end()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := &load{Command: *c, target: target, shown: shown, run: time.Now().Format("150405.000000")}
	var err error
	switch c.Scenario {
	case "rendezvous":
		err = l.rendezvous(ctx)
	case "stream":
		err = l.stream(ctx)
	case "idle":
		err = l.idle(ctx)
	default:
		err = l.allocate(ctx)
	}
	return l.result(), err
}

// explain adds to an error what to do about it, where that is known.
func explain(err error) error {
	for _, sign := range []string{"RATE_LIMITED", "QUOTA_EXCEEDED", "too many", "OVERLOADED"} {
		if strings.Contains(err.Error(), sign) {
			return fmt.Errorf("%w\nThe server limits what one address may do. Start it with --request-rate=0 --claim-rate=0 --max-connections=1000000 --max-nameplates-per-address=1000000 --max-bytes-per-address=1000000000000 --max-per-address=1000000 --max-sockets=1000000", err)
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w\nThe server did not answer within %v", err, answerTimeout)
	}
	return err
}
