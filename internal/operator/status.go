package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"restante/api"
	"restante/internal/units"
)

// StatusCommand is the command line of status.
type StatusCommand struct {
	Admin `embed:"" set:"timeout=3s"`

	JSON     bool          `name:"json" help:"Print the status as the server tells it, in JSON."`
	Watch    bool          `help:"Print it again and again, until interrupted."`
	Interval time.Duration `default:"2s" help:"With --watch: the time between two (${default})."`
}

// Help returns what --help says besides the flags.
func (*StatusCommand) Help() string {
	return `Only the admin side (--admin-listen) names apps, the texts of errors and the other servers on the database.

Examples:
  restante status --url http://127.0.0.1:4001
  restante status --watch
  restante status --json | jq .prune.failures`
}

// Print asks for the status and prints it: once, or again and again until ctx ends. If screen is true, each one replaces
// the one before.
func (c *StatusCommand) Print(ctx context.Context, out io.Writer, screen bool) error {
	for {
		text, err := c.text(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it is interrupted on purpose
		}
		if err != nil && !c.Watch {
			return err
		}
		if err != nil { // the server may be about to come back
			text = fmt.Sprintf("%s: %v\n", time.Now().UTC().Format(time.DateTime), err)
		}
		if c.Watch && screen {
			text = "\x1b[H\x1b[2J" + text
		}
		if _, err := io.WriteString(out, text); err != nil || !c.Watch {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(c.Interval):
		}
	}
}

// text asks for the status, and returns what is printed of it.
func (c *StatusCommand) text(ctx context.Context) (string, error) {
	if c.JSON {
		body, err := c.Get(ctx, "/v1/status")
		return strings.TrimSpace(string(body)) + "\n", err
	}
	body, err := c.Get(ctx, "/v1/status")
	if err != nil {
		return "", err
	}
	var status api.Status
	if err := json.Unmarshal(body, &status); err != nil || status.Service != api.StatusServiceRestante {
		return "", fmt.Errorf("this is not the status of a server: %.100s", plain(string(body)))
	}
	var text strings.Builder
	WriteStatus(&text, status)
	return text.String(), nil
}

// WriteStatus writes a status as tables for people.
func WriteStatus(out io.Writer, s api.Status) {
	now := s.ServerTime
	state := "ready"
	switch {
	case s.Storage != api.StatusStorageOk:
		state = "its storage cannot be used"
	case !s.Ready:
		state = "not ready"
	case len(s.Prune.Failures) > 0:
		state = fmt.Sprintf("ready, but %d things cannot be pruned", len(s.Prune.Failures))
		if len(s.Prune.Failures) == 1 {
			state = "ready, but 1 thing cannot be pruned"
		}
	}
	_, _ = fmt.Fprintf(out, "restante %s: %s\n\n", plain(s.Version), state)
	table(out, nil, [][]string{
		{"started", ago(now, &s.Started)},
		{"last modification", ago(now, &s.Updated)},
		{"signs of life", fmt.Sprintf("stored %s ago", units.Span(s.RecordedAgeMs))},
		{"stored", fmt.Sprintf("%d nameplates, %d mailboxes, %d messages; counted %s", s.Counts.Nameplates, s.Counts.Mailboxes, s.Counts.Messages, ago(now, &s.CountsAt))},
		{"database", fmt.Sprintf("%s, log %s", units.Size(s.StorageBytes.Database), units.Size(s.StorageBytes.Log))},
		{"sessions", fmt.Sprintf("%d attached, %d detached", s.Sessions.Attached, s.Sessions.Detached)},
		{"clients", some(s.Clients.Polls, "polls", s.Clients.Streams, "streams", s.Clients.Sockets, "sockets", s.Clients.Wormhole, "wormhole")},
		{"mailboxes ended", results(s.Ended.Here.Mailboxes) + " since the start; " + results(s.Ended.AllTime.Mailboxes) + " in all"},
		{"pruning", fmt.Sprintf("last good run %s, next %s; %d of %d runs without a failure", ago(now, s.Prune.LastGoodAt), until(now, s.Prune.NextAt), s.Prune.GoodRunsTotal, s.Prune.RunsTotal)},
		{"clock", units.Skew(s.ClockSkewMs)},
	})
	if len(s.Prune.Failures) > 0 {
		_, _ = fmt.Fprint(out, "\nWhat cannot be pruned\n\n")
		var rows [][]string
		for _, f := range s.Prune.Failures {
			rows = append(rows, []string{string(f.Kind), f.Key, deref(f.App), strings.TrimSuffix(string(f.Error)+": "+deref(f.Detail), ": "), fmt.Sprint(f.Attempts), ago(now, &f.LastAt), until(now, &f.NextTryAt)})
		}
		table(out, []string{"KIND", "KEY", "APP", "ERROR", "ATTEMPTS", "LAST", "NEXT TRY"}, rows)
	}
	if s.Servers != nil && len(*s.Servers) > 0 {
		_, _ = fmt.Fprint(out, "\nServers on this database within a day\n\n")
		var rows [][]string
		for _, one := range *s.Servers {
			rows = append(rows, []string{one.ID[:min(len(one.ID), 8)], one.Version, ago(now, &one.StartedAt), ago(now, &one.SeenAt), ago(now, one.PrunedAt), units.Skew(one.ClockSkewMs)})
		}
		table(out, []string{"SERVER", "VERSION", "STARTED", "SEEN", "GOOD PRUNE", "CLOCK"}, rows)
	}
}

func results(r api.ResultCounts) string {
	return some(r.Happy, "happy", r.Lonely, "lonely", r.Scary, "scary", r.Errory, "errory", r.Pruney, "pruney", r.Crowded, "crowded", r.Quiet, "quiet")
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// table writes rows in columns, below a head if there is one.
func table(out io.Writer, head []string, rows [][]string) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if head != nil {
		rows = append([][]string{head}, rows...)
	}
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = plain(cell)
		}
		_, _ = fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	_ = w.Flush()
}
