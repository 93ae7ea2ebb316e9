package handlers_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"restante/handlers"
)

// What net/http answers itself, before any handler runs: it gets no problem
// document, and no line in the log. docs list it, and so does this table.
func TestWhatNetHTTPRefusesItself(t *testing.T) {
	w := start(t, options{})
	const host = "Host: restante.test\r\n"
	for why, tt := range map[string]struct {
		request string
		status  int
	}{
		"no request line":                     {"hello, is there anybody?\r\n\r\n", 400},
		"no version":                          {"GET /livez\r\n\r\n", 400},
		"a version that is none":              {"GET /livez HTTP/x\r\n" + host + "\r\n", 400},
		"a version that is not spoken":        {"GET /livez HTTP/4.0\r\n" + host + "\r\n", 505},
		"a method of other characters":        {"G@T /livez HTTP/1.1\r\n" + host + "\r\n", 400},
		"a target that is no path":            {"GET livez HTTP/1.1\r\n" + host + "\r\n", 400},
		"a path that is no percent-encoding":  {"GET /v1/nameplates/%zz HTTP/1.1\r\n" + host + "\r\n", 400},
		"a path with NUL":                     {"GET /liv\x00ez HTTP/1.1\r\n" + host + "\r\n", 400},
		"a space in the path":                 {"GET /liv ez HTTP/1.1\r\n" + host + "\r\n", 400},
		"no Host":                             {"GET /livez HTTP/1.1\r\n\r\n", 400},
		"two Hosts":                           {"GET /livez HTTP/1.1\r\n" + host + host + "\r\n", 400},
		"a Host of other characters":          {"GET /livez HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
		"a header without a colon":            {"GET /livez HTTP/1.1\r\n" + host + "Seq\r\n\r\n", 400},
		"a header's name with a space":        {"GET /livez HTTP/1.1\r\n" + host + "Seq : 1\r\n\r\n", 400},
		"a header with NUL":                   {"GET /livez HTTP/1.1\r\n" + host + "Seq: 1\x00\r\n\r\n", 400},
		"a header that goes on":               {"GET /livez HTTP/1.1\r\n" + host + " Seq: 1\r\n\r\n", 400},
		"headers that are too large":          {"GET /livez HTTP/1.1\r\n" + host + "X: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", 431},
		"a Content-Length that is no number":  {"POST /v1/sessions HTTP/1.1\r\n" + host + "Content-Length: x\r\n\r\n", 400},
		"a Content-Length below 0":            {"POST /v1/sessions HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n", 400},
		"two lengths":                         {"POST /v1/sessions HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400},
		"a Transfer-Encoding that is unknown": {"POST /v1/sessions HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n", 501},
		"an expectation that is unknown":      {"POST /v1/sessions HTTP/1.1\r\n" + host + "Expect: the worst\r\nContent-Length: 2\r\n\r\n{}", 417},
		"OPTIONS *, which is fine":            {"OPTIONS * HTTP/1.1\r\n" + host + "\r\n", 200},
	} {
		t.Run(why, func(t *testing.T) {
			got := w.raw(t, tt.request)
			if got.status != tt.status {
				t.Errorf("it is answered %d %s, want %d", got.status, got.body, tt.status)
			}
			if strings.HasPrefix(got.header.Get("Content-Type"), "application/problem") {
				t.Errorf("it got to a handler after all: %s", got.body)
			}
			for _, leak := range leaks {
				if strings.Contains(string(got.body), leak) {
					t.Errorf("the body holds %q: %s", leak, got.body)
				}
			}
		})
	}
	if logged := w.Logs.String(); strings.Contains(logged, `"msg":"request"`) {
		t.Errorf("a handler ran:\n%s", logged)
	}
	w.anonymous(t).get("/livez").want(http.StatusOK)
}

// What a client library does not send, but a handler gets to see.
func TestOddRequests(t *testing.T) {
	w := start(t, options{Limits: func(l *handlers.Limits) { l.BodyTime = 50 * time.Millisecond }})
	a := w.begin(t, "app", "a")
	head := func(method, target string, more ...string) string {
		more = append([]string{"Host: restante.test", "Authorization: Bearer " + a.id, "Content-Type: application/json"}, more...)
		return method + " " + target + " HTTP/1.1\r\n" + strings.Join(more, "\r\n") + "\r\n\r\n"
	}
	websocket := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
	for why, tt := range map[string]struct {
		method, target string
		request        string
		status         int
		code           string
	}{
		"a chunk that is none": {
			"POST", "/v1/nameplates", head("POST", "/v1/nameplates", "Transfer-Encoding: chunked") + "zz\r\n{}\r\n", 400, "INVALID_REQUEST",
		},
		"a chunk that is none, in a handshake": {
			"POST", "/v1/sessions", head("POST", "/v1/sessions", "Transfer-Encoding: chunked") + "zz\r\n{}\r\n", 400, "MALFORMED_HANDSHAKE",
		},
		"a body that does not come":                 {"POST", "/v1/nameplates", head("POST", "/v1/nameplates", "Content-Length: 9") + "{", 400, "BODY_INCOMPLETE"},
		"a body that does not come, in a handshake": {"POST", "/v1/sessions", head("POST", "/v1/sessions", "Content-Length: 9") + "{", 400, "BODY_INCOMPLETE"},
		"a body that does not come, to release": {
			"DELETE", "/v1/nameplates/4", head("DELETE", "/v1/nameplates/4", "Content-Length: 9") + "{", 400, "INVALID_REQUEST",
		},
		"a body that is longer than it says": {"POST", "/v1/nameplates", head("POST", "/v1/nameplates", "Content-Length: 1") + "{}", 400, "INVALID_REQUEST"},
		"a body of no chunks":                {"DELETE", "/v1/nameplates/4", head("DELETE", "/v1/nameplates/4", "Transfer-Encoding: chunked") + "0\r\n\r\n", 204, ""},
		"a proxy's request":                  {"GET", "/v1/session", head("GET", "http://elsewhere.test/v1/session"), 200, ""},
		"a tunnel":                           {"CONNECT", "elsewhere.test:443", head("CONNECT", "elsewhere.test:443"), 404, "NOT_FOUND"},
		"everything":                         {"GET", "*", head("GET", "*"), 404, "NOT_FOUND"},
		"HTTP/1.0":                           {"GET", "/v1/session", strings.Replace(head("GET", "/v1/session"), "HTTP/1.1", "HTTP/1.0", 1), 200, ""},
		"a WebSocket over HTTP/1.0":          {"GET", "/v1", strings.Replace(head("GET", "/v1", websocket...), "HTTP/1.1", "HTTP/1.0", 1), 400, "INVALID_REQUEST"},
		"a session's socket over HTTP/1.0": {
			"GET", "/v1/session/socket", strings.Replace(head("GET", "/v1/session/socket", websocket...), "HTTP/1.1", "HTTP/1.0", 1), 400, "INVALID_REQUEST",
		},
		"half a WebSocket": {"GET", "/v1", head("GET", "/v1", "Connection: Upgrade", "Upgrade: websocket"), 400, "INVALID_REQUEST"},
		"a lower-case scheme": {
			"GET", "/v1/session", strings.Replace(head("GET", "/v1/session"), "Bearer ", "bearer   ", 1), 200, "",
		},
		"a charset": {
			"POST", "/v1/nameplates", strings.Replace(head("POST", "/v1/nameplates", "Content-Length: 2"), "json", "JSON; charset=UTF-8", 1) + "{}", 201, "",
		},
	} {
		t.Run(why, func(t *testing.T) {
			got := w.raw(t, tt.request)
			if got.status != tt.status || tt.code != "" && got.text("code") != tt.code {
				t.Errorf("it is answered %d %s, want %d %s", got.status, got.body, tt.status, tt.code)
			}
			if err := contract().check(a.ask(tt.method, tt.target, ""), got); err != nil {
				t.Errorf("%d %s: %v", got.status, got.body, err)
			}
		})
	}
}

// A client that promises a body and never sends it is refused all the same, and
// not waited for longer than any other.
func TestNobodyWaitsForABodyThatIsNotWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true})
		for _, target := range []string{"POST /v1/nameplates", "POST /nothing", "PATCH /livez"} {
			began := time.Now()
			got := w.raw(t, target+" HTTP/1.1\r\nHost: restante.test\r\nContent-Length: 5\r\n\r\n")
			if got.status < 400 || time.Since(began) > handlers.DefaultLimits().WriteTime {
				t.Errorf("%s is answered %d after %v", target, got.status, time.Since(began))
			}
		}
	})
}

// A client that asks for much and reads nothing is not waited for.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true})
		conn, err := w.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /openapi.yaml HTTP/1.1\r\nHost: restante.test\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		pass(handlers.DefaultLimits().WriteTime + time.Second)
		got, err := io.ReadAll(conn)
		if err != nil || time.Since(began) > time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if len(got) > 64<<10 {
			t.Errorf("it got %d bytes after all", len(got))
		}
	})
}

// A proxy may speak HTTP/2 to us.
func TestHTTP2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true})
		transport := w.HTTP.Transport.(*http.Transport)
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetUnencryptedHTTP2(true)
		a, b := twoSides(t, w)
		parked := a.get("/v1/session/events?ack=1").later() // beside everything else, on one connection
		pass(2 * handlers.DefaultLimits().WriteTime)
		b.add("m", "p", tenMegabytes).refused(http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE")
		b.post("/v1/nameplates", "{").refused(http.StatusBadRequest, "INVALID_REQUEST")
		w.anonymous(t).post("/v1/nameplates", strings.Repeat(" ", 100_000)).refused(http.StatusUnauthorized, "SESSION_REQUIRED")
		b.add("m", "p", "b").want(http.StatusCreated)
		if got := <-parked; got.count("frames") != 1 {
			t.Errorf("a receives %s", got.body)
		}
		began, heartbeat := time.Now(), a.get("/v1/session/events?ack=2").later()
		got := <-heartbeat
		if hold := time.Duration(got.number("nextWaitMs")) * time.Millisecond; time.Since(began) != hold {
			t.Errorf("it is held for %v, want %v", time.Since(began), hold)
		}
	})
}

// Connections that are used again do not inherit the deadline of an earlier answer.
func TestAnAnswersDeadlineEndsWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true})
		conn, err := w.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		read := bufio.NewReader(conn)
		say := func(format string, args ...any) {
			t.Helper()
			if _, err := fmt.Fprintf(conn, format, args...); err != nil {
				t.Fatal(err)
			}
		}
		hear := func(want int) {
			t.Helper()
			got, err := http.ReadResponse(read, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer got.Body.Close()
			if _, err := io.ReadAll(got.Body); err != nil || got.StatusCode != want {
				t.Errorf("%d (%v), want %d", got.StatusCode, err, want)
			}
		}
		say("GET /livez HTTP/1.1\r\nHost: restante.test\r\n\r\n")
		hear(http.StatusOK)
		pass(2 * handlers.DefaultLimits().WriteTime)
		// curl asks before it sends what is large.
		say("POST /v1/sessions HTTP/1.1\r\nHost: restante.test\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(hello()))
		hear(http.StatusContinue)
		say("%s", hello())
		hear(http.StatusCreated)
		// What is too large need not be sent.
		say("POST /v1/sessions HTTP/1.1\r\nHost: restante.test\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")
		hear(http.StatusRequestEntityTooLarge)
		if _, err := read.ReadByte(); err != io.EOF {
			t.Errorf("the connection goes on: %v", err)
		}
	})
}
