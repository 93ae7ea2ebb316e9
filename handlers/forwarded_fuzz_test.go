package handlers_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"restante/rendezvous"
)

// FuzzForwarded has a proxy name its client. Only a trusted proxy is believed, it can name only what stands in its
// header, and what it says last goes before everything that its client made it say.
func FuzzForwarded(f *testing.F) {
	for _, header := range []string{
		"", "198.51.100.7", "198.51.100.7, 10.0.0.2", "10.0.0.1, 10.0.0.2", "2001:db8::7", "[2001:db8::7]:4711", "198.51.100.7:99999", "unknown", ",", " , ,,", "for=198.51.100.7", `for="[2001:db8::7]:4711";by=x`,
		"for=;for=1.2.3.4", "::ffff:198.51.100.7", "fe80::1%eth0", "1.2.3.4.5", "_hidden", "\t198.51.100.7", "for = 198.51.100.7", "FOR=198.51.100.7,for=10.0.0.3", "01.2.3.4", "[::1", "::1]",
	} {
		f.Add("203.0.113.9", header)
	}
	many := func(c *rendezvous.Config) { c.Limits.AddressSessions = 1 << 30 }
	const proxy, stranger, named = "10.0.0.1", "192.0.2.1", "198.51.100.99"
	servers := map[string]*testServer{
		"X-Forwarded-For": start(f, options{Proxies: []string{"10.0.0.0/8"}, Config: many}),
		"Forwarded":       start(f, options{Proxies: []string{"10.0.0.0/8"}, Config: many, ForwardedHeader: "Forwarded"}),
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		for name, w := range servers {
			seen := func(peer string, lines ...string) netip.Addr {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/sessions", strings.NewReader(hello()))
				r.RemoteAddr = peer + ":4711"
				r.Header.Set("Content-Type", "application/json")
				r.Header[name] = lines
				got := httptest.NewRecorder()
				w.Routes.ServeHTTP(got, r)
				var said struct{ Welcome struct{ YourAddress string } }
				if err := json.Unmarshal(got.Body.Bytes(), &said); err != nil || got.Code != http.StatusCreated {
					t.Fatalf("%s %q is answered %d %s (%v)", name, lines, got.Code, got.Body, err)
				}
				address, err := netip.ParseAddr(said.Welcome.YourAddress)
				if err != nil {
					t.Fatalf("%s %q makes the client's address %q", name, lines, said.Welcome.YourAddress)
				}
				return address
			}
			if got := seen(stranger, one, two); got.String() != stranger {
				t.Errorf("a stranger that says %q and %q is %v", one, two, got)
			}
			if got := seen(proxy, one, two); got.String() != proxy && !mentions(one+","+two, got) {
				t.Errorf("%s: %q and %q make the client %v", name, one, two, got)
			}
			last := named
			if name == "Forwarded" {
				last = "for=" + named
			}
			if got := seen(proxy, one, two, last); got.String() != named {
				t.Errorf("%s: %q and %q before %q make the client %v", name, one, two, last, got)
			}
		}
	})
}

// mentions reports whether an address stands anywhere in a text, in some form.
func mentions(text string, a netip.Addr) bool {
	for i := range text {
		for j := i + 2; j <= min(len(text), i+60); j++ {
			if got, err := netip.ParseAddr(text[i:j]); err == nil && got.Unmap().WithZone("") == a {
				return true
			}
		}
	}
	return false
}
