package handlers_test

import (
	"net/http"
	"strings"
	"testing"

	"restante/handlers"
)

// A server below a path takes requests with the path and without it: a proxy may take it off or leave it.
func TestBasePath(t *testing.T) {
	w := start(t, options{Pages: site, BasePath: "/mail"})
	a, n := w.begin(t, "app", "a"), w.anonymous(t)
	for path, want := range map[string]int{
		"/v1/session": 200, "/mail/v1/session": 200, "/v1/mailboxes/x%2Fy": 400, "/mail/v1/mailboxes/x%2Fy": 400, "/mail/": 200, "/mail/assets/page.js": 200,
		"/mail/mail/v1/session": 404, "/mailing/v1/session": 404, "/mail/nothing": 404,
	} {
		if got, err := a.get(path).exchange(t.Context()); err != nil || got.status != want {
			t.Errorf("%s is answered %d (%v), want %d", path, got.status, err, want)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		n.ask(method, "/mail", "").want(http.StatusPermanentRedirect).says("Location", "/mail/")
	}
	for _, path := range []string{"/openapi.yaml", "/mail/openapi.yaml", "/openapi.json"} {
		for _, encoding := range []string{"gzip", "identity"} {
			got, err := n.get(path).with("Accept-Encoding: " + encoding).exchange(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			text, err := got.unpacked()
			if err != nil || !strings.Contains(string(text), "servers:\n  - url: /mail\n") && !strings.Contains(string(text), `"servers":[{"url":"/mail"`) {
				t.Errorf("%s in %s does not name the path: %v", path, encoding, err)
			}
		}
	}
}

// Only a trusted proxy names the path that it has taken off.
func TestForwardedPrefix(t *testing.T) {
	for name, tt := range map[string]struct {
		proxies []string
		prefix  string
		want    string
	}{
		"a trusted proxy":             {[]string{"127.0.0.0/8"}, "/mail", "/mail"},
		"with a slash at its end":     {[]string{"127.0.0.0/8"}, "/mail/", "/mail"},
		"of two steps":                {[]string{"127.0.0.0/8"}, "/a/b", "/a/b"},
		"another proxy":               {[]string{"192.0.2.0/24"}, "/mail", "/"},
		"none":                        {nil, "/mail", "/"},
		"another host":                {[]string{"127.0.0.0/8"}, "//evil.example", "/"},
		"what a document would quote": {[]string{"127.0.0.0/8"}, "/a\"b", "/"},
		"no path":                     {[]string{"127.0.0.0/8"}, "mail", "/"},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, options{Proxies: tt.proxies})
			got := w.anonymous(t).get("/openapi.yaml").with("X-Forwarded-Prefix: " + tt.prefix).want(http.StatusOK)
			if !strings.Contains(string(got.body), "servers:\n  - url: "+tt.want+"\n") {
				t.Errorf("the contract does not name %s", tt.want)
			}
		})
	}
}

func TestCheckBasePath(t *testing.T) {
	for path, valid := range map[string]bool{
		"": true, "/mail": true, "/a/b.c": true, "/": false, "mail": false, "/mail/": false, "//mail": false, "/..": false, "/a/../b": false, "/a b": false,
	} {
		if err := handlers.CheckBasePath(path); (err == nil) != valid {
			t.Errorf("%q: %v", path, err)
		}
	}
}
