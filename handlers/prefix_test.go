package handlers_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

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

// The address of a proxy on the same link has a zone, which no range has.
func TestAProxyWithAZoneIsTrusted(t *testing.T) {
	w := start(t, options{Proxies: []string{"fe80::/10"}})
	for peer, want := range map[string]string{"[fe80::1%eth0]:4711": "/mail", "[fe80::1]:4711": "/mail", "[2001:db8::1%eth0]:4711": "/"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/openapi.yaml", nil)
		r.RemoteAddr = peer
		r.Header.Set("X-Forwarded-Prefix", "/mail")
		got := httptest.NewRecorder()
		w.Routes.ServeHTTP(got, r)
		if !strings.Contains(got.Body.String(), "servers:\n  - url: "+want+"\n") {
			t.Errorf("to %s, the contract does not name %s", peer, want)
		}
	}
}

func TestCheckBasePath(t *testing.T) {
	for path, valid := range map[string]bool{
		"": true, "/mail": true, "/a/b.c": true, "/v10": true, "/mail/v1": true, "/": false, "mail": false, "/mail/": false, "//mail": false, "/..": false, "/a/../b": false, "/a b": false,
	} {
		if err := handlers.CheckBasePath(path); (err == nil) != valid {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// A base path would take away what begins with it.
func TestNoRouteIsABasePath(t *testing.T) {
	w := start(t, options{Pages: site})
	err := chi.Walk(w.Routes.(chi.Routes), func(_, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		first, _, _ := strings.Cut(strings.TrimPrefix(route, "/"), "/")
		for _, path := range []string{"/" + first, "/" + first + "/mail"} {
			if err := handlers.CheckBasePath(path); first != "" && (err == nil || !strings.Contains(err.Error(), "/"+first)) {
				t.Errorf("%s may be the base path, though there is %s: %v", path, route, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
