// What HTTP decides for wormhole clients: how a request becomes a WebSocket, which address a client has, and how many
// connections. These tests need the HTTP client, whose answers are checked against the contract. The tests of the protocol
// are in handlers/wormhole.

package handlers_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"restante/handlers"
	"restante/handlers/handlerstest"
	"restante/internal/testclient"
)

// test_websocket: what is told before and with the welcome.
func TestWormholeConformanceWebSocket(t *testing.T) {
	r := start(t, options{Proxies: []string{"127.0.0.0/8"}, ForwardedHeader: "X-Real-IP"})
	t.Run("test_server_version_string", func(t *testing.T) {
		conn, answer, err := r.DialWebSocket(t.Context(), "/v1")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if got := answer.Header.Values("Server"); len(got) != 1 || !strings.Contains(got[0], "Magic Wormhole") {
			t.Errorf("Server is %q", got)
		}
	})
	for name, tt := range map[string]struct {
		headers []string
		want    string // with %s for the connection's own port
	}{
		"test_reflected_address": {nil, `map[ipv4:127.0.0.1 port:%s]`},
		"test_reflected_caddy":   {[]string{"X-Real-IP: 192.0.2.7", "X-Real-Port: 12345"}, `map[ipv4:192.0.2.7 port:12345]`},
		"test_reflected_caddyv6": {[]string{"X-Real-IP: ::1", "X-Real-Port: 12345"}, `map[ipv6:::1 port:12345]`},
	} {
		t.Run(name, func(t *testing.T) {
			c := r.Connect(t, tt.headers...)
			want := tt.want
			if strings.Contains(want, "%s") {
				want = fmt.Sprintf(want, port(c))
			}
			if got := fmt.Sprint(c.Welcome.At("welcome/your-address")); got != want {
				t.Errorf("your-address is %s, want %s", got, want)
			}
		})
	}
}

// How a client gets to the protocol, and what others find on the way.
func TestWormholeUpgrade(t *testing.T) {
	r := start(t, options{})
	for _, path := range []string{"/v1", "/v1/", "/v1?x=1", "/v1/?"} {
		t.Run(path, func(t *testing.T) {
			conn, _, err := r.DialWebSocket(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			testclient.NewWormhole(t, conn).Request("pong", "ping", "ping", 1)
			if strings.HasPrefix(path, "/v1/") {
				r.anonymous(t).get(path).want(http.StatusPermanentRedirect).says("Location", "../v1")
				return
			}
			page := r.anonymous(t).get(path).want(http.StatusOK)
			page.says("Server", "Magic Wormhole Mailbox (Restante test)").says("Content-Type", "text/html; charset=utf-8")
		})
	}
	t.Run("health checks of the reference server", func(t *testing.T) {
		got := r.anonymous(t).get("/").want(http.StatusOK).says("Content-Type", "text/plain; charset=utf-8")
		if string(got.body) != "Wormhole Relay\n" {
			t.Errorf("/ is %q", got.body)
		}
		page := r.anonymous(t).get("/").with("Accept: text/html,*/*;q=0.8").want(http.StatusOK).says("Content-Type", "text/html; charset=utf-8")
		if string(page.body) == "Wormhole Relay\n" {
			t.Error("a browser gets no page")
		}
		if _, answer, err := r.DialWebSocket(t.Context(), "/"); err == nil || answer.StatusCode != http.StatusOK {
			t.Errorf("an upgrade of / is answered %v", answer)
		}
	})
	for why, headers := range map[string][]string{
		"no origin": nil, "an origin": {"Origin: https://winden.example"}, "no site": {"Origin: null"}, "nonsense": {"Origin: :"},
		"one subprotocol": {"Sec-WebSocket-Protocol: mqtt"}, "some": {"Sec-WebSocket-Protocol: mqtt, wormhole"},
	} {
		t.Run(why, func(t *testing.T) {
			conn, answer, err := r.DialWebSocket(t.Context(), "/v1", headers...)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"} { // the client offers compression
				if got := answer.Header.Values(name); got != nil {
					t.Errorf("%s is %q", name, got)
				}
			}
			testclient.NewWormhole(t, conn)
		})
	}
	for why, change := range map[string][]string{
		"no version":              {"-Sec-WebSocket-Version"},
		"another version":         {"-Sec-WebSocket-Version", "Sec-WebSocket-Version: 8"},
		"no key":                  {"-Sec-WebSocket-Key"},
		"a key that is too short": {"-Sec-WebSocket-Key", "Sec-WebSocket-Key: AAAA"},
		"a key that is no base64": {"-Sec-WebSocket-Key", "Sec-WebSocket-Key: ////////////////////////=!"},
	} {
		t.Run(why, func(t *testing.T) {
			got := upgrade(r.anonymous(t).get("/v1")).with(change...).refused(http.StatusBadRequest, "INVALID_REQUEST")
			got.says("Sec-WebSocket-Version", "13") // as RFC 6455 has it
		})
	}
	for why, change := range map[string][]string{
		"no connection": {"-Connection"}, "a connection for something else": {"-Connection", "Connection: keep-alive"},
		"another protocol": {"-Upgrade", "Upgrade: h2c"}, "no protocol": {"-Upgrade"},
	} {
		t.Run(why, func(t *testing.T) { // it is no upgrade at all
			upgrade(r.anonymous(t).get("/v1")).with(change...).want(http.StatusOK).says("Content-Type", "text/html; charset=utf-8")
		})
	}
	t.Run("another method", func(t *testing.T) {
		upgrade(r.anonymous(t).post("/v1", "")).refused(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED")
	})
	r.Connect(t).Request("pong", "ping", "ping", 1)
}

// upgrade adds what a client asks for a socket with.
func upgrade(r *request) *request {
	return r.with("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
}

// 5.16 There: a proxy that sends X-Real-IP without X-Real-Port, as nginx does, gets a 500 for every
// socket; the header is believed from every sender; and an IPv4 address is written as an IPv6 one.
func TestWormholeBehindAProxy(t *testing.T) {
	for name, tt := range map[string]struct {
		proxies []string
		headers []string
		want    string
	}{
		"5.16 no port, no proxy is trusted":      {nil, []string{"X-Real-IP: 192.0.2.7"}, "map[ipv4:127.0.0.1 port:%s]"},
		"5.16 a port, no proxy is trusted":       {nil, []string{"X-Real-IP: 192.0.2.7", "X-Real-Port: 7"}, "map[ipv4:127.0.0.1 port:%s]"},
		"5.16 no port":                           {[]string{"127.0.0.1/32"}, []string{"X-Real-IP: 192.0.2.7"}, "map[ipv4:192.0.2.7 port:0]"},
		"5.16 a port that is none":               {[]string{"127.0.0.1/32"}, []string{"X-Real-IP: 192.0.2.7", "X-Real-Port: x"}, "map[ipv4:192.0.2.7 port:0]"},
		"5.16 a port that is too large":          {[]string{"127.0.0.1/32"}, []string{"X-Real-IP: 192.0.2.7", "X-Real-Port: 65536"}, "map[ipv4:192.0.2.7 port:0]"},
		"5.16 forwarded":                         {[]string{"127.0.0.1/32"}, []string{"X-Forwarded-For: 192.0.2.7, 127.0.0.1"}, "map[ipv4:192.0.2.7 port:0]"},
		"5.16 IPv6":                              {[]string{"127.0.0.1/32"}, []string{"X-Real-IP: 2001:db8::7"}, "map[ipv6:2001:db8::7 port:0]"},
		"5.16 IPv4 in IPv6":                      {[]string{"127.0.0.1/32"}, []string{"X-Real-IP: ::ffff:192.0.2.7"}, "map[ipv4:192.0.2.7 port:0]"},
		"5.16 another proxy is trusted":          {[]string{"192.0.2.0/24"}, []string{"X-Real-IP: 192.0.2.7"}, "map[ipv4:127.0.0.1 port:%s]"},
		"5.16 nonsense of a trusted proxy":       {[]string{"127.0.0.1/32"}, []string{"X-Real-IP: nonsense"}, "map[ipv4:127.0.0.1 port:%s]"},
		"5.16 the proxy itself":                  {[]string{"127.0.0.1/32"}, nil, "map[ipv4:127.0.0.1 port:%s]"},
		"5.16 nonsense, and no proxy is trusted": {nil, []string{"X-Real-IP: nonsense", "X-Real-Port: -1"}, "map[ipv4:127.0.0.1 port:%s]"},
		"5.16 no address, forwarded nowhere":     {[]string{"127.0.0.1/32"}, []string{"X-Forwarded-For: "}, "map[ipv4:127.0.0.1 port:%s]"},
	} {
		t.Run(name, func(t *testing.T) {
			forward := "X-Real-IP"
			if slices.ContainsFunc(tt.headers, func(h string) bool { return strings.HasPrefix(h, "X-Forwarded-For") }) {
				forward = ""
			}
			c := start(t, options{Proxies: tt.proxies, ForwardedHeader: forward}).Connect(t, tt.headers...)
			want := strings.Replace(tt.want, "%s", port(c), 1)
			if got := fmt.Sprint(c.Welcome.At("welcome/your-address")); got != want {
				t.Errorf("your-address is %s, want %s", got, want)
			}
		})
	}
}

// More sockets than an address may have are refused before they are any; who leaves makes room.
func TestWormholeSocketsOfAnAddress(t *testing.T) {
	r := start(t, options{Limits: func(l *handlers.Limits) { l.Sockets = 3 }, Proxies: []string{"127.0.0.1/32"}, ForwardedHeader: "X-Real-IP"})
	var open []*testclient.Wormhole
	for range 3 {
		open = append(open, r.Connect(t))
	}
	for range 3 {
		got := upgrade(r.anonymous(t).get("/v1")).refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED").says("Retry-After", "1")
		if !strings.HasPrefix(got.header.Get("Content-Type"), "application/problem+json") {
			t.Errorf("it is answered with %s", got.header)
		}
	}
	r.Connect(t, "X-Real-IP: 192.0.2.7").Request("pong", "ping", "ping", 1) // another address
	open[0].Request("pong", "ping", "ping", 1)
	// The 64 bits of an IPv6 client's own network are all its own.
	for i := range 3 {
		r.Connect(t, fmt.Sprintf("X-Real-IP: 2001:db8::%d", i))
	}
	if conn, answer, err := r.DialWebSocket(t.Context(), "/v1", "X-Real-IP: 2001:db8::ffff"); err == nil || answer.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a fourth of a network is answered %v", answer)
		_ = conn.Close()
	}
	r.Connect(t, "X-Real-IP: 2001:db8:0:1::1")
	// A handshake that fails takes no room.
	open[0].Drop()
	if !handlerstest.Eventually(t, func() bool {
		return upgrade(r.anonymous(t).get("/v1")).with("-Sec-WebSocket-Key").send().status == http.StatusBadRequest
	}) {
		t.Fatal("who leaves makes no room")
	}
	for range 3 {
		upgrade(r.anonymous(t).get("/v1")).with("-Sec-WebSocket-Key").refused(http.StatusBadRequest, "INVALID_REQUEST")
	}
	r.Connect(t)
}

func port(c *testclient.Wormhole) string {
	_, port, _ := strings.Cut(c.Conn.LocalAddr().String(), ":")
	return port
}
