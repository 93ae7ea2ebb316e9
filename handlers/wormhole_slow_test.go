package handlers_test

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"restante/handlers"
)

// TestWormholeSlowReader is a client that stops reading while its peer adds ten thousand
// messages: it is cut, at no cost to its peer or to the server's memory, and finds them all when it comes back.
func TestWormholeSlowReader(t *testing.T) {
	const messages = 10_000
	body := strings.Repeat("ab", 400)
	r := serve(t, setup{limits: func(l *handlers.Limits) { l.WriteTime = 500 * time.Millisecond }})
	conn, _, err := r.knock(t.Context(), "/v1")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.NetConn().(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{`{"type":"bind","appid":"app","side":"slow"}`, `{"type":"open","mailbox":"m"}`} {
		if err := conn.WriteMessage(1, []byte(command)); err != nil {
			t.Fatal(err)
		}
	}
	r.holds(t, `SELECT side FROM mailbox_sides WHERE opened IS NOT NULL`, "slow") // and from now on it reads nothing

	peer := r.bind(t, "app", "peer").opens("m")
	before, most := heap(), uint64(0)
	var worst time.Duration
	for i := range messages {
		began := time.Now()
		peer.add(fmt.Sprint(i), body)
		worst = max(worst, time.Since(began))
		if i%500 == 0 {
			most = max(most, heap())
		}
	}
	if !eventually(t, func() bool { return strings.Contains(r.logs.String(), "the peer does not read") }) {
		t.Error("it was not cut, or the log does not say why")
	}
	if grown := int64(most) - int64(before); grown > 16<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if worst > 5*time.Second {
		t.Errorf("its peer waited for %v", worst)
	}
	back := r.bind(t, "app", "slow").say("open", "mailbox", "m")
	for i := range messages {
		if m := back.hear("message"); m.text("phase") != fmt.Sprint(i) || m.text("body") != body || m.text("side") != "peer" {
			t.Fatalf("message %d is %.100s", i, m.raw)
		}
	}
	t.Logf("the heap grew by %d KiB at most, the peer waited %v at most", (int64(most)-int64(before))>>10, worst.Round(time.Millisecond))
}

// heap is what is in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
