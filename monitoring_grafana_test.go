package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	grafana "github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// TestGrafanaKnowsTheDashboard reads the dashboard with Grafana's own library, which refuses fields, panel types,
// options and queries that Grafana does not know. Grafana itself is in no package registry.
func TestGrafanaKnowsTheDashboard(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	text, err := os.ReadFile("docs/monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct{ Panels []json.RawMessage }
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	known := func(text []byte) error {
		return unlessEmpty(new(grafana.Dashboard).UnmarshalJSONStrict(text)) //nolint:staticcheck // the newer schema is no file that one imports
	}
	if err := known(text); err != nil {
		t.Errorf("the dashboard: %v", err)
	}
	for i, panel := range d.Panels {
		var p grafana.PanelOrRowPanel
		if err := errors.Join(unlessEmpty(p.UnmarshalJSONStrict(panel)), unlessEmpty(p.Validate())); err != nil {
			t.Errorf("panel %d: %v", i, err)
		}
	}
	for was, is := range map[string]string{`"gridPos"`: `"gridPosition"`, `"expr"`: `"expression"`, `"fieldConfig"`: `"fields"`} {
		spoiled := bytes.Replace(text, []byte(was), []byte(is), 1)
		if bytes.Equal(spoiled, text) || known(spoiled) == nil {
			t.Errorf("it may have %s in place of %s", is, was)
		}
	}
}

// unlessEmpty is nil for an empty list of errors, which this library returns for what is right.
func unlessEmpty(err error) error {
	if all, is := errors.AsType[cog.BuildErrors](err); is && len(all) == 0 {
		return nil
	}
	return err
}
