package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"text/tabwriter"
	"time"
)

// Command is the command line of conformance.
type Command struct {
	URL   string        `arg:"" optional:"" help:"The server, for example http://localhost:4000."`
	Only  string        `placeholder:"PATTERN" help:"Try only the rules whose names fit, such as 'sending/*'."`
	App   string        `placeholder:"APP" help:"The app whose mailboxes are used; by default a new one."`
	Limit time.Duration `default:"30s" help:"How long the conversation about a rule may take (${default})."`
	List  bool          `help:"Print the rules, and try none."`
	JSON  bool          `name:"json" help:"Report in JSON."`
}

// Help returns what --help says besides the flags.
func (*Command) Help() string {
	return `Examples:
  restante conformance http://localhost:4000
  restante conformance https://mail.example --only='handshake/*'

Each rule is a short conversation with mailboxes of its own. All answers are also checked against the contract that this
version has (restante serve shows it at /openapi.yaml). The server must admit any client: no token, no other permission.

It exits with 1 if a rule is broken, or could not be tried.`
}

// suite is what the trials of one server have in common.
type suite struct {
	base, app string
	http      *http.Client
	contract  *contract
	limit     time.Duration
}

// Try tries the rules one after the other, and reports. It returns an error if one is broken or could not be tried.
func (c *Command) Try(ctx context.Context, out, progress io.Writer) error {
	chosen, err := c.chosen()
	if err != nil {
		return err
	}
	if c.List {
		return c.report(out, chosen, nil)
	}
	s, err := c.suite()
	if err != nil {
		return err
	}
	defer s.http.CloseIdleConnections()
	shown := terminal(progress)
	var results []Result
	for i, r := range chosen {
		if shown {
			_, _ = fmt.Fprintf(progress, "\r\x1b[K%d of %d: %s", i+1, len(chosen), r.ID)
		}
		results = append(results, s.try(ctx, r))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if shown {
		_, _ = fmt.Fprint(progress, "\r\x1b[K")
	}
	return c.report(out, chosen, results)
}

// terminal reports whether w is one.
func terminal(w io.Writer) bool {
	file, is := w.(*os.File)
	if !is {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// chosen returns the rules that are to be tried.
func (c *Command) chosen() (chosen []Rule, err error) {
	for _, r := range rules() {
		fits := true
		if c.Only != "" {
			if fits, err = path.Match(c.Only, r.ID); err != nil {
				return nil, fmt.Errorf("--only=%s is no pattern: %w", c.Only, err)
			}
		}
		if fits {
			chosen = append(chosen, r)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no rule fits --only=%s; --list shows them", c.Only)
	}
	return chosen, nil
}

func (c *Command) suite() (*suite, error) {
	at, err := url.Parse(c.URL)
	if err != nil || at.Host == "" || (at.Scheme != "http" && at.Scheme != "https") {
		return nil, fmt.Errorf("%q is no URL of a server, such as http://localhost:4000", c.URL)
	}
	contract, err := readContract()
	if err != nil {
		return nil, err
	}
	app := c.App
	if app == "" {
		app = "conformance.invalid/" + random()
	}
	return &suite{
		base: strings.TrimSuffix(c.URL, "/"), app: app, contract: contract, limit: c.Limit,
		http: &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 8}},
	}, nil
}

// report prints the rules, and what became of them if they were tried.
func (c *Command) report(out io.Writer, chosen []Rule, results []Result) error {
	if c.JSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		if results == nil {
			return encoder.Encode(chosen)
		}
		return errors.Join(encoder.Encode(results), fault(results))
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, r := range chosen {
		verdict := ""
		if results != nil {
			verdict = string(results[i].Verdict) + "\t"
		}
		_, _ = fmt.Fprintf(table, "%s%s\t%s\n", verdict, r.ID, r.Text)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, r := range results {
		if r.Verdict != Kept {
			if _, err := fmt.Fprintf(out, "\n%s %s: %s\n", r.Verdict, r.ID, r.Detail); err != nil {
				return err
			}
		}
	}
	if results != nil {
		_, _ = fmt.Fprintf(out, "\n%d of %d rules are kept\n", count(results, Kept), len(results))
	}
	return fault(results)
}

// count counts the results with a verdict.
func count(results []Result, v Verdict) (n int) {
	for _, r := range results {
		if r.Verdict == v {
			n++
		}
	}
	return n
}

// fault returns an error if not every rule is kept.
func fault(results []Result) error {
	broken, untried := count(results, Broken), count(results, Untried)
	if broken+untried == 0 {
		return nil
	}
	return fmt.Errorf("%d rules are broken, and %d could not be tried", broken, untried)
}
