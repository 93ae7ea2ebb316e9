package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/jmoiron/sqlx"

	"restante/internal/e2e"
	"restante/internal/testclient"
	"restante/session"
)

// The things that must not appear in a log.
const (
	secretNameplate = "7203945118"
	secretMailbox   = "mailbox-of-two"
	secretSide      = "side-of-one"
	secretWords     = "meet-me-at-noon"
)

// requests makes requests of one session, in whatever way is wanted.
func requests(t *testing.T, s *e2e.Server, id string) func(method, path, body string) testclient.Answer {
	return func(method, path, body string) testclient.Answer {
		t.Helper()
		return e2e.Ask(t, method, s.URL()+path, http.Header{"Authorization": {"Bearer " + id}}, body)
	}
}

// hello is the body of a handshake.
func hello(id, side string) string {
	return fmt.Sprintf(`{"protocolVersion":"1","sessionId":%q,"side":%q,"appId":"a","metadata":{"note":%q},"expectedSessionState":{"nextExpectedSeq":0,"nextSentSeq":0}}`,
		id, side, secretWords)
}

// TestLogs goes through everything that is logged, at the level at which most is: the logs tell
// neither who has a session, nor what is said, nor where.
func TestLogs(t *testing.T) {
	t.Parallel()
	s := e2e.NewServer(t, "--log-level=debug", "--prune-interval=1s", "--boot-grace=0s", "--drain=0s")
	one, two, three := session.NewID().Reveal(), session.NewID().Reveal(), session.NewID().Reveal()
	s.Secret(one, two, three, secretNameplate, secretMailbox, secretSide, secretWords)
	s.Start()
	s.WaitReady()
	for i, id := range []string{one, two, three} {
		if a := e2e.Ask(t, http.MethodPost, s.URL()+"/v1/sessions", nil, hello(id, fmt.Sprint(secretSide, i))); a.Status != http.StatusCreated {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	first, second, third := requests(t, s, one), requests(t, s, two), requests(t, s, three)
	message := fmt.Sprintf(`{"phase":%q,"body":%q,"id":%q}`, secretWords, secretWords, secretWords)
	for _, step := range []struct {
		by                 func(method, path, body string) testclient.Answer
		method, path, body string
		status             int
	}{
		{first, "PUT", "/v1/nameplates/" + secretNameplate, "", 200},
		{second, "PUT", "/v1/nameplates/" + secretNameplate, "", 200},
		{third, "PUT", "/v1/nameplates/" + secretNameplate, "", 409},                          // crowded
		{first, "PUT", "/v1/nameplates/" + secretNameplate, `{"` + secretWords + `":1}`, 400}, // an unknown member
		{first, "GET", "/v1/nameplates", "", 200},
		{first, "POST", "/v1/mailboxes/" + secretMailbox + "/messages", message, 403}, // not open
		{first, "PUT", "/v1/mailboxes/" + secretMailbox, "", 200},
		{second, "PUT", "/v1/mailboxes/" + secretMailbox + "?after=7", "", 400},
		{second, "PUT", "/v1/mailboxes/" + secretMailbox, "", 200},
		{first, "POST", "/v1/mailboxes/" + secretMailbox + "/messages", message, 201},
		{first, "POST", "/v1/mailboxes/" + secretMailbox + "/messages", message + message, 400},
		{first, "POST", "/v1/mailboxes/" + secretMailbox + "/messages", strings.Repeat(message, 8000), 413},
		{second, "GET", "/v1/session/events?epoch=1", "", 200},
		{second, "GET", "/v1/session/events?ack=99&session=" + two, "", 409},
		{first, "GET", "/v1/mailboxes/" + secretMailbox + "/" + secretWords, "", 404},
		{first, secretWords, "/v1/mailboxes/" + secretMailbox, "", 405},
		{requests(t, s, one+"!"), "GET", "/v1/session", "", 401},
		{requests(t, s, strings.ToUpper(secretWords+secretWords)), "GET", "/v1/session", "", 401},
		{first, "DELETE", "/v1/nameplates/" + secretNameplate, "", 204},
		{first, "PUT", "/v1/nameplates/" + secretNameplate, "", 409}, // reclaimed
		{first, "DELETE", "/v1/mailboxes/" + secretMailbox + "?mood=" + secretWords, "", 400},
		{first, "DELETE", "/v1/session?mood=scary", "", 204},
		{first, "GET", "/v1/session", "", 410},
	} {
		if a := step.by(step.method, step.path, step.body); a.Status != step.status {
			t.Errorf("%s %s: %d %s, want %d", step.method, step.path, a.Status, a.Body, step.status)
		}
	}
	// What is not even HTTP, and one who leaves in the middle of a word.
	for _, raw := range []string{
		"GET /" + secretWords + " HTTP/3.9\r\n\r\n",
		"GET /v1/session HTTP/1.1\r\nHost: localhost\r\nAuthorization Bearer " + one + "\r\n\r\n",
		"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{\"sessionId\":\"" + one,
	} {
		c, err := net.Dial("tcp", s.Address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, raw); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	e2e.Eventually(t, "it was pruned", func() bool { return s.Logged("pruned") })
	s.Signal(syscall.SIGTERM)
	s.Wait()

	// The storage fails in the middle of what it does with a nameplate.
	ruin(t, s.Database, "nameplates")
	s.Start()
	s.WaitReady()
	for _, step := range [][2]string{{"PUT", "/v1/nameplates/" + secretNameplate}, {"GET", "/v1/session"}} {
		if a := second(step[0], step[1], ""); a.Status != http.StatusServiceUnavailable || bytes.Contains(a.Body, []byte("malformed")) {
			t.Errorf("%s %s with nowhere to store a nameplate: %d %s", step[0], step[1], a.Status, a.Body)
		}
	}
	if a := second("GET", "/v1/mailboxes/"+secretMailbox+"2", ""); a.Status != http.StatusNotFound {
		t.Errorf("what does not need the nameplates does not go on: %d %s", a.Status, a.Body)
	}
	ofRequests(t, s.Output.String())
}

// ofRequests reads the lines of requests, which say these things and no others.
func ofRequests(t *testing.T, log string) {
	t.Helper()
	known := []string{"time", "level", "msg", "method", "route", "status", "took", "bytes", "request", "trace", "address", "session", "code", "standsFor", "error"}
	patterns := []string{
		"/v1/sessions", "/v1/session", "/v1/session/events", "/v1/nameplates", "/v1/nameplates/{nameplate}", "/v1/mailboxes/{mailbox}",
		"/v1/mailboxes/{mailbox}/messages", "/readyz", "unmatched",
	}
	n := 0
	for line := range strings.Lines(log) {
		var said map[string]any
		if err := json.Unmarshal([]byte(line), &said); err != nil || said["msg"] != "request" {
			continue // what is not JSON is found by inspect
		}
		n++
		for key := range said {
			if !slices.Contains(known, key) {
				t.Errorf("a request's line says %q: %s", key, line)
			}
		}
		if !slices.Contains(patterns, fmt.Sprint(said["route"])) {
			t.Errorf("the route is not a pattern: %s", line)
		}
	}
	if n < 20 {
		t.Errorf("only %d requests were logged", n)
	}
}

// ruin overwrites the page on which a table of a database begins.
func ruin(t *testing.T, database, table string) {
	t.Helper()
	db, err := sqlx.Open("sqlite", "file:"+database+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var page struct{ Root, Size int64 }
	if err := db.Get(&page, "SELECT rootpage AS root, page_size AS size FROM sqlite_schema, pragma_page_size WHERE name = ?", table); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(database, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xff}, int(page.Size)), (page.Root-1)*page.Size); err != nil {
		t.Fatal(err)
	}
}
