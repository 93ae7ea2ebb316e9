package abuse_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// meetings is how many pairs of honest clients meet beside the one that asks for too much. A nameplate rests before it is
// allocated again, so that they and it must not need more than nine.
const meetings = 4

// meet has two honest clients, each of an address of its own, exchange a message by a code that a person can type: it is one
// digit long.
func meet(t *testing.T, s *e2e.Server, app string, pair int) {
	t.Helper()
	a := &client{server: s, address: fmt.Sprintf("192.0.2.%d", 2*pair), app: app}
	b := &client{server: s, address: fmt.Sprintf("192.0.2.%d", 2*pair+1), app: app}
	want := func(c *client, status int, method, path, credentials, body string) testclient.Answer {
		t.Helper()
		got := c.ask(t.Context(), method, path, credentials, body)
		if got.Status != status {
			t.Fatalf("an honest client is answered %d to %s %s: %s %s", got.Status, method, path, got.Body, c.told())
		}
		return got
	}
	first, second := a.begin(t.Context()), b.begin(t.Context())
	if first == "" || second == "" {
		t.Fatalf("an honest client cannot begin: %s %s", a.told(), b.told())
	}
	allocated := want(a, http.StatusCreated, http.MethodPost, "/v1/nameplates", first, "").Body
	nameplate, mailbox := member(allocated, "nameplate"), "/v1/mailboxes/"+member(allocated, "mailbox")
	if len(nameplate) != 1 {
		t.Errorf("an honest client is allocated a nameplate of %d digits", len(nameplate))
	}
	want(b, http.StatusOK, http.MethodPut, "/v1/nameplates/"+nameplate, second, "")
	want(a, http.StatusOK, http.MethodPut, mailbox, first, "")
	want(b, http.StatusOK, http.MethodPut, mailbox, second, "")
	want(a, http.StatusCreated, http.MethodPost, mailbox+"/messages", first, `{"phase":"p","body":"from one to the other"}`)
	if got := want(b, http.StatusOK, http.MethodGet, "/v1/session/events?ack=0", second, "").Body; !strings.Contains(string(got), "from one to the other") {
		t.Errorf("an honest client does not find its message: %s", got)
	}
	want(a, http.StatusNoContent, http.MethodDelete, "/v1/session?mood=happy", first, "")
	want(b, http.StatusNoContent, http.MethodDelete, "/v1/session?mood=happy", second, "")
}
