package handlers_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"restante/handlers"
)

// test_websocket: what is told before and with the welcome.
func TestWormholeConformanceWebSocket(t *testing.T) {
	r := serve(t, setup{proxies: []string{"127.0.0.0/8"}, forward: "X-Real-IP"})
	t.Run("test_server_version_string", func(t *testing.T) {
		conn, answer, err := r.knock(t.Context(), "/v1")
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
			c := r.call(t, tt.headers...)
			want := tt.want
			if strings.Contains(want, "%s") {
				want = fmt.Sprintf(want, port(c))
			}
			if got := fmt.Sprint(c.welcome.at("welcome/your-address")); got != want {
				t.Errorf("your-address is %s, want %s", got, want)
			}
		})
	}
}

// How a client gets to the protocol, and what others find on the way.
func TestWormholeUpgrade(t *testing.T) {
	r := serve(t, setup{})
	for _, path := range []string{"/v1", "/v1/", "/v1?x=1", "/v1/?"} {
		t.Run(path, func(t *testing.T) {
			conn, _, err := r.knock(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			listenTo(t, conn).ask("pong", "ping", "ping", 1)
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
		if _, answer, err := r.knock(t.Context(), "/"); err == nil || answer.StatusCode != http.StatusOK {
			t.Errorf("an upgrade of / is answered %v", answer)
		}
	})
	for why, headers := range map[string][]string{
		"no origin": nil, "an origin": {"Origin: https://winden.example"}, "no site": {"Origin: null"}, "nonsense": {"Origin: :"},
		"one subprotocol": {"Sec-WebSocket-Protocol: mqtt"}, "some": {"Sec-WebSocket-Protocol: mqtt, wormhole"},
	} {
		t.Run(why, func(t *testing.T) {
			conn, answer, err := r.knock(t.Context(), "/v1", headers...)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"} { // the client offers compression
				if got := answer.Header.Values(name); got != nil {
					t.Errorf("%s is %q", name, got)
				}
			}
			listenTo(t, conn)
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
	r.call(t).ask("pong", "ping", "ping", 1)
}

// upgrade adds what a client asks for a socket with.
func upgrade(r *request) *request {
	return r.with("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
}

// More sockets than an address may have are refused before they are any; who leaves makes room.
func TestWormholeSocketsOfAnAddress(t *testing.T) {
	r := serve(t, setup{limits: func(l *handlers.Limits) { l.Sockets = 3 }, proxies: []string{"127.0.0.1/32"}, forward: "X-Real-IP"})
	var open []*caller
	for range 3 {
		open = append(open, r.call(t))
	}
	for range 3 {
		got := upgrade(r.anonymous(t).get("/v1")).refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED").says("Retry-After", "1")
		if !strings.HasPrefix(got.header.Get("Content-Type"), "application/problem+json") {
			t.Errorf("it is answered with %s", got.header)
		}
	}
	r.call(t, "X-Real-IP: 192.0.2.7").ask("pong", "ping", "ping", 1) // another address
	open[0].ask("pong", "ping", "ping", 1)
	// The 64 bits of an IPv6 client's own network are all its own.
	for i := range 3 {
		r.call(t, fmt.Sprintf("X-Real-IP: 2001:db8::%d", i))
	}
	if conn, answer, err := r.knock(t.Context(), "/v1", "X-Real-IP: 2001:db8::ffff"); err == nil || answer.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a fourth of a network is answered %v", answer)
		_ = conn.Close()
	}
	r.call(t, "X-Real-IP: 2001:db8:0:1::1")
	// A handshake that fails takes no room.
	open[0].leave()
	if !eventually(t, func() bool {
		return upgrade(r.anonymous(t).get("/v1")).with("-Sec-WebSocket-Key").send().status == http.StatusBadRequest
	}) {
		t.Fatal("who leaves makes no room")
	}
	for range 3 {
		upgrade(r.anonymous(t).get("/v1")).with("-Sec-WebSocket-Key").refused(http.StatusBadRequest, "INVALID_REQUEST")
	}
	r.call(t)
}

// The client is told about a frame that is too large, and then the socket is closed. A client that still sends gets both.
func TestWormholeFrameTooLarge(t *testing.T) {
	r := serve(t, setup{limits: func(l *handlers.Limits) { l.Body = 100 << 10 }})
	for _, size := range []int{100<<10 + 1, 1 << 20, 32 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			other := r.bind(t, "app", "b")
			c := r.bind(t, "app", "a")
			sent := make(chan error, 1)
			go func() {
				sent <- c.conn.WriteMessage(websocket.TextMessage, []byte(`{"type": "ping", "ping": "`+strings.Repeat("x", size-28)+`"}`))
			}()
			c.last = `{}`
			c.error("message too large")
			c.sentAway(websocket.CloseMessageTooBig)
			_ = c.conn.Close()
			if err := <-sent; err != nil {
				t.Log(err) // it may have been cut
			}
			other.ask("pong", "ping", "ping", 1)
		})
	}
	t.Run("at the limit", func(t *testing.T) {
		c := r.bind(t, "app", "a").opens("m")
		body := strings.Repeat("x", 64<<10)
		frame := `{"type":"add","phase":"p","id":"0001","body":"` + body + `"}`
		c.write(websocket.TextMessage, frame[:len(frame)-1]+strings.Repeat(" ", 100<<10-len(frame))+"}")
		c.acked(`"0001"`)
		c.hears(body)
	})
}

// A client that does not bind in time is disconnected, whatever else it sends.
func TestWormholeIdentify(t *testing.T) {
	limit := handlers.DefaultLimits().Identify
	for why, chatter := range map[string]func(*caller){
		"silent":  func(*caller) {},
		"pings":   func(c *caller) { _ = c.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second)) },
		"pongs":   func(c *caller) { _ = c.conn.WriteControl(websocket.PongMessage, nil, time.Now().Add(time.Second)) },
		"unbound": func(c *caller) { _ = c.conn.WriteMessage(websocket.TextMessage, []byte(`{"type": "list"}`)) },
	} {
		t.Run(why, func(t *testing.T) {
			bubble(t, setup{}, func(t *testing.T, r *relay) {
				c := r.call(t)
				start, done := time.Now(), make(chan struct{})
				c.conn.SetCloseHandler(func(int, string) error { return nil }) // and does not say goodbye
				go func() {
					defer close(done)
					for range 100 {
						chatter(c)
						elapse(time.Second / 10)
					}
				}()
				for {
					a := <-c.wire
					var closed *websocket.CloseError
					if a.err == nil {
						continue
					}
					if !errors.As(a.err, &closed) || closed.Code != websocket.ClosePolicyViolation || time.Since(start) != limit {
						t.Errorf("it ends with %v after %v", a.err, time.Since(start))
					}
					break
				}
				c.ended = true
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if r.door.Wait(ctx); time.Since(start) > limit+2*time.Second {
					t.Errorf("the socket is there for %v", time.Since(start))
				}
				<-done
			})
		})
	}
	t.Run("who binds may stay", func(t *testing.T) {
		bubble(t, setup{}, func(t *testing.T, r *relay) {
			c := r.bind(t, "app", "a")
			elapse(10 * limit)
			c.quiet()
		})
	})
}

func port(c *caller) string {
	_, port, _ := strings.Cut(c.conn.LocalAddr().String(), ":")
	return port
}
