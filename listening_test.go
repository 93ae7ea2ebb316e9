package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"restante/handlers"
	"restante/internal/listen"
)

func TestValidateListening(t *testing.T) {
	tests := map[string]struct {
		change func(*Config)
		want   string // in the complaint; empty: there is none
	}{
		"every form":              {func(c *Config) { c.Listen = []string{":1", "127.0.0.1:2", "[::]:3", "unix:/x", "systemd:", "none"} }, ""},
		"no address":              {func(c *Config) { c.Listen = []string{"4000"} }, "write :4000"},
		"no TLS address":          {func(c *Config) { c.TLSListen, c.TLSCert, c.TLSKey = []string{"443"}, "c", "k" }, "write :4000"},
		"no mode":                 {func(c *Config) { c.SocketMode = "rw" }, "--socket-mode"},
		"a mode of more":          {func(c *Config) { c.SocketMode = "1777" }, "--socket-mode"},
		"a pair":                  {func(c *Config) { c.TLSCert, c.TLSKey = "c", "k" }, ""},
		"no key":                  {func(c *Config) { c.TLSCert = "c" }, "come together"},
		"no certificate":          {func(c *Config) { c.TLSKey = "k" }, "come together"},
		"two origins of one":      {func(c *Config) { c.TLSCert, c.TLSKey, c.ACMEDomain = "c", "k", []string{"a.example"} }, "one of them"},
		"TLS with no certificate": {func(c *Config) { c.TLSListen = []string{":443"} }, "needs a certificate"},
		"a name":                  {func(c *Config) { c.ACMEDomain = []string{"a.example"} }, ""},
		"a name, and PostgreSQL":  {func(c *Config) { c.ACMEDomain, c.Database = []string{"a.example"}, "postgres://db/x" }, "--acme-cache"},
		"with a cache": {func(c *Config) {
			c.ACMEDomain, c.Database, c.ACMECache = []string{"a.example"}, "postgres://db/x", "/c"
		}, ""},
		"hosts":              {func(c *Config) { c.AllowedHosts = []string{"a.example", "*.b.example", "*"} }, ""},
		"a host with a port": {func(c *Config) { c.AllowedHosts = []string{"a.example:443"} }, `--allowed-hosts "a.example:443": leave out the port`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := settings(t)
			tt.change(&c)
			if err := c.validate(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q in it", err, tt.want)
			}
		})
	}
}

// TestCacheOfCertificates holds that certificates are kept beside the SQLite file, however that is named.
func TestCacheOfCertificates(t *testing.T) {
	for database, want := range map[string]string{"./x.db": "./x.db-acme", "sqlite:/var/x.db": "/var/x.db-acme", "postgres://db/x": ""} {
		c := settings(t)
		c.Database = database
		if got := c.acmeCache(); got != want {
			t.Errorf("%s: %q, want %q", database, got, want)
		}
	}
}

// TestReach checks that the addresses decide which hosts the server answers for, and what it warns of.
func TestReach(t *testing.T) {
	const encrypt, root = "nothing is encrypted", "runs as root"
	tests := map[string]struct {
		listen  []string
		proxies []netip.Prefix
		hosts   []string // that are asked for
		want    []string // that are answered for
		warns   bool
	}{
		"loopback":           {[]string{"127.0.0.1:0", "[::1]:0"}, nil, nil, []string{handlers.NoDomain}, false},
		"loopback, by order": {[]string{"127.0.0.1:0"}, nil, []string{"a.example"}, []string{"a.example"}, false},
		"behind a proxy":     {[]string{"127.0.0.1:0"}, []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, nil, nil, false},
		"everywhere":         {[]string{":0"}, nil, nil, nil, true},
		"also everywhere":    {[]string{"127.0.0.1:0", ":0"}, nil, nil, nil, true},
		"behind another":     {[]string{":0"}, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, nil, nil, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := settings(t)
			c.Listen, c.TrustedProxies, c.AllowedHosts = tt.listen, tt.proxies, tt.hosts
			r, err := c.open(t.Context(), &listen.Budget{PerAddress: 100, Log: slog.New(slog.DiscardHandler)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if got := c.hosts(r); !slices.Equal(got, tt.want) {
				t.Errorf("it answers for %q, want %q", got, tt.want)
			}
			var said bytes.Buffer
			c.warn(r, slog.New(slog.NewTextHandler(&said, nil)))
			if got := strings.Contains(said.String(), encrypt); got != tt.warns {
				t.Errorf("that nothing is encrypted is said: %t, want %t", got, tt.warns)
			}
			if got := strings.Contains(said.String(), root); got != (os.Geteuid() == 0) {
				t.Errorf("that it runs as root is said: %t", got)
			}
		})
	}
}

// TestChallenges holds that the challenges of a certificate authority are answered, and every other request is passed on:
// also one for a challenge that there is not, which strangers may make as often as they like.
func TestChallenges(t *testing.T) {
	c := settings(t)
	c.Listen, c.TLSListen, c.ACMEDomain, c.ACMECache = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}, []string{"a.example"}, t.TempDir()
	if err := os.WriteFile(filepath.Join(c.ACMECache, "known+http-01"), []byte("proof"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := c.open(t.Context(), &listen.Budget{PerAddress: 100, Log: slog.New(slog.DiscardHandler)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if !r.Secure() || len(r.All()) != 2 {
		t.Errorf("listens on %v, want one address with TLS beside one without", r.Addrs())
	}
	h := r.handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for url, want := range map[string]int{
		"http://a.example/.well-known/acme-challenge/known":   http.StatusOK,
		"http://a.example/.well-known/acme-challenge/unknown": http.StatusTeapot,
		"http://b.example/.well-known/acme-challenge/known":   http.StatusTeapot,
		"http://a.example/v1":                                 http.StatusTeapot,
	} {
		got := httptest.NewRecorder()
		if h.ServeHTTP(got, httptest.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)); got.Code != want {
			t.Errorf("%s: %d, want %d", url, got.Code, want)
		}
		if want == http.StatusOK && got.Body.String() != "proof" {
			t.Errorf("the challenge is answered %q", got.Body)
		}
	}
}
