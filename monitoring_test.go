package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// dashboard is what the tests read of docs/monitoring/dashboard.json.
type dashboard struct {
	Title      string `json:"title"`
	Templating struct {
		List []struct {
			Name  string          `json:"name"`
			Query json.RawMessage `json:"query"`
		} `json:"list"`
	} `json:"templating"`
	Panels []panel `json:"panels"`
}

type panel struct {
	ID         int                            `json:"id"`
	Type       string                         `json:"type"`
	Title      string                         `json:"title"`
	Datasource struct{ Type, UID string }     `json:"datasource"`
	GridPos    struct{ H, W, X, Y int }       `json:"gridPos"`
	Targets    []struct{ Expr, RefID string } `json:"targets"`
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile("docs/monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// promtool runs Prometheus's tool in a directory.
func promtool(t *testing.T, dir string, arguments ...string) {
	t.Helper()
	program, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("this test needs promtool: apt-get install prometheus")
	}
	command := exec.CommandContext(t.Context(), program, arguments...)
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
}

// TestAlertRules checks the alert rules, and what they say of what has happened: the twelve hours in which pruning was
// dead and nothing told of it, for example.
func TestAlertRules(t *testing.T) {
	t.Parallel()
	promtool(t, "docs/monitoring", "check", "rules", "restante.rules.yaml")
	promtool(t, "docs/monitoring", "test", "rules", "restante.rules_test.yaml")
}

// TestAlertsAreDocumented compares the alert rules with the table of alerts.
func TestAlertsAreDocumented(t *testing.T) {
	t.Parallel()
	names := func(file, pattern string) (names []string) {
		text, err := os.ReadFile("docs/monitoring/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			names = append(names, found[1])
		}
		return names
	}
	rules := names("restante.rules.yaml", `(?s)alert: (\w+)\n.*?severity: (?:page|ticket) `)
	documented := names("README.md", "(?m)^\\| `(Restante\\w+)` \\| (?:page|ticket) \\|")
	if len(rules) < 10 {
		t.Errorf("there are only %d alert rules: %q", len(rules), rules)
	}
	slices.Sort(rules)
	slices.Sort(documented)
	if !slices.Equal(rules, documented) {
		t.Errorf("the alert rules are %q, and the table has %q", rules, documented)
	}
}

// TestDashboardIsWhole checks that the dashboard can be drawn: each panel has its place, its source and its expressions,
// and Prometheus can read each expression.
func TestDashboardIsWhole(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	ids, taken, variables := map[int]bool{}, map[[2]int]string{}, map[string]bool{}
	for _, v := range d.Templating.List {
		variables[v.Name] = true
	}
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var rules []rule
	for _, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" {
			t.Errorf("the panel %d, %q, has no id of its own or no title", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%s is beyond the right edge", p.Title)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if taken[at] != "" && taken[at] != p.Title {
					t.Fatalf("%s covers %s", p.Title, taken[at])
				}
				taken[at] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("%s has %d expressions, and its source is %q", p.Title, len(p.Targets), p.Datasource.UID)
		}
		for _, target := range p.Targets {
			for _, name := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(target.Expr, -1) {
				if !variables[name[1]] && !strings.HasPrefix(name[1], "__") {
					t.Errorf("%s uses the variable %s, which there is not", p.Title, name[1])
				}
			}
			rules = append(rules, rule{fmt.Sprintf("panel%d:%s", p.ID, target.RefID), plainExpression(target.Expr)})
		}
	}
	if len(rules) < 30 {
		t.Errorf("there are only %d expressions", len(rules))
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "panels", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "panels.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, dir, "check", "rules", "panels.yaml")
}

// plainExpression replaces the variables of Grafana.
func plainExpression(expression string) string {
	return strings.NewReplacer("$__rate_interval", "1m", "$__range", "1h", "$job", ".+", "$instance", ".+").Replace(expression)
}

// metricName matches the names of metrics of the server in an expression.
var metricName = regexp.MustCompile(`\b(?:restante|process|go)_[a-z_]+\b`)

// checkMonitoring checks that the dashboard and the alert rules name only metrics that are served, of which it gets the text.
func checkMonitoring(t *testing.T, body string) {
	t.Helper()
	types := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(body, -1) {
		types[line[1]] = line[2]
	}
	served := func(name string) bool {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if short, is := strings.CutSuffix(name, suffix); is && types[short] == "histogram" {
				return true
			}
		}
		return types[name] != "" && types[name] != "histogram"
	}
	var expressions []string
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			expressions = append(expressions, target.Expr)
		}
	}
	for _, v := range readDashboard(t).Templating.List {
		expressions = append(expressions, string(v.Query))
	}
	for _, file := range []string{"restante.rules.yaml", "restante.rules_test.yaml", "README.md"} {
		text, err := os.ReadFile(filepath.Join("docs", "monitoring", file))
		if err != nil {
			t.Fatal(err)
		}
		expressions = append(expressions, string(text))
	}
	var named []string
	for _, expression := range expressions {
		for _, name := range metricName.FindAllString(expression, -1) {
			if named = append(named, name); !served(name) {
				t.Errorf("%s is in the dashboard or the rules, and is not served", name)
			}
		}
	}
	slices.Sort(named)
	if named = slices.Compact(named); len(named) < 30 {
		t.Errorf("they name only %q", named)
	}
}
