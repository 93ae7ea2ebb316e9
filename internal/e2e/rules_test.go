package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"restante/internal/e2e"
	"restante/internal/testclient"
	"restante/session"
)

// handshake is the answer to a handshake of an app.
func handshake(t *testing.T, s *e2e.Server, app string) testclient.Answer {
	t.Helper()
	id := session.NewID().Reveal()
	s.Secret(id)
	return e2e.Ask(t, http.MethodPost, s.URL()+"/v1/sessions", nil, fmt.Sprintf(
		`{"protocolVersion":"1","sessionId":%q,"appId":%q,"clientVersion":["acme","1.0"],"expectedSessionState":{"nextExpectedSeq":0,"nextSentSeq":0}}`, id, app))
}

// TestRules has a server read its rules at the start and at SIGHUP, with a mistake and without, and has
// the fail2ban of docs/rules.md find the client that it is about.
func TestRules(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "rules.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("- adress: 192.0.2.1\n  refuse: x\n")
	stdout, stderr, code := e2e.Run(t, e2e.Environment(), "rules", "check", file)
	if code != 1 || stdout != "" || !strings.Contains(stderr, file+`:1: "adress" is not known`) {
		t.Errorf("a mistake is told with %d: %s%s", code, stdout, stderr)
	}
	write("- client: acme/1.*\n  refuse: Update it.\n")
	if stdout, stderr, code = e2e.Run(t, e2e.Environment(), "rules", "check", file); code != 0 || stdout != file+": 1 rules\n" {
		t.Errorf("a good file is checked with %d: %s%s", code, stdout, stderr)
	}

	s := e2e.Serve(t, "--rules="+file, "--apps=app,app2", "--request-rate=1", "--request-burst=40")
	if a := handshake(t, s, "app"); a.Status != http.StatusForbidden || !strings.Contains(string(a.Body), "Update it.") {
		t.Errorf("a version is refused with %d %s", a.Status, a.Body)
	}
	hangUp := func(text, says string) {
		t.Helper()
		write(text)
		before := strings.Count(s.Output.Latest(), says)
		s.Signal(syscall.SIGHUP)
		e2e.Eventually(t, "the log says "+says, func() bool { return strings.Count(s.Output.Latest(), says) > before })
	}
	hangUp("- client: acme/1.*\n  refuse: Gone.\n- delay: 1h\n", "the rules stay as they were")
	if log := s.Output.Latest(); !strings.Contains(log, file+":3: a delay is a time") {
		t.Errorf("the log does not say where the mistake is:\n%s", log)
	}
	if a := handshake(t, s, "app"); !strings.Contains(string(a.Body), "Update it.") {
		t.Errorf("with a mistake, the rules are others: %s", a.Body)
	}
	hangUp("- message: Be kind.\n", "read the rules")
	if a := handshake(t, s, "app2"); a.Status != http.StatusCreated || !strings.Contains(string(a.Body), "Be kind.") {
		t.Errorf("a client is welcomed with %d %s", a.Status, a.Body)
	}

	const text = "this server is only for certain apps"
	if a := handshake(t, s, "other"); a.Status != http.StatusForbidden || !strings.Contains(string(a.Body), text) {
		t.Errorf("another app is answered %d %s", a.Status, a.Body)
	}
	keyed := &http.Request{Header: http.Header{}}
	keyed.SetBasicAuth("other", "a-secret-of-22-letters")
	if a := e2e.Ask(t, http.MethodGet, s.URL()+"/v1/nameplates", keyed.Header); a.Status != http.StatusForbidden || !strings.Contains(string(a.Body), text) {
		t.Errorf("another app, without a session, is answered %d %s", a.Status, a.Body)
	}
	conn, answer, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+s.Address+"/v1", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	connected := testclient.NewWormhole(t, conn)
	connected.Refused(text+", and this app ('appId') is none of them", "bind", "appid", "other", "side", "s")

	refused := s.Get("/v1")
	for refused.Status != http.StatusTooManyRequests {
		refused = s.Get("/v1")
	}
	id := regexp.MustCompile(`addr-[a-z0-9-]+`).FindString(string(refused.Body))
	e2e.Eventually(t, "the log has the refusal", func() bool { return strings.Contains(s.Output.Latest(), `"status":429`) })
	log := filepath.Join(t.TempDir(), "log")
	wormhole := `{"time":"2026-11-27T03:50:11.12+01:00","level":"INFO","msg":"refused a command of a wormhole client","address":"addr-aaaaaaaaaa","code":"RATE_LIMITED","standsFor":1}
{"time":"2026-11-27T03:50:12Z","level":"INFO","msg":"refused a command of a wormhole client","address":"addr-bbbbbbbbbb","code":"REJECTED_BY_CUSTOM_HANDLER","standsFor":1}
`
	if err := os.WriteFile(log, []byte(s.Output.Latest()+wormhole), 0o600); err != nil {
		t.Fatal(err)
	}
	id += " addr-aaaaaaaaaa"
	if found := banned(t, log, "docs/rules.md"); found != id {
		t.Errorf("fail2ban finds %q, want %q", found, id)
	}
	id, _, _ = strings.Cut(id, " ")
	hangUp("- address: "+id+"\n  refuse: You are banned.\n", "read the rules")
	connected.Write(websocket.TextMessage, `{"type": "ping", "ping": 1}`)
	if got := connected.Next(); got.Text("error") != "You are banned." {
		t.Errorf("the wormhole client is told %s", got.Raw)
	}
	connected.WantClose(websocket.ClosePolicyViolation)
	e2e.Eventually(t, "the client is banned", func() bool {
		answer := s.Get("/v1")
		if answer.Status == http.StatusTooManyRequests { // at such a rate, one that does not wait as it is told is refused for ever
			wait, err := time.ParseDuration(answer.Header.Get("Retry-After") + "s")
			if err = errors.Join(err, testclient.Pause(t.Context(), wait)); err != nil {
				t.Fatal(err)
			}
		}
		return strings.Contains(string(answer.Body), "You are banned.")
	})
}

// TestFail2banFindsAddressesAtTheProxy is of the recipe for nginx.
func TestFail2banFindsAddressesAtTheProxy(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "log")
	lines := `192.0.2.7 - - [27/Nov/2026:03:50:11 +0000] "GET /v1/session HTTP/1.1" 429 290 "-" "curl/7.88.1"
192.0.2.8 - - [27/Nov/2026:03:50:12 +0000] "GET /v1/429 HTTP/1.1" 200 429 "-" "x 429"
`
	if err := os.WriteFile(log, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	if found := banned(t, log, "docs/security.md"); found != "192.0.2.7" {
		t.Errorf("fail2ban finds %q", found)
	}
}

// banned returns what the real fail2ban finds in a log with the filter of a page, each once.
func banned(t *testing.T, log, page string) string {
	t.Helper()
	text, err := os.ReadFile(e2e.Path(page))
	if err != nil {
		t.Fatal(err)
	}
	filter := regexp.MustCompile("(?s)```ini\n# /etc/fail2ban/filter.d/restante.conf\n(.*?)```").FindSubmatch(text)
	if filter == nil {
		t.Fatalf("%s has no filter for fail2ban", page)
	}
	file := filepath.Join(t.TempDir(), "restante.conf")
	if err := os.WriteFile(file, filter[1], 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "fail2ban-regex", "--out", "id", log, file).Output()
	if err != nil {
		t.Fatalf("fail2ban-regex (Debian: fail2ban): %v\n%s", err, out)
	}
	seen := map[string]bool{}
	var found []string
	for id := range strings.FieldsSeq(string(out)) {
		if !seen[id] {
			seen[id] = true
			found = append(found, id)
		}
	}
	return strings.Join(found, " ")
}
