package handlers_test

import (
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"restante/handlers"
)

// Pings that come one after the other count as requests, over each socket: the server answers them ever later, and does no
// more for a client than its rate. A ping now and then costs nothing.
func TestPingsCountAsRequests(t *testing.T) {
	const rate, burst, pings = 10, 20, 121
	connections := map[string]func(testing.TB, *testServer) *websocket.Conn{
		"session socket": func(t testing.TB, w *testServer) *websocket.Conn {
			l := w.begin(t, "app", "a").connects("")
			l.want("heartbeat")
			return l.conn
		},
		"wormhole": func(t testing.TB, w *testServer) *websocket.Conn {
			conn, answer, err := w.DialWebSocket(t.Context(), "/v1")
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"bind","appid":"app","side":"a"}`)); err != nil {
				t.Fatal(err)
			}
			return conn
		},
	}
	for name, connect := range connections {
		t.Run(name, func(t *testing.T) {
			bubble(t, options{Limits: func(l *handlers.Limits) { l.Rate, l.Burst = rate, burst }}, func(t *testing.T, w *testServer) {
				conn := connect(t, w)
				pongs := make(chan struct{})
				conn.SetPongHandler(func(string) error { pongs <- struct{}{}; return nil })
				ended := make(chan struct{})
				defer func() { _ = conn.Close(); <-ended }()
				go func() {
					defer close(ended)
					for {
						if _, _, err := conn.ReadMessage(); err != nil {
							return
						}
					}
				}()
				ping := func(n int) time.Duration {
					t.Helper()
					began := time.Now()
					go func() {
						for range n {
							_ = conn.WriteControl(websocket.PingMessage, nil, began.Add(time.Hour))
						}
					}()
					for range n {
						<-pongs
					}
					return time.Since(began)
				}
				pass(burst / rate * time.Second)
				for range 3 * burst {
					if took := ping(1); took != 0 {
						t.Fatalf("a ping is answered after %v", took)
					}
					pass(2 * time.Second)
				}
				took, want := ping(pings), time.Duration(pings-1-burst)*time.Second/rate
				if diff := (took - want).Abs(); diff > time.Millisecond {
					t.Errorf("%d pings are answered after %v, want %v", pings, took, want)
				}
			})
		})
	}
}
