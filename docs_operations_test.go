package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"restante/internal/munin"
)

// pages returns the text of all pages of docs.
func pages(t *testing.T) string {
	t.Helper()
	names, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// TestFlagsAreDocumented checks that the table of flags in docs/reference.md has every flag of the server and no other.
func TestFlagsAreDocumented(t *testing.T) {
	t.Parallel()
	var cli commands
	parser, err := kong.New(&cli)
	if err != nil {
		t.Fatal(err)
	}
	var flags []string
	for _, command := range parser.Model.Children {
		if command.Name == "serve" {
			for _, f := range command.Flags {
				flags = append(flags, "--"+f.Name)
			}
		}
	}
	text, err := os.ReadFile("docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "## All flags")
	table, _, _ = strings.Cut(table, "\n## ")
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(--[a-z0-9-]+)`").FindAllStringSubmatch(table, -1) {
		documented = append(documented, row[1])
	}
	compare(t, "flag", flags, documented)
}

// TestMetricsAreDocumented checks that docs/reference.md has every metric of the server, and that no page names a metric
// that there is not. The dashboard and the alert rules are held to the same.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := settings(t)
	c.MetricsByApp = 1
	at, ended := serving(ctx, t, c)
	var body []byte
	for _, path := range []string{"/livez", "/metrics"} { // the metrics have the first request
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%v%s", at, path), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if body, err = io.ReadAll(answer.Body); err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	var served []string
	for _, help := range regexp.MustCompile(`(?m)^# HELP (restante_[a-z_]+)`).FindAllSubmatch(body, -1) {
		served = append(served, string(help[1]))
	}
	var documented []string
	for _, name := range regexp.MustCompile(`restante_[a-z_]+`).FindAllString(pages(t), -1) {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if short, of := strings.CutSuffix(name, suffix); of && slices.Contains(served, short) {
				name = short
			}
		}
		if graph, is := strings.CutPrefix(name, "restante_"); is && slices.Contains(munin.Names(), graph) {
			continue // a plugin for Munin
		}
		documented = append(documented, name)
	}
	compare(t, "metric", served, documented)
	checkMonitoring(t, string(body))
}

// compare fails the test for what is only in one of two lists.
func compare(t *testing.T, what string, have, documented []string) {
	t.Helper()
	if len(have) < 20 {
		t.Errorf("there are only %d: %q", len(have), have)
	}
	for _, name := range have {
		if !slices.Contains(documented, name) {
			t.Errorf("the %s %s is not documented", what, name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(have, name) {
			t.Errorf("the %s %s is documented, and there is none", what, name)
		}
	}
}
