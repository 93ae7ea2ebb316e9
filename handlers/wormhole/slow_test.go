package wormhole_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"restante/handlers"
	"restante/handlers/handlerstest"
)

// TestWormholeSlowReader is a client that stops reading while its peer adds thousands of
// messages, more bytes than the connection holds: it is cut, at no cost to its peer or to the server's memory, and finds them all when it comes back.
func TestWormholeSlowReader(t *testing.T) {
	const messages = 3000
	body := strings.Repeat("ab", 2000)
	r := handlerstest.Start(t, handlerstest.Options{Limits: func(l *handlers.Limits) { l.WriteTime = 500 * time.Millisecond }})
	conn, _, err := r.DialWebSocket(t.Context(), "/v1")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.NetConn().(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.ReadMessage(); err != nil { // the welcome, so that the connection has its limit
		t.Fatal(err)
	}
	// The others read, but on a busy machine not always in time.
	r.Handlers.Limits.WriteTime = handlers.DefaultLimits().WriteTime * 30
	for _, command := range []string{`{"type":"bind","appid":"app","side":"slow"}`, `{"type":"open","mailbox":"m"}`} {
		if err := conn.WriteMessage(1, []byte(command)); err != nil {
			t.Fatal(err)
		}
	}
	r.WantRows(t, `SELECT side FROM mailbox_sides WHERE opened IS NOT NULL`, "slow") // and from now on it reads nothing

	peer := r.Bind(t, "app", "peer").Open("m")
	before, most := handlerstest.Heap(), uint64(0)
	var worst time.Duration
	for i := range messages {
		began := time.Now()
		peer.Add(fmt.Sprint(i), body)
		worst = max(worst, time.Since(began))
		if i%500 == 0 {
			most = max(most, handlerstest.Heap())
		}
	}
	if !handlerstest.Eventually(t, func() bool { return strings.Contains(r.Logs.String(), "the peer does not read") }) {
		t.Error("it was not cut, or the log does not say why")
	}
	if grown := int64(most) - int64(before); grown > 16<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if worst > 5*time.Second {
		t.Errorf("its peer waited for %v", worst)
	}
	back := r.Bind(t, "app", "slow").Send("open", "mailbox", "m")
	for i := range messages {
		if m := back.Want("message"); m.Text("phase") != fmt.Sprint(i) || m.Text("body") != body || m.Text("side") != "peer" {
			t.Fatalf("message %d is %.100s", i, m.Raw)
		}
	}
	t.Logf("the heap grew by %d KiB at most, the peer waited %v at most", (int64(most)-int64(before))>>10, worst.Round(time.Millisecond))
}
