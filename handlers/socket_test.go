package handlers_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"restante/handlers"
	"restante/handlers/handlerstest"
	"restante/internal/testclient"
	"restante/rendezvous"
)

// socketClient is a session socket under test.
type socketClient struct {
	testing.TB
	conn *websocket.Conn
}

// upgrade opens a WebSocket, or answers why there is none.
func (w *testServer) upgrade(t testing.TB, header http.Header) (_ *socketClient, status int) {
	t.Helper()
	d := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return w.Dial(t.Context()) }, HandshakeTimeout: testclient.Limit}
	conn, got, err := d.DialContext(t.Context(), "ws://restante.test/v1/session/socket", header)
	if err != nil && !errors.Is(err, websocket.ErrBadHandshake) {
		t.Fatal(err)
	}
	_ = got.Body.Close()
	if err != nil {
		return nil, got.StatusCode
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &socketClient{t, conn}, got.StatusCode
}

// connects opens a session's socket.
func (c *client) connects(more string) *socketClient {
	c.Helper()
	l, got := c.w.upgrade(c.TB, nil)
	if l == nil {
		c.Fatalf("no socket: %d", got)
	}
	c.w.Secret(c.id)
	l.send(fmt.Sprintf(`{"sessionId": %s%s}`, quote(c.id), more))
	return l
}

func (l *socketClient) send(message string) {
	l.Helper()
	if err := l.conn.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
		l.Fatal(err)
	}
}

// want is the next message, which must be of this kind and as the contract describes it.
func (l *socketClient) want(kind string) string {
	l.Helper()
	_, raw, err := l.conn.ReadMessage()
	if err != nil {
		l.Fatalf("waiting for %s: %v", kind, err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members[kind] == nil {
		l.Fatalf("the message is %s, want %s", raw, kind)
	}
	holds(l.TB, map[string]string{"frame": "SocketFrame", "heartbeat": "SocketHeartbeat", "reply": "SocketReply", "error": "SocketError"}[kind], string(raw))
	return string(raw)
}

// frame hears the frame of this number.
func (l *socketClient) frame(seq int) {
	l.Helper()
	if got := l.want("frame"); !strings.HasPrefix(got, fmt.Sprintf(`{"frame":{"seq":%d,`, seq)) {
		l.Fatalf("the frame is %s, want %d", got, seq)
	}
}

// ends hears the error that ends it, and the close.
func (l *socketClient) ends(code, action string, closed int) string {
	l.Helper()
	got := l.want("error")
	if !strings.Contains(got, quote(code)) || !strings.Contains(got, `"action":"`+action+`"`) {
		l.Errorf("the socket ends with %s, want %s %s", got, code, action)
	}
	l.closes(closed, code+" "+action)
	return got
}

func (l *socketClient) closes(code int, reason string) {
	l.Helper()
	_, raw, err := l.conn.ReadMessage()
	var closed *websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != code || closed.Text != reason {
		l.Errorf("it is closed with %v (%s), want %d %s", err, raw, code, reason)
	}
}

func TestSocket(t *testing.T) {
	w := start(t, options{})
	a, b := twoSides(t, w)
	l := a.connects("")
	l.want("heartbeat")
	l.send(`{"ack": 0}`)
	l.frame(0)
	b.add("m", "p", "b").want(http.StatusCreated)
	l.frame(1)
	for _, tt := range []struct{ command, reply string }{
		{`{"id": "x", "seq": 0, "ack": 2, "method": "POST", "path": "/v1/mailboxes/m/messages", "body": {"phase": "p", "body": "a"}}`, `{"ack":1,"id":"x", … {"position":2, … "status":201 … "seq":0`},
		{`{"seq": 0, "method": "POST", "path": "/v1/mailboxes/m/messages", "body": {"phase": "p", "body": "a"}}`, `"ack":1 … {"position":2, … "headers":{"Replayed":"true"}`},
		{`{"seq": 9, "method": "DELETE", "path": "/v1/nameplates/4"}`, `"ack":1 … "urn:restante:problem:seq-gap"`},
		{`{"seq": 1, "method": "DELETE", "path": "/v1/mailboxes/m?mood=lonely"}`, `{"ack":2,"reply":{"status":204},"seq":1}`},
		{`{"method": "GET", "path": "/v1/session"}`, `"ack":2 … {"appId":"app", … "status":200`},
		{`{"method": "PUT", "path": "/v1/nameplates/x"}`, `"ack":2 … "urn:restante:problem:invalid-request"`},
		{`{"method": "PUT", "path": "/v1/nameplates"}`, `{"reply" … "urn:restante:problem:method-not-allowed"`},
		{`{"method": "GET", "path": "/v1/session/events?wait=0"}`, `{"reply" … "urn:restante:problem:not-found"`},
		{`{"method": "GET", "path": "/v1/session/socket"}`, `{"reply" … "urn:restante:problem:not-found"`},
		{`{"method": "POST", "path": "/v1/sessions", "body": {}}`, `{"reply" … "urn:restante:problem:not-found"`},
		{`{"method": "GET", "path": "http://elsewhere/v1/session"}`, `{"reply" … "urn:restante:problem:not-found"`},
		{`{"method": "GET", "path": "%"}`, `{"reply" … "urn:restante:problem:not-found"`},
	} {
		l.send(tt.command)
		if got := l.want("reply"); !holdsAll(got, tt.reply) {
			t.Errorf("%s is answered %s, want %s…", tt.command, got, tt.reply)
		}
	}
	// Over HTTP it is the same command, if its bytes are.
	a.post("/v1/mailboxes/m/messages", `{"phase": "p", "body": "a"}`).seq(0).want(http.StatusCreated).says("Replayed", "true")
	if got := a.get("/v1/session").want(http.StatusOK).number("nextSentSeq"); got != 2 {
		t.Errorf("acknowledged up to %d", got)
	}
	l.send(`{"method": "DELETE", "path": "/v1/session"}`)
	if got := l.want("reply"); !strings.Contains(got, `"status":204`) {
		t.Errorf("the end is answered %s", got)
	}
	l.ends("SESSION_ENDED", "restart", 4410)
}

// holdsAll tells whether a text has all the parts of a list.
func holdsAll(text, parts string) bool {
	for part := range strings.SplitSeq(parts, " … ") {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

func TestSocketRefusesToUpgrade(t *testing.T) {
	w := start(t, options{Limits: func(l *handlers.Limits) { l.Sockets = 1 }})
	w.anonymous(t).get("/v1/session/socket").refused(http.StatusUpgradeRequired, "UPGRADE_REQUIRED").says("Upgrade", "websocket")
	w.anonymous(t).get("/v1/session/socket").with("Connection: Upgrade", "Upgrade: websocket").refused(http.StatusBadRequest, "INVALID_REQUEST")
	for origin, status := range map[string]int{"https://elsewhere.example": 403, "null": 403, "http://restante.test": 101, "https://RESTANTE.test": 101, "https://restante.test.evil.example": 403} {
		var l *socketClient
		var got int
		// The one before may not have given its place back yet.
		handlerstest.Eventually(t, func() bool {
			l, got = w.upgrade(t, http.Header{"Origin": {origin}})
			return got != http.StatusTooManyRequests
		})
		if got != status {
			t.Errorf("Origin %s: %d, want %d", origin, got, status)
		}
		if l != nil {
			_ = l.conn.Close()
			if !handlerstest.Eventually(t, func() bool { l, _ := w.upgrade(t, nil); return l != nil && l.conn.Close() == nil }) {
				t.Error("the place is not given back")
			}
		}
	}
}

// Whatever is wrong with a message is told, and ends the socket and nothing else.
func TestBadMessagesEndASocket(t *testing.T) {
	w := start(t, options{})
	a, _ := twoSides(t, w)
	for why, tt := range map[string]struct {
		message, code, pointer string
		closed                 int
	}{
		"no JSON":              {`{`, "INVALID_REQUEST", "#/body", 4400},
		"no object":            {`[]`, "INVALID_REQUEST", "#/body", 4400},
		"nothing":              {`{}`, "INVALID_REQUEST", "#/body/ack", 4400},
		"no path":              {`{"method": "GET"}`, "INVALID_REQUEST", "#/body/path", 4400},
		"no method":            {`{"path": "/v1/session"}`, "INVALID_REQUEST", "#/body/method", 4400},
		"another method":       {`{"method": "PATCH", "path": "/v1/session"}`, "INVALID_REQUEST", "#/body/method", 4400},
		"an unknown member":    {`{"ack": 0, "nack": 1}`, "INVALID_REQUEST", "#/body/nack", 4400},
		"a member twice":       {`{"ack": 0, "ack": 0}`, "INVALID_REQUEST", "#/body/ack", 4400},
		"a number in a text":   {`{"ack": "0"}`, "INVALID_REQUEST", "#/body/ack", 4400},
		"a number below 0":     {`{"ack": -1}`, "INVALID_REQUEST", "#/body/ack", 4400},
		"Seq of 2^53":          {`{"seq": 9007199254740992, "method": "GET", "path": "/v1/session"}`, "INVALID_REQUEST", "#/body/seq", 4400},
		"null":                 {`{"method": "PUT", "path": "/v1/nameplates/4", "body": null}`, "INVALID_REQUEST", "#/body/body", 4400},
		"an id that is long":   {`{"id": "` + strings.Repeat("x", 129) + `", "method": "GET", "path": "/v1/session"}`, "INVALID_REQUEST", "#/body/id", 4400},
		"to identify again":    {`{"sessionId": "` + a.id + `"}`, "INVALID_REQUEST", "#/body/sessionId", 4400},
		"what was never sent":  {`{"ack": 1000}`, "SESSION_STATE_MISMATCH", "", 4409},
		"a future epoch":       {`{"ack": 0, "epoch": 9}`, "SESSION_STATE_MISMATCH", "", 4409},
		"more than a body":     {`{"id": "` + strings.Repeat("x", 300_000) + `"}`, "PAYLOAD_TOO_LARGE", "", 1009},
		"invalid UTF-8":        {"{\"id\": \"\xff\", \"method\": \"GET\", \"path\": \"/v1/session\"}", "INVALID_REQUEST", "#/body/id", 4400},
		"an empty one":         {``, "INVALID_REQUEST", "#/body", 4400},
		"more than one object": {`{"ack": 0} {"ack": 0}`, "INVALID_REQUEST", "#/body", 4400},
	} {
		t.Run(why, func(t *testing.T) {
			l := a.in(t).connects("")
			l.want("heartbeat")
			l.frame(0)
			l.send(tt.message)
			action := "stop"
			if tt.closed == 4409 {
				action = "restart"
			}
			if got := l.ends(tt.code, action, tt.closed); !strings.Contains(got, quote(tt.pointer)) && tt.pointer != "" {
				t.Errorf("the error is %s, want one at %s", got, tt.pointer)
			}
			a.in(t).get("/v1/session").want(http.StatusOK)
		})
	}
	for message, want := range map[string][2]string{
		`{}`:                                    {"INVALID_REQUEST", "stop"},
		`{"sessionId": "short"}`:                {"INVALID_REQUEST", "stop"},
		`{"ack": 0}`:                            {"INVALID_REQUEST", "stop"},
		`{"sessionId": ` + quote(newID()) + `}`: {"SESSION_UNKNOWN", "restart"},
		`{"sessionId": ` + quote(a.id) + `, "epoch": 7}`: {"SESSION_STATE_MISMATCH", "restart"},
		`{"sessionId": ` + quote(a.id) + `, "ack": 700}`: {"SESSION_STATE_MISMATCH", "restart"},
	} {
		l, _ := w.upgrade(t, nil)
		l.send(message)
		closed := map[string]int{"INVALID_REQUEST": 4400, "SESSION_UNKNOWN": 4401, "SESSION_STATE_MISMATCH": 4409}[want[0]]
		l.ends(want[0], want[1], closed)
	}
}

func TestSocketMustIdentifyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true})
		l, _ := w.upgrade(t, nil)
		began := time.Now()
		l.closes(websocket.ClosePolicyViolation, "did not identify in time")
		if since := time.Since(began); since != 5*time.Second {
			t.Errorf("it is closed after %v", since)
		}
		_ = l.conn.Close()
		synctest.Wait()
	})
}

// A pong is a sign of life: a browser sends it whatever its page does.
func TestPongsKeepASocketAttached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true, Config: func(c *rendezvous.Config) { c.BootGrace, c.SessionGrace = 0, time.Minute }})
		a := w.begin(t, "app", "a")
		a.open("m").want(http.StatusOK)
		l := a.connects("")
		began := time.Now()
		for time.Since(began) < 10*time.Minute {
			l.want("heartbeat")
		}
		if got := a.get("/v1/session").want(http.StatusOK).text("state"); got != "attached" {
			t.Errorf("the session is %s", got)
		}
		l.conn.SetPingHandler(func(string) error { return nil }) // now it is deaf
		for {
			if _, _, err := l.conn.ReadMessage(); err != nil {
				break
			}
		}
		_ = l.conn.Close()
		synctest.Wait()
	})
}

// A read over a socket does not wait for a message. While it did, the socket would hear neither commands nor pings, and
// would not be told that a later handshake took over.
func TestAReadOverASocketDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true})
		a, b := twoSides(t, w)
		l := a.connects(`, "ack": 1`)
		l.want("heartbeat")
		began := time.Now()
		for _, query := range []string{"?wait=12", "?wait=0", "?open=true&wait=86400", "?own=true&wait=12"} {
			l.send(`{"id": "read", "method": "GET", "path": "/v1/mailboxes/m/messages` + query + `"}`)
			l.send(`{"id": "look", "method": "GET", "path": "/v1/nameplates"}`)
			for _, reply := range []string{`"id":"read" … "status":200 … "messages":[]`, `"id":"look" … "status":200`} {
				if got := l.want("reply"); !holdsAll(got, reply) {
					t.Errorf("%s is answered %s, want %s", query, got, reply)
				}
			}
		}
		l.send(`{"method": "GET", "path": "/v1/mailboxes/m/messages?wait=86401"}`)
		if got := l.want("reply"); !holdsAll(got, `"status":400 … "#/query/wait"`) {
			t.Errorf("a wait that breaks the contract is answered %s", got)
		}
		b.add("m", "p", "of b").want(http.StatusCreated)
		l.frame(1)
		a.add("m", "p", "of a").want(http.StatusCreated)
		l.send(`{"method": "GET", "path": "/v1/mailboxes/m/messages?wait=12"}`)
		if got := l.want("reply"); !holdsAll(got, `"of b" … "lastPosition":2`) || strings.Contains(got, "of a") {
			t.Errorf("of what other sides added, the read gets %s", got)
		}
		l.send(`{"method": "GET", "path": "/v1/mailboxes/m/messages?after=2&wait=12"}`)
		l.want("reply")
		a.handshake(2, 0).want(http.StatusOK)
		l.ends("SUPERSEDED", "stop", 4409)
		if took := time.Since(began); took != 0 {
			t.Errorf("it waited %v", took)
		}
		_ = l.conn.Close()
		synctest.Wait()
	})
}

func TestSocketsDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true})
		a := w.begin(t, "app", "a")
		l := a.connects("")
		l.want("heartbeat")
		w.Service.Drain()
		l.ends("DRAINING", "retry", websocket.CloseGoingAway)
		_ = l.conn.Close()
		synctest.Wait()
	})
}

func TestCommandsOfASocketAreLimited(t *testing.T) {
	w := start(t, options{Limits: func(l *handlers.Limits) { l.Rate, l.Burst = 0.001, 6 }})
	a := w.begin(t, "app", "a")
	l := a.connects("")
	l.want("heartbeat")
	for range 4 {
		l.send(`{"method": "GET", "path": "/v1/nameplates"}`)
		l.want("reply")
	}
	l.send(`{"method": "GET", "path": "/v1/nameplates"}`)
	if got := l.want("reply"); !strings.Contains(got, `"status":429`) || !strings.Contains(got, `"Retry-After":"1"`) {
		t.Errorf("the reply is %s", got)
	}
}

func TestCrossOrigin(t *testing.T) {
	w := start(t, options{Origins: []string{"https://app.example", "https://*.many.example"}, Limits: func(l *handlers.Limits) { l.Rate, l.Burst = 0.001, 1 }})
	ask := func(method, origin string, header http.Header) (status int, answered http.Header) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://restante.test/v1/session", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = header
		r.Header.Set("Origin", origin)
		got, err := w.HTTP.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = got.Body.Close()
		return got.StatusCode, got.Header
	}
	for range 5 { // a preflight has no credential, and is under no limit
		status, h := ask(http.MethodOptions, "https://app.example", http.Header{"Access-Control-Request-Method": {"DELETE"}, "Access-Control-Request-Headers": {"ack,authorization,content-type,last-event-id,prefer,seq,traceparent,tracestate"}})
		if status != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != "https://app.example" || h.Get("Access-Control-Max-Age") != "86400" || h.Get("Access-Control-Allow-Headers") == "" {
			t.Fatalf("%d %v", status, h)
		}
	}
	status, h := ask(http.MethodGet, "https://one.many.example", http.Header{})
	if status != http.StatusUnauthorized || h.Get("Access-Control-Allow-Origin") != "https://one.many.example" {
		t.Errorf("%d %v", status, h)
	}
	if _, h := ask(http.MethodGet, "https://evil.example", http.Header{}); h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%v", h)
	}
}

// A socket obeys the same list of origins: browsers send no preflight before they open one.
func TestSocketsOfOtherOrigins(t *testing.T) {
	for name, tt := range map[string]struct {
		allowed []string
		status  map[string]int // by the Origin that a page sends
	}{
		"none are allowed": {nil, map[string]int{"https://app.example": 403, "http://restante.test": 101}},
		"some are": {[]string{"https://app.example", "https://*.many.example", "http://localhost:*"}, map[string]int{
			"https://app.example": 101, "https://one.many.example": 101, "https://a.b.many.example": 101, "http://restante.test": 101, "http://localhost:5173": 101,
			"http://app.example": 403, "https://app.example:444": 403, "https://app.example.evil.example": 403, "https://evilmany.example": 403, "https://many.example": 403,
			"https://localhost:5173": 403, "null": 403, "": 403, "https://restante.test.evil.example": 403,
		}},
		"all are": {[]string{"*"}, map[string]int{"https://app.example": 101, "null": 101}},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, options{Origins: tt.allowed})
			for origin, status := range tt.status {
				l, got := w.upgrade(t, http.Header{"Origin": {origin}})
				if got != status {
					t.Errorf("Origin %q: %d, want %d", origin, got, status)
				}
				if l != nil {
					_ = l.conn.Close()
					continue
				}
				w.anonymous(t).get("/v1/session/socket").with("Connection: Upgrade", "Upgrade: websocket", "Origin: "+origin).
					refused(http.StatusForbidden, "REJECTED_BY_CUSTOM_HANDLER")
			}
		})
	}
	w := start(t, options{Origins: []string{"https://app.example"}})
	if l, got := w.upgrade(t, http.Header{"Origin": {"https://app.example", "https://evil.example"}}); l != nil || got != http.StatusForbidden {
		t.Errorf("of two origins, one of which is not allowed: %d", got)
	}
}

// A page of the server's own origin may open a socket, also behind a proxy that writes the host in another way or says
// elsewhere which one it was.
func TestSocketsOfTheServersOwnOrigin(t *testing.T) {
	for name, tt := range map[string]struct {
		origin  string
		headers []string
		status  int
	}{
		"the same host":                         {"https://relay.example", []string{"Host: relay.example"}, 101},
		"in another case":                       {"https://relay.example", []string{"Host: Relay.Example"}, 101},
		"with the usual port of https":          {"https://relay.example", []string{"Host: relay.example:443"}, 101},
		"with the usual port of http":           {"http://relay.example", []string{"Host: relay.example:80"}, 101},
		"with the usual port in the origin":     {"https://relay.example:443", []string{"Host: relay.example"}, 101},
		"with a final dot":                      {"https://relay.example", []string{"Host: relay.example."}, 101},
		"with a final dot and a port":           {"https://relay.example:8443", []string{"Host: relay.example.:8443"}, 101},
		"an IPv6 address":                       {"https://[::1]", []string{"Host: [::1]:443"}, 101},
		"with the usual port of another":        {"http://relay.example", []string{"Host: relay.example:443"}, 403},
		"with another port":                     {"https://relay.example:8443", []string{"Host: relay.example"}, 403},
		"another host":                          {"https://evil.example", []string{"Host: relay.example"}, 403},
		"no origin that can be read":            {"null", []string{"Host: null"}, 403},
		"the host of an upstream":               {"https://relay.example", []string{"Host: 127.0.0.1:4000"}, 403},
		"as the browser says":                   {"https://relay.example", []string{"Host: 127.0.0.1:4000", "Sec-Fetch-Site: same-origin"}, 101},
		"of the same site, as the browser says": {"https://relay.example", []string{"Host: 127.0.0.1:4000", "Sec-Fetch-Site: same-site"}, 403},
		"of another site, and of no other":      {"https://relay.example", []string{"Host: 127.0.0.1:4000", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-origin"}, 403},
		"as the proxy says":                     {"https://relay.example", []string{"Host: 127.0.0.1:4000", "X-Forwarded-Host: relay.example"}, 101},
		"as the first proxy says":               {"https://relay.example", []string{"Host: 127.0.0.1:4000", "X-Forwarded-Host: relay.example:443, inner.example"}, 101},
		"not as the proxy says":                 {"https://evil.example", []string{"Host: 127.0.0.1:4000", "X-Forwarded-Host: relay.example"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, options{Proxies: []string{"127.0.0.0/8"}})
			w.wantUpgrade(t, tt.origin, tt.headers, tt.status)
		})
	}
	w := start(t, options{Proxies: []string{"192.0.2.0/24"}})
	w.wantUpgrade(t, "https://relay.example", []string{"Host: 127.0.0.1:4000", "X-Forwarded-Host: relay.example"}, http.StatusForbidden)
	got := w.anonymous(t).get("/v1/session/socket").with("Connection: Upgrade", "Upgrade: websocket", "Host: 127.0.0.1:4000", "Origin: https://relay.example").
		refused(http.StatusForbidden, "REJECTED_BY_CUSTOM_HANDLER")
	for _, hint := range []string{`"127.0.0.1:4000"`, "Host", "--cors-origins"} {
		if !strings.Contains(got.text("detail"), hint) {
			t.Errorf("the detail does not name %s: %s", hint, got.text("detail"))
		}
	}
}

// wantUpgrade fails the test unless a handshake of a page is answered with a status.
func (w *testServer) wantUpgrade(t *testing.T, origin string, headers []string, status int) {
	t.Helper()
	request := "GET /v1/session/socket HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: " + origin + "\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n"
	conn := w.dialRaw(t)
	defer conn.Close()
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 "+strconv.Itoa(status)+" ") {
		t.Errorf("it is answered %q (%v), want %d", line, err, status)
	}
}

// An answer that asks for an upgrade says so over HTTP/1.1 (RFC 9110, §7.8), and not over HTTP/2, which has no such
// headers (RFC 9113, §8.2.2).
func TestHeadersOfAConnectionAreThoseOfHTTP1(t *testing.T) {
	w := start(t, options{})
	w.anonymous(t).get("/v1/session/socket").refused(http.StatusUpgradeRequired, "UPGRADE_REQUIRED").says("Upgrade", "websocket").says("Connection", "Upgrade")
	for _, path := range []string{"/v1/session/socket", "/v1", "/v1/session", "/v1/session/events", "/none", "/livez"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
		got := httptest.NewRecorder()
		w.Routes.ServeHTTP(got, r)
		for _, name := range []string{"Connection", "Upgrade", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding"} {
			if value := got.Header().Get(name); value != "" {
				t.Errorf("over HTTP/2, %s is answered %d with %s: %s", path, got.Code, name, value)
			}
		}
	}
}
