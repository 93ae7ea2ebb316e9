package wormhole_test

import (
	"testing"
	"time"

	"restante/handlers/handlerstest"
)

// TestWormholeQuietSocketIsPinged holds a socket on which nothing is said. Mobile networks and nginx cut one after 45 to
// 60 s of silence, so it is pinged every 25 s.
func TestWormholeQuietSocketIsPinged(t *testing.T) {
	handlerstest.Bubble(t, handlerstest.Options{}, func(t *testing.T, r *handlerstest.Server) {
		conn, _, err := r.DialWebSocket(t.Context(), "/v1")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.WriteMessage(1, []byte(`{"type":"bind","appid":"app","side":"quiet"}`)); err != nil {
			t.Fatal(err)
		}
		began, pings := time.Now(), []time.Duration{}
		answer := conn.PingHandler()
		conn.SetPingHandler(func(payload string) error {
			pings = append(pings, time.Since(began))
			return answer(payload)
		})
		_ = conn.SetReadDeadline(began.Add(5 * time.Minute))
		for err == nil {
			_, _, err = conn.ReadMessage()
		}
		if len(pings) != 12 {
			t.Fatalf("in five minutes it is pinged %d times: %v", len(pings), pings)
		}
		for i, at := range pings[1:] {
			if gap := at - pings[i]; gap < 24*time.Second || gap > 25*time.Second {
				t.Errorf("after a ping the next one comes %v later", gap)
			}
		}
	})
}
