package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// TestDashboardHasData has a real Prometheus scrape a real server with the alert rules, and answer each expression of
// the dashboard with data.
func TestDashboardHasData(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	prom := prometheus(t, s)
	e2e.Eventually(t, "Prometheus has scraped the server", func() bool { return prom.answers(t, "restante_polls_total") > 0 })
	ctx := e2e.Context(t)
	talk := e2e.StartConversation(ctx, e2e.NewPairs(s, 2))
	defer talk.End(ctx, t)
	s.Get("/nothing") // a problem
	e2e.Ask(t, http.MethodPost, s.URL()+"/v1/sessions", http.Header{"Content-Type": {"application/json"}}, strings.Repeat(" ", 300<<10))
	wormhole, _, err := e2e.DialWebSocket(strings.Replace(s.URL(), "http", "ws", 1)+"/v1", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = wormhole.Close() })
	if err := wormhole.WriteMessage(websocket.TextMessage, []byte(`{"type": "nonsense"}`)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(e2e.Path("docs/monitoring/dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	plain := strings.NewReplacer("$__rate_interval", "1m", "$__range", "1m", "$job", "restante", "$instance", ".+")
	asked := 0
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			asked++
			e2e.Eventually(t, p.Title+" shows "+target.Expr, func() bool { return prom.answers(t, plain.Replace(target.Expr)) > 0 })
		}
	}
	if asked < 30 {
		t.Errorf("there are only %d expressions", asked)
	}
}

// promServer is the address of a Prometheus.
type promServer string

// prometheus starts a Prometheus that scrapes a server often.
func prometheus(t *testing.T, s *e2e.Server) promServer {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatal("this test needs Prometheus: apt-get install prometheus")
	}
	dir, address := t.TempDir(), e2e.FreeAddress(t)
	config := fmt.Sprintf("global: {scrape_interval: 500ms, evaluation_interval: 500ms}\nrule_files: [%q]\nscrape_configs: [{job_name: restante, static_configs: [{targets: [%q]}]}]\n",
		e2e.Path("docs/monitoring/restante.rules.yaml"), s.Address)
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	command := e2e.Command(t.Context(), program, "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address="+address)
	var output e2e.Output
	command.Dir, command.Stdout, command.Stderr = dir, &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = e2e.Kill(command)
		_ = command.Wait() // it was killed
		if t.Failed() {
			t.Log(output.String())
		}
	})
	return promServer(address)
}

// answers returns how many series an expression has now; 0 if it cannot be asked.
func (p promServer) answers(t *testing.T, expression string) int {
	t.Helper()
	a, err := testclient.Exchange(t.Context(), testclient.OneShot, http.MethodGet, "http://"+string(p)+"/api/v1/query?query="+url.QueryEscape(expression), nil, "")
	if err != nil || a.Status == http.StatusServiceUnavailable {
		return 0 // it has not started yet
	}
	var got struct {
		Data struct{ Result []json.RawMessage }
	}
	if err := json.Unmarshal(a.Body, &got); err != nil || a.Status != http.StatusOK {
		t.Fatalf("to %s, Prometheus says %d %s", expression, a.Status, a.Body)
	}
	return len(got.Data.Result)
}
