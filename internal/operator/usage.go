package operator

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"restante/api"
	"restante/internal/units"
)

// UsageCommand is the command line of usage.
type UsageCommand struct {
	Admin `embed:"" set:"timeout=30s"` // it reads all records

	Days  int    `default:"7" help:"The last so many days in UTC, today included (${default})."`
	Hours int    `default:"0" help:"The last so many hours instead."`
	App   string `placeholder:"APP" help:"Only this app."`
	JSON  bool   `name:"json" help:"Print the usage as the server tells it, in JSON."`
}

// Help returns what --help says besides the flags.
func (*UsageCommand) Help() string {
	return `Only the admin side of a server (--admin-listen) tells this.

Waiting is how long the first side waited for the second, and total is from the first side to the end. Of each it
prints what 50, 90 and 99 of 100 do not exceed.

Examples:
  restante usage --days 30
  restante usage --hours 1 --app example.org/chat
  restante usage --json | jq '.groups[] | select(.result == "happy").count'`
}

// Print asks for the usage and prints it.
func (c *UsageCommand) Print(ctx context.Context, out io.Writer) error {
	period := fmt.Sprintf("days=%d", c.Days)
	if c.Hours > 0 {
		period = fmt.Sprintf("hours=%d", c.Hours)
	}
	usage, body, err := c.usage(ctx, period)
	if err != nil {
		return err
	}
	if c.JSON && c.App == "" {
		_, err = fmt.Fprintln(out, strings.TrimSpace(string(body)))
		return err
	}
	if c.App != "" {
		usage = ofApp(usage, c.App)
	}
	if c.JSON {
		return writeJSON(out, usage)
	}
	WriteUsage(out, usage)
	return nil
}

// ofApp returns the part of a usage report that is about an app.
func ofApp(usage api.UsageReport, app string) api.UsageReport {
	groups, versions := usage.Groups, usage.Versions
	usage.Groups, usage.Versions = []api.UsageGroup{}, []api.VersionCount{}
	for _, g := range groups {
		if g.AppID == app {
			usage.Groups = append(usage.Groups, g)
		}
	}
	for _, v := range versions {
		if v.AppID == app {
			usage.Versions = append(usage.Versions, v)
		}
	}
	return usage
}

// WriteUsage writes a usage report as tables for people.
func WriteUsage(out io.Writer, u api.UsageReport) {
	_, _ = fmt.Fprintf(out, "What began since %s UTC, and has ended\n\n", time.UnixMilli(u.Since).UTC().Format(time.DateTime))
	if len(u.Groups) == 0 {
		_, _ = fmt.Fprintln(out, "nothing")
	} else {
		rows := make([][]string, len(u.Groups))
		for i, g := range u.Groups {
			rows[i] = append([]string{g.Day, string(g.Kind), g.AppID, string(g.Result), fmt.Sprint(g.Count)}, append(quantiles(g.Waiting), quantiles(&g.Total)...)...)
		}
		table(out, []string{"DAY", "KIND", "APP", "RESULT", "COUNT", "WAITING 50 %", "90 %", "99 %", "TOTAL 50 %", "90 %", "99 %"}, rows)
	}
	_, _ = fmt.Fprint(out, "\nClients that connected\n\n")
	if len(u.Versions) == 0 {
		_, _ = fmt.Fprintln(out, "none")
		return
	}
	rows := make([][]string, len(u.Versions))
	for i, v := range u.Versions {
		rows[i] = []string{v.AppID, v.Implementation, v.Version, fmt.Sprint(v.Clients)}
		if v.Implementation == "" && v.Version == "" {
			rows[i][1] = "(did not say)"
		}
	}
	table(out, []string{"APP", "IMPLEMENTATION", "VERSION", "CLIENTS"}, rows)
}

// quantiles returns three columns.
func quantiles(q *api.Quantiles) []string {
	if q == nil || q.Count == 0 {
		return []string{"", "", ""}
	}
	return []string{units.Span(q.P50Ms), units.Span(q.P90Ms), units.Span(q.P99Ms)}
}
