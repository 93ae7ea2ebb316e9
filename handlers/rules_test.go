package handlers_test

import (
	"context"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"restante/internal/rules"
	"restante/internal/testclient"
	"restante/rendezvous"
)

// rule applies rules from now on, as after a SIGHUP.
func (w *testServer) rule(t testing.TB, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	read, err := rules.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	w.Handlers.SetRules(read)
}

const (
	banned = "X-Forwarded-For: 192.0.2.66"
	spared = "X-Forwarded-For: 198.51.100.1"
)

// behindAProxy has clients name their own addresses.
var behindAProxy = options{Proxies: []string{"127.0.0.0/8"}}

// Who is refused by address is refused everywhere, at once, with the operator's text and what to quote.
func TestAnAddressIsRefused(t *testing.T) {
	w := start(t, behindAProxy)
	live := w.begin(t, "app", "live")
	live.open("m").want(http.StatusOK)
	keyed := w.keyed(t, "app", secretA)
	id := w.Service.AddressID(netip.MustParseAddr("192.0.2.66"))
	quoted := w.anonymous(t).post("/v1/sessions", hello("metadata", "{}")).with(banned).want(http.StatusCreated).text("welcome/addressId")
	if quoted != id {
		t.Errorf("the welcome says %s, want %s", quoted, id)
	}
	for name, condition := range map[string]string{"by its range": "192.0.2.0/24", "by its id": id} {
		w.rule(t, "- address: "+condition+"\n  refuse: Write to post@mail.example.\n")
		for _, asked := range []*request{
			w.anonymous(t).post("/v1/sessions", hello()), live.get("/v1/session"), live.get("/v1/session/events"), live.add("m", "p", "x"),
			keyed.post("/v1/mailboxes/m/messages?open=true", `{"phase":"p","body":"x"}`), keyed.get("/v1/mailboxes/m/messages?open=true"),
			w.anonymous(t).get("/"), w.anonymous(t).get("/v1"), w.anonymous(t).get("/openapi.yaml"), w.anonymous(t).get("/nothing"), w.anonymous(t).get("/v1/status"),
		} {
			got := asked.with(banned).refused(http.StatusForbidden, "REJECTED_BY_CUSTOM_HANDLER")
			if got.text("detail") != "Write to post@mail.example." || got.text("addressId") != id {
				t.Errorf("%s: %s %s is refused with %s", name, asked.method, asked.target, got.body)
			}
		}
		if _, status := w.upgrade(t, http.Header{"X-Forwarded-For": {"192.0.2.66"}}); status != http.StatusForbidden {
			t.Errorf("%s: a session socket is answered %d", name, status)
		}
		c := w.Connect(t, banned)
		if got := c.Welcome.At("welcome/error"); got != "Write to post@mail.example." {
			t.Errorf("%s: a wormhole client is told %v", name, got)
		}
		c.Refused("Write to post@mail.example.", "bind", "appid", "app", "side", "s")
		for _, probe := range []string{"/livez", "/readyz", "/metrics"} {
			w.anonymous(t).get(probe).with(banned).want(http.StatusOK)
		}
		live.get("/v1/session").with(spared).want(http.StatusOK)
	}
	if log := w.Logs.String(); !holdsAll(log, `"status":403 … "address":"`+id+`" … "code":"REJECTED_BY_CUSTOM_HANDLER"`) || strings.Contains(log, "192.0.2.66") {
		t.Errorf("the log:\n%s", log)
	}
	w.Handlers.SetRules(nil)
	live.get("/v1/session").with(banned).want(http.StatusOK)
}

// Rules that come while clients are connected hold for them, too.
func TestRulesForClientsThatAreConnected(t *testing.T) {
	w := start(t, options{})
	a := w.begin(t, "app", "a")
	l := a.connects("")
	l.want("heartbeat")
	c := w.Bind(t, "app", "s").Open("m")
	c.Send("add", "phase", "p", "body", "x").Want("message")
	w.rule(t, "- address: 127.0.0.1\n  refuse: Not now.\n")
	l.send(`{"id": "x", "method": "GET", "path": "/v1/session"}`)
	if got := l.want("reply"); !holdsAll(got, `Not now. … "code":"REJECTED_BY_CUSTOM_HANDLER" … "status":403`) {
		t.Errorf("the socket is answered %s", got)
	}
	c.Write(websocket.TextMessage, `{"type": "ping", "ping": 1}`)
	if got := c.Next(); got.Text("error") != "Not now." {
		t.Errorf("the wormhole client is told %s", got.Raw)
	}
	c.WantClose(websocket.ClosePolicyViolation)
}

func TestRulesAboutAppsAndVersions(t *testing.T) {
	w := start(t, options{})
	w.rule(t, `
- client: acme/1.*
  refuse: Update acme.
- app: old.example/*
  refuse: This app has moved.
- app: app
  message: Maintenance tonight.
- message: Be kind.
`)
	version := func(v string) *request {
		return w.anonymous(t).post("/v1/sessions", hello("appId", `"app"`, "clientVersion", `["acme", "`+v+`"]`))
	}
	if got := version("1.9").refused(http.StatusForbidden, "REJECTED_UNSUPPORTED_CLIENT"); got.text("detail") != "Update acme." {
		t.Errorf("it is refused with %s", got.body)
	}
	if got := version("2.0").want(http.StatusCreated).text("welcome/motd"); got != "Maintenance tonight.\nBe kind." {
		t.Errorf("the message is %q", got)
	}
	w.anonymous(t).post("/v1/sessions", hello("appId", `"old.example/chat"`)).refused(http.StatusForbidden, "REJECTED_BY_CUSTOM_HANDLER")
	w.keyed(t, "old.example/chat", secretA).get("/v1/mailboxes/m/messages?open=true").refused(http.StatusForbidden, "REJECTED_BY_CUSTOM_HANDLER")
	w.keyed(t, "app", secretA).get("/v1/mailboxes/m/messages?open=true").want(http.StatusOK)

	c := w.Connect(t)
	if got := c.Welcome.At("welcome/motd"); got != "Be kind." { // its app is not known yet
		t.Errorf("the message is %v", got)
	}
	c.Refused("This app has moved.", "bind", "appid", "old.example/chat", "side", "s")
	c.Refused("Update acme.", "bind", "appid", "app", "side", "s", "client_version", []string{"acme", "1.0"})
	c.Send("bind", "appid", "app", "side", "s", "client_version", []string{"acme", "2.0"}).Request("nameplates", "list")
}

// A delay comes before anything else, also one that is longer than the time in which a wormhole client must bind.
func TestRulesThatDelay(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, w *testServer) {
		w.rule(t, "- address: addr-local\n  delay: 1s\n- app: slow\n  delay: 10s\n")
		took := func(what string, want time.Duration, f func()) {
			t.Helper()
			began := time.Now()
			if f(); time.Since(began) != want {
				t.Errorf("%s took %v, want %v", what, time.Since(began), want)
			}
		}
		took("any request", time.Second, func() { w.anonymous(t).get("/v1/status").want(http.StatusOK) })
		took("a probe", 0, func() { w.anonymous(t).get("/livez").want(http.StatusOK) })
		took("a handshake", time.Second, func() { w.begin(t, "app", "a") })
		took("a handshake of an app", 10*time.Second, func() { w.begin(t, "slow", "a") })
		took("a request with a secret", 10*time.Second, func() { w.keyed(t, "slow", secretA).get("/v1/nameplates").want(http.StatusOK) })
		took("a wormhole client", 10*time.Second, func() { w.Bind(t, "slow", "s").Request("nameplates", "list") })
		took("another one", time.Second, func() { w.Bind(t, "app", "s").Request("nameplates", "list") })
		began := w.begin(t, "app", "b")
		took("a poll", 3*time.Second, func() { began.get("/v1/session/events?wait=2").want(http.StatusOK) })
	})
}

// TestADelayedClientThatLeavesIsNotBound has a wormhole client leave while its bind waits.
func TestADelayedClientThatLeavesIsNotBound(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, w *testServer) {
		w.rule(t, "- app: slow\n  delay: 10s\n")
		for _, leave := range []func(*testclient.Wormhole){(*testclient.Wormhole).Drop, closeFrame} {
			c := w.Connect(t)
			c.Write(websocket.TextMessage, `{"type": "bind", "appid": "slow", "side": "s"}`)
			synctest.Wait()
			leave(c)
			c.Ended = true
		}
		pass(20 * time.Second)
		w.WantRows(t, `SELECT app FROM client_versions`)
	})
}

// What the operator's own code refuses is refused without a session, too.
func TestKeyedClientsMustBeAdmitted(t *testing.T) {
	w := start(t, options{Admit: func(_ context.Context, c rendezvous.ClientInfo) error {
		if c.App == "bad" {
			return &rendezvous.Failure{Code: rendezvous.RejectedByCustomHandler, Detail: "not this app"}
		}
		return nil
	}})
	if got := w.keyed(t, "bad", secretA).get("/v1/nameplates").refused(http.StatusForbidden, "REJECTED_BY_CUSTOM_HANDLER"); got.text("detail") != "not this app" {
		t.Errorf("it is refused with %s", got.body)
	}
	w.keyed(t, "good", secretA).get("/v1/nameplates").want(http.StatusOK)
}
