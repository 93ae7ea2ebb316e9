package conformance

import (
	"net/http"
	"slices"
	"strings"
)

var failureRules = []Rule{
	{ID: "failures/not-found", Text: "An unknown path is a problem document.", check: func(t *trial) {
		t.do(request{method: http.MethodGet, path: "/v1/no/such/thing"}).refused("NOT_FOUND", "stop")
	}},
	{ID: "failures/method", Text: "A method that a path does not have is refused, and those that it has are named.", check: func(t *trial) {
		a := t.do(request{method: http.MethodDelete, path: "/v1/sessions"})
		a.refused("METHOD_NOT_ALLOWED", "stop")
		if allow := strings.Split(a.header.Get("Allow"), ", "); !slices.Contains(allow, http.MethodPost) {
			t.failf("Allow is %q", allow)
		}
	}},
	{ID: "failures/no-credential", Text: "A request without a credential is told to begin a session.", check: func(t *trial) {
		t.do(request{method: http.MethodGet, path: "/v1/session"}).refused("SESSION_REQUIRED", "restart")
		t.do(request{method: http.MethodGet, path: "/v1/session", header: map[string]string{"Authorization": "Bearer x"}}).refused("SESSION_REQUIRED", "restart")
	}},
	{ID: "failures/unknown-session", Text: "A session that the server does not know is refused as that.", check: func(t *trial) {
		(&client{t: t, id: random()}).ask(http.MethodGet, "/v1/session", nil).refused("SESSION_UNKNOWN", "restart")
	}},
	{ID: "failures/media-type", Text: "A body of another type is refused.", check: func(t *trial) {
		t.do(request{method: http.MethodPost, path: "/v1/sessions", body: "<hello/>", header: map[string]string{"Content-Type": "application/xml"}}).
			refused("UNSUPPORTED_MEDIA_TYPE", "stop")
	}},
	{ID: "failures/no-json", Text: "A body that is no JSON is refused.", check: func(t *trial) {
		c, mailbox := t.begin(), random()
		c.open(mailbox)
		for _, body := range []string{"{", "[]", `{"phase":"p","body":"b"} x`, `{"phase":"p","body":1}`, "null"} {
			c.ask(http.MethodPost, "/v1/mailboxes/"+mailbox+"/messages", body, "Content-Type", "application/json").refused("INVALID_REQUEST", "stop")
		}
		equal(t, "the length of the log", len(c.log(mailbox)), 0)
	}},
	{ID: "failures/too-large", Text: "A body above the limit is refused, and the session goes on.", check: func(t *trial) {
		c, mailbox := t.begin(), random()
		c.open(mailbox)
		c.ask(http.MethodPost, "/v1/mailboxes/"+mailbox+"/messages", message(strings.Repeat("x", 300<<10))).refused("PAYLOAD_TOO_LARGE", "stop")
		equal(t, "the position", c.add(mailbox, "small"), 1)
	}},
	{ID: "failures/parameters", Text: "A malformed parameter is refused, and named.", check: func(t *trial) {
		c := t.begin()
		for _, query := range []string{"?ack=-1", "?ack=x", "?wait=-1", "?epoch=0"} {
			a := c.ask(http.MethodGet, "/v1/session/events"+query, nil)
			a.refused("INVALID_REQUEST", "stop")
			if name := query[1:strings.Index(query, "=")]; !strings.Contains(string(a.body), name) {
				t.failf("%s is answered %s, which does not name it", a.what, a.body)
			}
		}
	}},
	{ID: "failures/not-acceptable", Text: "A client that accepts nothing that there is is told so.", check: func(t *trial) {
		c := t.begin()
		c.ask(http.MethodGet, c.events("&wait=0"), nil, "Accept", "image/png").refused("NOT_ACCEPTABLE", "stop")
	}},
}

var operationRules = []Rule{
	{ID: "operations/live", Text: "A server that runs says so, to HEAD as to GET.", check: func(t *trial) {
		t.do(request{method: http.MethodGet, path: "/livez"}).ok(http.StatusOK)
		a := t.do(request{method: http.MethodHead, path: "/livez"}).ok(http.StatusOK)
		equal(t, "the length of the answer to HEAD", len(a.body), 0)
	}},
	{ID: "operations/contract", Text: "The server shows its contract.", check: func(t *trial) {
		a := t.do(request{method: http.MethodGet, path: "/openapi.yaml"}).ok(http.StatusOK)
		if !strings.Contains(string(a.body), "openapi: 3.1") {
			t.failf("it is no OpenAPI 3.1: %.100s", a.body)
		}
	}},
	{ID: "operations/no-store", Text: "What belongs to a session is not to be cached.", check: func(t *trial) {
		c := t.begin()
		equal(t, "Cache-Control", c.ask(http.MethodGet, "/v1/session", nil).ok(http.StatusOK).header.Get("Cache-Control"), "no-store")
	}},
}
