package handlers_test

import (
	"net/http"
	"testing"

	"restante/handlers"
)

func TestHosts(t *testing.T) {
	tests := map[string]struct {
		hosts   []string
		allowed []string
		refused []string
	}{
		"all by default": {nil, []string{"rebound.example", "127.0.0.1:4000", "x"}, nil},
		"all if asked":   {[]string{"*"}, []string{"rebound.example", "127.0.0.1:4000"}, nil},
		"loopback": {
			handlers.LoopbackHosts(),
			[]string{"localhost", "localhost:4000", "LOCALHOST.", "127.0.0.1", "127.0.0.1:4000", "[::1]", "[::1]:4000"},
			[]string{"rebound.example", "rebound.example:4000", "127.0.0.1.rebound.example", "localhost.rebound.example", "127.0.0.2", "0.0.0.0:4000", "[::]:4000", "::1:1"},
		},
		"no domain": {
			[]string{handlers.NoDomain},
			[]string{"localhost:4000", "a.localhost", "127.0.0.2", "[::1]:4000", "192.0.2.1", "relay:4000", "x", "x."},
			[]string{"rebound.example", "rebound.example:4000", "127.0.0.1.rebound.example", "localhost.rebound.example", "alocalhost.example."},
		},
		"names": {
			[]string{"Relay.example.org", "*.example.net", "[2001:db8::1]"},
			[]string{"relay.example.org:443", "a.example.net", "a.b.example.net:8443", "[2001:db8::1]:443"},
			[]string{"example.org", "a.relay.example.org", "example.net", "aexample.net", "localhost", "[2001:db8::2]"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := start(t, options{Hosts: tt.hosts})
			for _, host := range tt.allowed {
				w.anonymous(t).get("/v1/status").with("Host: " + host).want(http.StatusOK)
				w.anonymous(t).get("/none").with("Host: "+host).refused(http.StatusNotFound, "NOT_FOUND")
			}
			for _, host := range tt.refused {
				for _, path := range []string{"/", "/v1", "/v1/status", "/metrics", "/v1/session", "/none", "/v1/session/socket"} {
					w.anonymous(t).get(path).with("Host: "+host).refused(http.StatusMisdirectedRequest, "MISDIRECTED_REQUEST")
				}
				w.anonymous(t).post("/v1/sessions", hello()).with("Host: "+host).refused(http.StatusMisdirectedRequest, "MISDIRECTED_REQUEST")
				w.anonymous(t).get("/livez").with("Host: " + host).want(http.StatusOK)
				w.anonymous(t).get("/readyz").with("Host: " + host).want(http.StatusOK)
			}
		})
	}
}

func TestCheckHost(t *testing.T) {
	for _, host := range append(handlers.LoopbackHosts(), "*", "*.example.org", "relay.example.org", "[::1]", "192.0.2.1") {
		if err := handlers.CheckHost(host); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, host := range []string{"", "*.", "a*.example.org", "*.*.example.org", "https://relay.example.org", "relay.example.org:443", "127.0.0.1:80", "relay.example.org/", "[::1]:80"} {
		if err := handlers.CheckHost(host); err == nil {
			t.Errorf("%q is allowed, and never matches", host)
		}
	}
}
