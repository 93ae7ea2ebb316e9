package e2e_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"restante/internal/e2e"
	"restante/repo/pgtest"
)

// muninGraphs are the seven graphs.
var muninGraphs = []string{"active", "errors", "event_rate", "events", "events_alltime", "version_uptake", "staleness"}

// asOneSide asks a server without a session, as a side of its own.
func asOneSide(t *testing.T, s *e2e.Server, side, method, path string, body ...string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.URL(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth("example.org/munin", strings.Repeat(side, 22))
	header := http.Header{"Authorization": request.Header["Authorization"]}
	if a := e2e.Ask(t, method, s.URL()+path, header, body...); a.Status >= 300 {
		t.Fatalf("%s %s: %d %s", method, path, a.Status, a.Body)
	}
}

// useForMunin has a server something to show: a mailbox with a message and its nameplate, one that ended well, one that a
// side found scary, and two clients, of which one says its version.
func useForMunin(t *testing.T, s *e2e.Server) {
	t.Helper()
	asOneSide(t, s, "a", http.MethodPut, "/v1/nameplates/4")
	asOneSide(t, s, "a", http.MethodPost, "/v1/mailboxes/waits/messages?open=true", `{"phase":"p","body":"mail"}`)
	for box, mood := range map[string]string{"good": "happy", "bad": "scary"} {
		for _, side := range []string{"a", "b"} {
			asOneSide(t, s, side, http.MethodPut, "/v1/mailboxes/"+box)
		}
		for _, side := range []string{"a", "b"} {
			asOneSide(t, s, side, http.MethodDelete, "/v1/mailboxes/"+box+"?mood="+mood)
		}
	}
	for _, version := range []string{`"clientVersion":["tea","1.2"],`, ""} {
		const hello = `{"protocolVersion":"1","appId":"a",%s"expectedSessionState":{"nextExpectedSeq":0,"nextSentSeq":0}}`
		if a := e2e.Ask(t, http.MethodPost, s.URL()+"/v1/sessions", nil, fmt.Sprintf(hello, version)); a.Status != http.StatusCreated {
			t.Fatalf("a handshake: %d %s", a.Status, a.Body)
		}
	}
}

// muninShows is what the first six graphs show of that.
var muninShows = map[string]map[string]string{
	"active":         {"nameplates.value": "1", "mailboxes.value": "2", "messages.value": "1", "sessions.value": "2"},
	"errors":         {"nameplates.value": "0", "mailboxes.value": "1", "mailboxes_scary.value": "1"},
	"event_rate":     {"happy.value": "1", "incomplete.value": "0", "scary.value": "1"},
	"events":         {"happy.value": "1", "total.value": "2", "scary.value": "1", "pruney.value": "0", "lonely.value": "0", "errory.value": "0", "crowded.value": "0"},
	"events_alltime": {"happy.value": "1", "total.value": "2", "scary.value": "1", "pruney.value": "0", "lonely.value": "0", "errory.value": "0", "crowded.value": "0"},
	"version_uptake": {"v_unknown.value": "0", "v_other.value": "0", "v_tea_1_2.value": "1"},
}

// TestMunin asks a real munin-node for all graphs, of a server that is alive, of one that cannot write, of one that was
// killed, and of one that ended long ago. Only one graph tells of that, the others go on.
func TestMunin(t *testing.T) {
	t.Parallel()
	admin := e2e.FreeAddress(t)
	s := e2e.NewServer(t, "--admin-listen="+admin)
	s.Start()
	s.WaitReady()
	useForMunin(t, s)
	node := e2e.StartMuninNode(t, muninGraphs, "RESTANTE_URL http://"+admin, "RESTANTE_DATABASE "+s.Database, "RESTANTE_TIMEOUT 50s", "updated_warning 77") // munin-node waits a minute
	t.Run("each graph describes itself", func(t *testing.T) {
		for _, graph := range muninGraphs {
			config := node.Ask("config", graph)
			for _, want := range []string{"graph_title", "graph_vlabel", "graph_category", "graph_info"} {
				if config[want] == "" {
					t.Errorf("%s has no %s: %v", graph, want, config)
				}
			}
			for line := range node.Ask("fetch", graph) {
				if field, is := strings.CutSuffix(line, ".value"); is && config[field+".label"] == "" {
					t.Errorf("%s: %s has no label: %v", graph, field, config)
				}
			}
			if graph == "staleness" && (config["updated.warning"] != "77" || config["updated.critical"] == "" || config["pruned.warning"] == "") {
				t.Errorf("the limits are %v", config)
			}
		}
	})
	shows := func(t *testing.T) {
		t.Helper()
		for graph, want := range muninShows {
			var got map[string]string
			e2e.Eventually(t, graph+" shows the latest", func() bool { // counts are half a second old
				got = node.Ask("fetch", graph)
				return t.Failed() || maps.Equal(got, want) || got["v_unknown.value"] == "U"
			})
			if !maps.Equal(got, want) {
				t.Errorf("%s is %v, want %v", graph, got, want)
			}
		}
	}
	// stale waits until the news is older than so many seconds, and checks what else its graph tells.
	stale := func(t *testing.T, seconds int, silent, failing string) {
		t.Helper()
		var got map[string]string
		e2e.Eventually(t, fmt.Sprintf("the news is %d seconds old", seconds), func() bool {
			got = node.Ask("fetch", "staleness")
			age, err := strconv.Atoi(got["updated.value"])
			return err != nil || age >= seconds
		})
		if pruned, err := strconv.Atoi(got["pruned.value"]); got["silent.value"] != silent || got["failing.value"] != failing || err != nil || pruned < 0 {
			t.Errorf("staleness is %v", got)
		}
		recorded, err := strconv.Atoi(got["recorded.value"])
		if known := err == nil && recorded >= 0; known != (silent == "0") { // the database does not tell
			t.Errorf("staleness is %v", got)
		}
	}
	t.Run("alive", func(t *testing.T) {
		shows(t)
		stale(t, 0, "0", "0")
	})
	database, exec := e2e.OpenDatabase(t, s)
	t.Run("it cannot write", func(t *testing.T) {
		exec("BEGIN IMMEDIATE")
		stale(t, 2, "0", "0")
		shows(t)
		exec("ROLLBACK")
	})
	t.Run("killed", func(t *testing.T) {
		s.Kill()
		shows(t)
		stale(t, 0, "1", "U")
	})
	t.Run("ended long ago", func(t *testing.T) {
		exec("UPDATE modified SET updated = updated - 86400000")
		if err := database.Close(); err != nil { // the last one that has it open empties the log
			t.Fatal(err)
		}
		shows(t)
		stale(t, 86400, "1", "U")
	})
}

// TestMuninWithoutMunin holds what the plugins say of PostgreSQL, of a server without an admin side, and of nothing.
func TestMuninWithoutMunin(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := replicas(t, 1, url)[0]
	useForMunin(t, s)
	ask := func(database, graph string) (fields []string, complaints string, code int) {
		t.Helper()
		out, complaints, code := e2e.Run(t, []string{"RESTANTE_URL=" + s.URL(), "RESTANTE_DATABASE=" + database}, "munin", graph)
		return strings.Split(strings.TrimSuffix(out, "\n"), "\n"), complaints, code
	}
	shows := func(of string) {
		t.Helper()
		for graph, fields := range muninShows {
			var want, got []string
			for field, value := range fields {
				want = append(want, field+" "+value)
			}
			slices.Sort(want)
			e2e.Eventually(t, graph+" shows the latest", func() bool {
				var code int
				got, _, code = ask(url, graph)
				slices.Sort(got)
				return code != 0 || slices.Equal(got, want)
			})
			if !slices.Equal(got, want) {
				t.Errorf("%s: %s is %q, want %q", of, graph, got, want)
			}
		}
	}
	shows("alive")
	if out, complaints, code := ask("", "version_uptake"); code != 1 || !slices.Equal(out, []string{"v_unknown.value U", "v_other.value U"}) || !strings.Contains(complaints, "--admin-listen") {
		t.Errorf("without an admin side: %d %q %q", code, out, complaints)
	}
	for database, exit := range map[string]int{url: 0, "": 1} {
		out, complaints, code := e2e.Run(t, []string{"RESTANTE_URL=" + s.URL() + "/nowhere", "RESTANTE_DATABASE=" + database}, "munin", "staleness")
		if code != exit || !strings.Contains(out, "silent.value 0\nrefused.value 1\n") || !strings.Contains(out+complaints, "404") {
			t.Errorf("of a server that refuses: %d %q %q", code, out, complaints)
		}
	}
	s.Kill()
	shows("killed")
	if out, complaints, code := ask("", "staleness"); code != 1 || !slices.Equal(out, []string{"updated.value U", "pruned.value U", "recorded.value U", "failing.value U", "silent.value 1", "refused.value 0"}) || !strings.Contains(complaints, "--database") {
		t.Errorf("of nothing: %d %q %q", code, out, complaints)
	}
	if out, _, code := ask("", "autoconf"); code != 0 || !strings.HasPrefix(out[0], "no (") {
		t.Errorf("autoconf: %d %q", code, out)
	}
	if out, _, code := ask("", "suggest"); code != 0 || !slices.Equal(out, muninGraphs) {
		t.Errorf("suggest: %d %q", code, out)
	}
	if _, complaints, code := ask("", "nonsense"); code != 1 || !strings.Contains(complaints, "version_uptake") {
		t.Errorf("of no graph: %d %q", code, complaints)
	}
}
