package handlers_test

import (
	"context"
	"encoding/base64"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"restante/handlers/handlerstest"
)

const adminToken = "an operator's secret"

// operator returns a client of the admin side of a server that was started with admin.
func (w *testServer) operator(t testing.TB, token string) *client {
	t.Helper()
	server := httptest.NewServer(w.Handlers.AdminHandler(token))
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "http://")
	dial := func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", address) }
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	side := &testServer{&handlerstest.Server{TB: t, Service: w.Service, Handlers: w.Handlers, Logs: w.Logs, HTTP: &http.Client{Transport: transport}, Dial: dial}}
	return side.anonymous(t)
}

func bearer(token string) string { return "Authorization: Bearer " + token }

// With an admin side, metrics and status are there, in full, and not with the clients.
func TestAdminSideHasWhatClientsDoNotSee(t *testing.T) {
	w := start(t, options{Admin: true})
	o := w.operator(t, adminToken)
	for _, path := range []string{"/metrics", "/v1/status"} {
		if got, err := w.anonymous(t).get(path).exchange(t.Context()); err != nil || got.status != http.StatusNotFound {
			t.Errorf("clients get %s: %d (%v)", path, got.status, err)
		}
		o.get(path).with(bearer(adminToken)).want(http.StatusOK)
	}
	for _, path := range []string{"/status", "/v1/admin/sessions", "/v1/admin/usage"} {
		if got, err := w.anonymous(t).get(path).exchange(t.Context()); err != nil || got.status != http.StatusNotFound {
			t.Errorf("clients get %s: %d (%v)", path, got.status, err)
		}
		o.get(path).with(bearer(adminToken)).want(http.StatusOK).says("Cache-Control", "no-store")
		o.ask(http.MethodHead, path, "").with(bearer(adminToken)).want(http.StatusOK)
	}
	o.get("/livez").want(http.StatusOK)
	o.get("/readyz").want(http.StatusOK)
}

func TestAdminToken(t *testing.T) {
	w := start(t, options{Admin: true})
	basic := func(password string) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("anyone:"+password))
	}
	o := w.operator(t, adminToken)
	for _, headers := range [][]string{
		nil, {bearer("")}, {bearer("wrong")}, {bearer(adminToken + "x")}, {basic("wrong")}, {"Authorization: " + adminToken}, {"Authorization: Digest " + adminToken},
	} {
		for _, path := range []string{"/metrics", "/v1/status", "/status", "/v1/admin/sessions", "/v1/admin/usage"} {
			o.get(path).with(headers...).refused(http.StatusUnauthorized, "ADMIN_REQUIRED")
		}
		o.delete("/v1/admin/sessions/"+strings.Repeat("0", 64)).with(headers...).refused(http.StatusUnauthorized, "ADMIN_REQUIRED")
	}
	o.get("/status").with(basic(adminToken)).want(http.StatusOK)
	o.get("/v1/status").with(bearer(adminToken), "Sec-Fetch-Site: cross-site").want(http.StatusNotFound)
	w.Secret(adminToken)

	// Without a token, a page of another site must not reach it under a name of its own.
	free := w.operator(t, "")
	free.get("/v1/status").with("Host: evil.example").want(http.StatusMisdirectedRequest)
	free.get("/v1/status").with("Host: localhost:4001").want(http.StatusOK)
}

// The operator sees sessions and can end one. Its client learns why at once, and none of it is a secret.
// What takes no parameter ignores a query, also one that is none.
func TestAdminSideIgnoresQueries(t *testing.T) {
	w := start(t, options{Admin: true})
	o := w.operator(t, adminToken)
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/v1/status", "/status"} {
		o.get(path + "?a=%zz").with(bearer(adminToken)).want(http.StatusOK)
	}
	o.get("/v1/admin/usage?a=%zz").with(bearer(adminToken)).refused(http.StatusBadRequest, "INVALID_REQUEST")
}

func TestAdminEndsASession(t *testing.T) {
	w := start(t, options{Admin: true})
	a, b := twoSides(t, w)
	other := w.begin(t, "other", "c")
	o := w.operator(t, adminToken)
	list := func(query string) *answer {
		return o.get("/v1/admin/sessions" + query).with(bearer(adminToken)).want(http.StatusOK)
	}
	all := list("")
	if all.count("sessions") != 3 || strings.Contains(string(all.body), a.id) {
		t.Fatalf("the sessions are %s", all.body)
	}
	if got := list("?app=other"); got.count("sessions") != 1 || got.text("sessions/0/appId") != "other" || got.text("sessions/0/state") != "attached" {
		t.Errorf("the sessions of the other app are %s", got.body)
	}
	if got := list("?limit=2"); got.count("sessions") != 2 {
		t.Errorf("two sessions are %s", got.body)
	}
	address := all.text("sessions/0/address")
	if got := list("?address=" + address); got.count("sessions") != 3 || !strings.HasPrefix(address, "addr-") {
		t.Errorf("the sessions from %q are %s", address, got.body)
	}
	if got := list("?address=addr-unknown"); got.count("sessions") != 0 {
		t.Errorf("the sessions of an unknown address are %s", got.body)
	}
	key := list("?app=other").text("sessions/0/key")
	parked := other.get("/v1/session/events").later()
	w.waitsFor(t, 1)
	end := func(key, query string) *request {
		return o.delete("/v1/admin/sessions/" + key + query).with(bearer(adminToken))
	}
	end(key, "?text="+url.QueryEscape("Moved to <relay.example>.")).want(http.StatusNoContent)
	got := <-parked
	if got.status != http.StatusGone || got.text("reason") != "ended" || !strings.Contains(got.text("detail"), "Moved to <relay.example>.") {
		t.Errorf("its receive is answered %d %s", got.status, got.body)
	}
	if again := other.get("/v1/session").refused(http.StatusGone, "SESSION_ENDED"); again.text("reason") != "ended" {
		t.Errorf("later it is told %s", again.body)
	}
	end(key, "").refused(http.StatusNotFound, "NOT_FOUND")
	end(strings.Repeat("0", 64), "").refused(http.StatusNotFound, "NOT_FOUND")
	end("x", "").refused(http.StatusBadRequest, "INVALID_REQUEST")
	end(key, "?text="+strings.Repeat("x", 201)).refused(http.StatusBadRequest, "INVALID_REQUEST")
	b.get("/v1/session").want(http.StatusOK) // no other session ended
	if list("").count("sessions") != 2 {
		t.Errorf("the sessions are %s", list("").body)
	}
}

// waitsFor waits until so many receives are held.
func (w *testServer) waitsFor(t *testing.T, n int64) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); w.Service.Stats().Parked.Load() != n; {
		if time.Now().After(deadline) {
			t.Fatalf("%d receives are held, want %d", w.Service.Stats().Parked.Load(), n)
		}
	}
}

func TestAdminUsage(t *testing.T) {
	w := start(t, options{Admin: true})
	a, b := twoSides(t, w)
	a.delete("/v1/mailboxes/m?mood=happy").want(http.StatusNoContent)
	b.delete("/v1/mailboxes/m?mood=happy").want(http.StatusNoContent)
	c := w.begin(t, "other", "c")
	for range 3 {
		c.open("alone").want(http.StatusOK)
		c.delete("/v1/mailboxes/alone?mood=lonely").want(http.StatusNoContent)
	}
	o := w.operator(t, adminToken)
	got := o.get("/v1/admin/usage?days=1").with(bearer(adminToken)).want(http.StatusOK)
	if got.count("groups") != 2 {
		t.Fatalf("the usage is %s", got.body)
	}
	for i, want := range []struct {
		app, result string
		count       int64
	}{{"app", "happy", 1}, {"other", "lonely", 3}} {
		at := "groups/" + string(rune('0'+i)) + "/"
		if got.text(at+"appId") != want.app || got.text(at+"result") != want.result || got.number(at+"count") != want.count || got.number(at+"total/count") != want.count {
			t.Errorf("group %d is not %v: %s", i, want, got.body)
		}
	}
	if got.at("groups/0/waiting") == nil || got.at("groups/1/waiting") != nil {
		t.Errorf("only the first had a second side: %s", got.body)
	}
	for _, days := range []string{"0", "367", "x"} {
		o.get("/v1/admin/usage?days="+days).with(bearer(adminToken)).refused(http.StatusBadRequest, "INVALID_REQUEST")
	}
}

// The status page shows plots of the last hour, and forgets what is older.
func TestStatusPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Admin: true, Piped: true, Version: "1.2.3-here"})
		w.begin(t, "app", "a").open("m").want(http.StatusOK)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); w.Handlers.RunHistory(ctx) }()
		pass(2 * time.Hour)
		cancel()
		<-done
		answer := httptest.NewRecorder()
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/status", nil)
		request.Host = "localhost"
		w.Handlers.AdminHandler("").ServeHTTP(answer, request)
		page := answer.Body.String()
		if answer.Code != http.StatusOK || !strings.Contains(page, "all is well") || strings.Count(page, "<polyline") < 5 {
			t.Errorf("the page is %d %s", answer.Code, page)
		}
		if !strings.Contains(page, "<td>1.2.3-here<td>2 h ago<td>") {
			t.Errorf("the page does not name the server: %.3000s", page)
		}
		points, _, _ := strings.Cut(page[strings.Index(page, `points="`)+len(`points="`):], `"`)
		if n := len(strings.Fields(points)); n != 360 {
			t.Errorf("a plot has %d points", n)
		}
		if policy := answer.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("the page may do %s", policy)
		}
	})
}
