package wormhole_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"restante/handlers"
	"restante/handlers/handlerstest"
)

// TestWormholeSlowReader is a client that stops reading while its peer adds thousands of messages, more bytes than systems
// keep for a connection: 4 MiB. It costs its peer no time and the server no memory, and it finds them all: when it comes
// back after it was cut, and when it reads on. If its peer waited for it, the test would not end.
func TestWormholeSlowReader(t *testing.T) {
	for name, cut := range map[string]bool{"and is cut": true, "and reads on": false} {
		t.Run(name, func(t *testing.T) {
			const messages = 2500
			body := strings.Repeat("ab", 2000)
			r := handlerstest.Start(t, handlerstest.Options{Limits: func(l *handlers.Limits) {
				if l.WriteTime = time.Hour; cut {
					l.WriteTime = 500 * time.Millisecond
				}
			}})
			conn, _, err := r.DialWebSocket(t.Context(), "/v1")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, _, err := conn.ReadMessage(); err != nil { // the welcome, so that the connection has its limit
				t.Fatal(err)
			}
			r.Handlers.Limits.WriteTime = time.Hour // the others read, but on a busy machine not always in time
			for _, command := range []string{`{"type":"bind","appid":"app","side":"slow"}`, `{"type":"open","mailbox":"m"}`} {
				if err := conn.WriteMessage(1, []byte(command)); err != nil {
					t.Fatal(err)
				}
			}
			r.WantRows(t, `SELECT side FROM mailbox_sides WHERE opened IS NOT NULL`, "slow") // and from now on it reads nothing

			peer := r.Bind(t, "app", "peer").Open("m")
			before, most := handlerstest.Heap(), uint64(0)
			for i := range messages {
				peer.Add(fmt.Sprint(i), body)
				if i%500 == 0 {
					most = max(most, handlerstest.Heap())
				}
			}
			if grown := int64(most) - int64(before); grown > 16<<20 {
				t.Errorf("the heap grew by %d bytes", grown)
			}
			t.Logf("the heap grew by %d KiB at most", (int64(most)-int64(before))>>10)
			if !cut {
				wantMessages(t, messages, func() (phase string) { return nextPhase(t, conn) })
				return
			}
			if !handlerstest.Eventually(t, func() bool { return strings.Contains(r.Logs.String(), "the peer does not read") }) {
				t.Error("it was not cut, or the log does not say why")
			}
			back := r.Bind(t, "app", "slow").Send("open", "mailbox", "m")
			wantMessages(t, messages, func() (phase string) { return back.Want("message").Text("phase") })
		})
	}
}

func wantMessages(t *testing.T, messages int, next func() (phase string)) {
	t.Helper()
	for i := range messages {
		if phase := next(); phase != fmt.Sprint(i) {
			t.Fatalf("message %d has the phase %s", i, phase)
		}
	}
}

// nextPhase is the phase of the next message that comes over a connection.
func nextPhase(t *testing.T, conn *websocket.Conn) string {
	t.Helper()
	for {
		var frame struct{ Type, Phase string }
		if err := conn.ReadJSON(&frame); err != nil {
			t.Fatal(err)
		}
		if frame.Type == "message" {
			return frame.Phase
		}
	}
}
