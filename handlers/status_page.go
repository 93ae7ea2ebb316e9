package handlers

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // for statusHTML
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"restante/api"
	"restante/internal/units"
)

//go:embed status.css
var statusStyle string

//go:embed status.html
var statusHTML string

var statusPage = template.Must(template.New("status").Parse(statusHTML))

// statusPolicy is what the status page may do: have its own style, load itself again, and nothing else.
var statusPolicy = func() string {
	sum := sha256.Sum256([]byte(statusStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// fact is a row of the status page.
type fact struct {
	Name, Value string
	Bad         bool
}

// plot is a plot of the last hour.
type plot struct {
	Name, Now, Most string
	Points          string // of an SVG polyline
}

// maxRecordedAge is how long ago signs of life may have been stored before the page says that something is wrong. The alert
// rule and the Munin plugin say so then, too.
const maxRecordedAge = 2 * time.Minute

// pruneRow is a row of what could not be pruned.
type pruneRow struct{ Kind, Key, App, Error, Detail, Attempts, Last, Next string }

// serverRow is a row of the servers that use the database.
type serverRow struct{ ID, Version, Started, Seen, Pruned, Clock string }

// getStatusPage is GET /status on the admin side. It needs no script: the page loads itself again.
func (s *Server) getStatusPage(w http.ResponseWriter, r *http.Request) {
	now, err := s.recentStatus(r.Context(), true)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	var page bytes.Buffer
	err = statusPage.Execute(&page, struct {
		Style    template.CSS
		Good     bool
		Version  string
		Facts    []fact
		Plots    []plot
		Failures []pruneRow
		Servers  []serverRow
	}{
		template.CSS(statusStyle), //nolint:gosec // it is the server's own
		now.Ready && len(now.Prune.Failures) == 0 && now.RecordedAgeMs <= maxRecordedAge.Milliseconds(), now.Version, factsOf(now), plotsOf(s.history.last()), pruneRows(now), serverRows(now),
	})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", statusPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(page.Bytes()) // a client that left does not read it
}

func factsOf(now api.Status) []fact {
	ago := func(at *int64) string { return agoOf(now, at) }
	facts := []fact{
		{"Ready", yesNo(now.Ready), !now.Ready},
		{"Storage", string(now.Storage), now.Storage != api.StatusStorageOk},
		{"Up for", units.Span(now.ServerTime - now.Started), false},
		{"Last modification", ago(&now.Updated), false},
		{"Signs of life stored", units.Span(now.RecordedAgeMs) + " ago", now.RecordedAgeMs > maxRecordedAge.Milliseconds()},
		{"Sessions", fmt.Sprintf("%d attached, %d detached", now.Sessions.Attached, now.Sessions.Detached), false},
		{"Clients", fmt.Sprintf("%d polls, %d streams, %d sockets, %d wormhole", now.Clients.Polls, now.Clients.Streams, now.Clients.Sockets, now.Clients.Wormhole), false},
		{"Nameplates", fmt.Sprintf("%d, the last with %d digits", now.Counts.Nameplates, now.CodeDigits), false},
		{"Mailboxes", fmt.Sprintf("%d with %d messages", now.Counts.Mailboxes, now.Counts.Messages), false},
		{"Database", fmt.Sprintf("%s, log %s", units.Size(now.StorageBytes.Database), units.Size(now.StorageBytes.Log)), false},
		{"Last good prune", ago(now.Prune.LastGoodAt), len(now.Prune.Failures) > 0},
	}
	if now.Prune.NextAt != nil {
		facts = append(facts, fact{"Next prune", "in " + units.Span(*now.Prune.NextAt-now.ServerTime), false})
	}
	return facts
}

func agoOf(now api.Status, at *int64) string {
	if at == nil || *at == 0 {
		return "not yet"
	}
	return units.Span(now.ServerTime-*at) + " ago"
}

func serverRows(now api.Status) (rows []serverRow) {
	if now.Servers == nil {
		return nil
	}
	for _, one := range *now.Servers {
		rows = append(rows, serverRow{
			ID: one.ID[:min(len(one.ID), 8)], Version: one.Version, Started: agoOf(now, &one.StartedAt), Seen: agoOf(now, &one.SeenAt),
			Pruned: agoOf(now, one.PrunedAt), Clock: units.Skew(one.ClockSkewMs),
		})
	}
	return rows
}

func pruneRows(now api.Status) []pruneRow {
	rows := make([]pruneRow, len(now.Prune.Failures))
	for i, f := range now.Prune.Failures {
		rows[i] = pruneRow{
			Kind: string(f.Kind), Key: f.Key, Error: string(f.Error), Attempts: fmt.Sprint(f.Attempts),
			Last: units.Span(now.ServerTime-f.LastAt) + " ago", Next: "in " + units.Span(f.NextTryAt-now.ServerTime),
		}
		if f.App != nil {
			rows[i].App = *f.App
		}
		if f.Detail != nil {
			rows[i].Detail = *f.Detail
		}
	}
	return rows
}

// The size of a plot, in the units of its SVG.
const plotWidth, plotHeight = 360.0, 60.0

func plotsOf(samples []sample) []plot {
	plots := []plot{}
	for _, of := range []struct {
		name  string
		value func(sample) float64
	}{
		{"Sessions", func(s sample) float64 { return s.sessions }},
		{"Clients held", func(s sample) float64 { return s.clients }},
		{"Mailboxes", func(s sample) float64 { return s.mailboxes }},
		{"Requests a second", func(s sample) float64 { return s.requests }},
		{"Frames a second", func(s sample) float64 { return s.frames }},
		{"Failures (5xx) a second", func(s sample) float64 { return s.failed }},
		{"Age of the last modification, in seconds", func(s sample) float64 { return s.updated }},
	} {
		most, now := 0.0, 0.0
		for _, one := range samples {
			now = of.value(one)
			most = max(most, now)
		}
		var points strings.Builder
		for i, one := range samples {
			x := plotWidth - float64(len(samples)-1-i)*plotWidth/(samplesKept-1)
			y := plotHeight - 1
			if most > 0 {
				y -= of.value(one) / most * (plotHeight - 2)
			}
			fmt.Fprintf(&points, "%.1f,%.1f ", x, y)
		}
		plots = append(plots, plot{of.name, figure(now), figure(most), points.String()})
	}
	return plots
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// figure returns a number with three digits at most after the point, or none if it is large.
func figure(v float64) string {
	if v >= 10 || v == float64(int64(v)) {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
