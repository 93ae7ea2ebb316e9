package handlers_test

import (
	"net/http"
	"strings"
	"testing"

	"restante/handlers"
)

// A command that is wrong, and whose id can be read, is refused as it would be over HTTP. The socket goes on.
func TestABadCommandIsRefusedAlone(t *testing.T) {
	w := start(t, options{Limits: func(l *handlers.Limits) { l.Body = 2000 }})
	a, _ := twoSides(t, w)
	l := a.connects("")
	l.want("heartbeat")
	l.frame(0)
	const add = `"method": "POST", "path": "/v1/mailboxes/m/messages"`
	for why, tt := range map[string]struct {
		message, code, pointer string
		status                 string
	}{
		"a body cut inside an emoji":       {`{"id": "x", "seq": 0, ` + add + `, "body": {"phase": "p", "body": "\ud83d"}}`, "INVALID_REQUEST", "#/body", "400"},
		"the same, with the id at the end": {`{"seq": 0, ` + add + `, "body": {"phase": "p"}, "seq": 1, "id": "x"}`, "INVALID_REQUEST", "#/body/seq", "400"},
		"invalid UTF-8":                    {`{"id": "x", "seq": 0, ` + add + `, "body": {"phase": "p", "body": "` + "\xff" + `"}}`, "INVALID_REQUEST", "#/body", "400"},
		"no path":                          {`{"id": "x", "method": "GET"}`, "INVALID_REQUEST", "#/body/path", "400"},
		"a path that is long":              {`{"id": "x", "method": "GET", "path": "/` + strings.Repeat("x", 1100) + `"}`, "INVALID_REQUEST", "#/body/path", "400"},
		"what breaks off":                  {`{"id": "x", ` + add + `, "body": {`, "INVALID_REQUEST", "#/body", "400"},
		"more than a body":                 {`{"id": "x", "seq": 0, ` + add + `, "body": {"phase": "p", "body": "` + strings.Repeat("x", 10_000) + `"}}`, "PAYLOAD_TOO_LARGE", "", "413"},
	} {
		l.send(tt.message)
		if got := l.want("reply"); !holdsAll(got, `"id":"x" … "code":"`+tt.code+`" … "status":`+tt.status) || !strings.Contains(got, tt.pointer) {
			t.Errorf("%s is answered %s, want %s at %q", why, got, tt.code, tt.pointer)
		}
	}
	// None of them has taken a number, and the same socket does the next command.
	l.send(`{"id": "y", "seq": 0, ` + add + `, "body": {"phase": "p", "body": "good"}}`)
	if got := l.want("reply"); !holdsAll(got, `"ack":1 … "id":"y" … "status":201`) {
		t.Errorf("a good command is answered %s", got)
	}
	a.get("/v1/session").want(http.StatusOK)
}

// Bad commands count as requests do: a client cannot send any number of them.
func TestBadCommandsAreLimited(t *testing.T) {
	w := start(t, options{Limits: func(l *handlers.Limits) { l.Rate, l.Burst = 0.001, 4 }})
	a := w.begin(t, "app", "a")
	l := a.connects("")
	l.want("heartbeat")
	for range 2 {
		l.send(`{"id": "x", "method": "GET"}`)
		l.want("reply")
	}
	l.send(`{"id": "x", "method": "GET"}`)
	if got := l.want("reply"); !holdsAll(got, `"id":"x" … "code":"RATE_LIMITED" … "status":429`) {
		t.Errorf("one too many is answered %s", got)
	}
}

// A command with a path that takes none counts, is seen and is ruled on, as a request for nothing is.
func TestCommandsForNothingAreNoSecret(t *testing.T) {
	w := start(t, options{Limits: func(l *handlers.Limits) { l.Rate, l.Burst = 0.001, 12 }})
	a := w.begin(t, "app", "a")
	l := a.connects("")
	l.want("heartbeat")
	paths := []string{"/nothing", "/livez", "/v1/status", "/%zz", "nothing"}
	ask := func(path, want string) {
		t.Helper()
		l.send(`{"id": "x", "method": "GET", "path": "` + path + `"}`)
		if got := l.want("reply"); !holdsAll(got, want) {
			t.Errorf("%s is answered %s", path, got)
		}
	}
	for _, path := range paths {
		ask(path, `"id":"x" … "code":"NOT_FOUND" … "status":404`)
	}
	if n := len(w.requests(t)); n < len(paths) {
		t.Errorf("the log has %d requests", n)
	}
	w.metric(t, `restante_http_requests_total{method="GET",route="unmatched",status="404"} 5`)
	w.rule(t, "- address: 127.0.0.1\n  refuse: Not now.\n")
	for _, path := range paths {
		ask(path, `Not now. … "code":"REJECTED_BY_CUSTOM_HANDLER" … "status":403`)
	}
	for _, path := range paths {
		ask(path, `"code":"RATE_LIMITED" … "status":429`)
	}
}
