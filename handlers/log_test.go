package handlers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"restante/rendezvous"
	"restante/session"
)

// line is one request's line in the log.
type line struct {
	Level, Msg, Method, Route, Session, Code, Error string
	Status                                          int
	Took                                            time.Duration
}

// requests are the lines of the log that are about requests.
func (w *testServer) requests(t testing.TB) (lines []line) {
	t.Helper()
	for text := range strings.Lines(w.Logs.String()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if l.Msg == "request" {
			lines = append(lines, l)
		}
	}
	return lines
}

func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true})
		n, a, b := w.anonymous(t), w.begin(t, "app-of-mine", "side-of-mine"), w.begin(t, "app-of-mine", "other-side")
		parse := func(id string) string {
			parsed, err := session.ParseID(id)
			if err != nil {
				t.Fatal(err)
			}
			return parsed.Key().String()
		}
		mine, other := parse(a.id), parse(b.id)
		long := strings.Repeat("long-name", 50)
		w.Secret("31337", "mailbox-of-mine", "phase-of-mine", "body-of-mine", "side-of-mine", "app-of-mine", "wrong-token", "query-of-mine", "path-of-mine", "agent-of-mine", "long-name", "METHODOFMINE")

		steps := []struct {
			r      *request
			status int
			want   line
		}{
			{a.put("/v1/nameplates/31337"), 200, line{Level: "DEBUG", Method: "PUT", Route: "/v1/nameplates/{nameplate}", Session: mine}},
			{a.open("mailbox-of-mine").with("User-Agent: agent-of-mine"), 200, line{Level: "DEBUG", Method: "PUT", Route: "/v1/mailboxes/{mailbox}", Session: mine}},
			{b.open("mailbox-of-mine"), 200, line{Level: "DEBUG", Method: "PUT", Route: "/v1/mailboxes/{mailbox}", Session: other}},
			{b.add("mailbox-of-mine", "phase-of-mine", "body-of-mine"), 201, line{Level: "DEBUG", Method: "POST", Route: "/v1/mailboxes/{mailbox}/messages", Session: other}},
			{a.poll(0), 200, line{Level: "DEBUG", Method: "GET", Route: "/v1/session/events", Session: mine}},
			{a.get("/v1/session/events?wait=3&ack=2"), 200, line{Level: "DEBUG", Method: "GET", Route: "/v1/session/events", Session: mine, Took: 3 * time.Second}},
			{a.add("mailbox-of-mine", "phase-of-mine", "body-of-mine\x00").seq(5), 409, line{Level: "INFO", Method: "POST", Route: "/v1/mailboxes/{mailbox}/messages", Session: mine, Code: "SEQ_GAP"}},
			{a.post("/v1/mailboxes/mailbox-of-mine/messages", `{"body-of-mine": 1}`), 400, line{Level: "INFO", Method: "POST", Route: "/v1/mailboxes/{mailbox}/messages", Session: mine, Code: "INVALID_REQUEST"}},
			{a.post("/v1/mailboxes/mailbox-of-mine/messages", `{"`+long+`": `), 400, line{Level: "INFO", Method: "POST", Route: "/v1/mailboxes/{mailbox}/messages", Session: mine, Code: "INVALID_REQUEST"}},
			{a.get("/v1/session").with("Ack: body-of-mine"), 400, line{Level: "INFO", Method: "GET", Route: "/v1/session", Session: mine, Code: "INVALID_REQUEST"}},
			{n.get("/v1/session").with("Authorization: Bearer wrong-token"), 401, line{Level: "INFO", Method: "GET", Route: "/v1/session", Code: "SESSION_REQUIRED"}},
			{n.get("/v1/session?token=query-of-mine"), 401, line{Level: "INFO", Method: "GET", Route: "/v1/session", Code: "SESSION_REQUIRED"}},
			{n.get("/path-of-mine?query-of-mine"), 404, line{Level: "INFO", Method: "GET", Route: "unmatched", Code: "NOT_FOUND"}},
			{n.ask("METHODOFMINE", "/", ""), 405, line{Level: "INFO", Method: "other", Route: "unmatched", Code: "METHOD_NOT_ALLOWED"}},
			{n.get("/"), 200, line{Level: "DEBUG", Method: "GET", Route: "/"}},
			{n.get("/livez"), 200, line{Level: "DEBUG", Method: "GET", Route: "/livez"}},
			{n.get("/readyz"), 200, line{Level: "DEBUG", Method: "GET", Route: "/readyz"}},
			{n.get("/metrics"), 200, line{Level: "DEBUG", Method: "GET", Route: "/metrics"}},
			{a.delete("/v1/mailboxes/mailbox-of-mine?mood=scary"), 204, line{Level: "DEBUG", Method: "DELETE", Route: "/v1/mailboxes/{mailbox}", Session: mine}},
			{a.delete("/v1/session"), 204, line{Level: "DEBUG", Method: "DELETE", Route: "/v1/session", Session: mine}},
			{a.get("/v1/session"), 410, line{Level: "INFO", Method: "GET", Route: "/v1/session", Session: mine, Code: "SESSION_ENDED"}},
		}
		before := len(w.requests(t))
		for i, step := range steps {
			step.r.want(step.status)
			synctest.Wait() // for the line, which comes after the answer
			lines := w.requests(t)
			if len(lines) != before+i+1 {
				t.Fatalf("%s %s: %d lines, want one more:\n%s", step.r.method, step.r.target, len(lines), w.Logs)
			}
			got, want := lines[before+i], step.want
			want.Msg, want.Status = "request", step.status
			if want.Took == 0 {
				want.Took = got.Took
			}
			if got != want {
				t.Errorf("%s %.40s is logged as\n%+v, want\n%+v", step.r.method, step.r.target, got, want)
			}
			if got.Took < 0 || got.Took > 3*time.Second {
				t.Errorf("it took %v", got.Took)
			}
		}
	})
}

// A failure of ours is logged with its cause, of which the client hears nothing.
func TestLogOfFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret := "cause-in-detail"
		w := start(t, options{Piped: true, Admit: func(context.Context, rendezvous.ClientInfo) error { panic(fmt.Errorf("%s", secret)) }})
		got := w.anonymous(t).post("/v1/sessions", hello()).refused(http.StatusInternalServerError, "INTERNAL")
		if strings.Contains(string(got.body), secret) {
			t.Errorf("the client hears %s", got.body)
		}
		synctest.Wait()
		lines := w.requests(t)
		if len(lines) != 1 || lines[0].Level != "ERROR" || lines[0].Status != 500 || lines[0].Code != "INTERNAL" || lines[0].Route != "/v1/sessions" {
			t.Errorf("it is logged as %+v", lines)
		}
		if !strings.Contains(w.Logs.String(), secret) || !strings.Contains(w.Logs.String(), "log_test.go") {
			t.Errorf("the log does not say what happened:\n%s", w.Logs)
		}
		w.CloseStore()
		w.anonymous(t).get("/readyz").refused(http.StatusServiceUnavailable, "STORAGE_UNAVAILABLE")
		synctest.Wait()
		if lines := w.requests(t); lines[1].Level != "ERROR" || lines[1].Error == "" {
			t.Errorf("it is logged as %+v", lines[1])
		}
	})
}
