package e2e_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"restante/internal/e2e"
)

// TestConformance tries all rules on the real server.
func TestConformance(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	out, complaints, code := e2e.Run(t, nil, "conformance", s.URL())
	if code != 0 || strings.Contains(out, "broken") || complaints != "" {
		t.Errorf("%d %s\n%s", code, complaints, out)
	}
	list, _, _ := e2e.Run(t, nil, "conformance", "--list")
	if rules := strings.Count(list, "\n"); rules < 80 || strings.Count(out, "\nkept ")+1 != rules {
		t.Errorf("of %d rules, %d are tried", rules, strings.Count(out, "\nkept ")+1)
	}
}

// TestConformanceFindsFaults puts a proxy before the server that spoils one thing. The rule that is about it finds it.
func TestConformanceFindsFaults(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	replace := func(old, by string) func(*http.Response) {
		return func(r *http.Response) { replaceInBody(t, r, old, by) }
	}
	drop := func(header string) func(*http.Response) { return func(r *http.Response) { r.Header.Del(header) } }
	for rule, spoil := range map[string]func(*http.Response){
		"handshake/begin":      replace(`"epoch":1`, `"epoch":2`),
		"handshake/side-taken": replace(`"SIDE_TAKEN"`, `"SIDE_STOLEN"`),
		"sending/once":         drop("Ack"),
		"sending/replayed":     drop("Replayed"),
		"sending/gap":          replace(`"expectedSeq":0`, `"expectedSeq":1`),
		"receiving/heartbeat":  replace(`"heartbeat":true`, `"heartbeat":false`),
		"receiving/again": func(r *http.Response) {
			replaceInBody(t, r, `"two `, `"`+r.Header.Get("Date")+r.Header.Get("X-Request-ID"))
		},
		"receiving/one":            drop("Retry-After"),
		"mailboxes/log":            replace(`"position":3`, `"position":4`),
		"nameplates/meet":          replace(`"CROWDED"`, `"RECLAIMED"`),
		"secret/side":              replace(`"side":"k.`, `"side":"j.`),
		"failures/not-found":       func(r *http.Response) { r.Header.Set("Content-Type", "application/json") },
		"failures/no-credential":   func(r *http.Response) { r.StatusCode = http.StatusForbidden },
		"operations/no-store":      drop("Cache-Control"),
		"streams/socket-identify":  func(r *http.Response) { r.StatusCode = http.StatusOK },
		"wormhole/welcome":         func(r *http.Response) { r.StatusCode = http.StatusBadGateway },
		"failures/not-acceptable":  replace(`"action":"stop"`, `"action":"retry"`),
		"streams/events":           replace("event: frame", "event: fram"),
		"operations/contract":      replace("openapi: 3.1", "swagger: 2.0"),
		"receiving/superseded":     replace(`"retriable":false`, `"retriable":true`),
		"handshake/replaces":       replace(`"reason":"replaced"`, `"reason":"deleted"`),
		"sending/end-again":        replace(`"nextExpectedSeq":1`, `"nextExpectedSeq":0`),
		"failures/unknown-session": replace(`"status":401`, `"status":404`),
	} {
		t.Run(rule, func(t *testing.T) {
			proxy := spoiling(t, s.URL(), spoil)
			out, complaints, code := e2e.Run(t, nil, "conformance", proxy, "--only", rule, "--limit=3s")
			if code != 1 || !strings.Contains(out, "broken  "+rule) {
				t.Errorf("%d %s\n%s", code, complaints, out)
			}
		})
	}
}

// spoiling starts a proxy that changes the answers of a server.
func spoiling(t *testing.T, to string, spoil func(*http.Response)) string {
	t.Helper()
	at, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(at); r.Out.Header.Del("Accept-Encoding") },
		ModifyResponse: func(r *http.Response) error { spoil(r); return nil },
		FlushInterval:  -1,
		ErrorLog:       nil,
	})
	t.Cleanup(proxy.Close)
	t.Cleanup(proxy.CloseClientConnections)
	return proxy.URL
}

// replaceInBody replaces a text in the body, as it passes. A stream is spoiled event by event.
func replaceInBody(t *testing.T, r *http.Response, old, by string) {
	t.Helper()
	if strings.HasPrefix(r.Header.Get("Content-Type"), "text/event-stream") {
		r.Body = &spoiledStream{r.Body, old, by}
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil && r.Request.Context().Err() == nil { // otherwise the client has left: the time for its rule was over
		t.Error(err)
	}
	body = bytes.ReplaceAll(body, []byte(old), []byte(by))
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Del("Content-Length")
}

// spoiledStream replaces a text in each piece of a body that is read.
type spoiledStream struct {
	io.ReadCloser
	old, by string
}

func (s *spoiledStream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p[:max(1, len(p)/2)])
	return copy(p, bytes.ReplaceAll(p[:n:n], []byte(s.old), []byte(s.by))), err
}
