package wormhole_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"restante/handlers"
	"restante/handlers/handlerstest"
	"restante/internal/rules"
	"restante/internal/testclient"
)

// A client that goes on sending is told why its connection ends, whatever the reason is.
func TestWormholeTellsAClientThatGoesOnSendingWhyItEnds(t *testing.T) {
	for name, c := range map[string]struct {
		before func(*handlerstest.Server)
		frames []byte
		code   int
		last   string
	}{
		"a message that is too large": {
			func(*handlerstest.Server) {},
			testclient.TextFrame(strings.Repeat("x", 100<<10+1)), websocket.CloseMessageTooBig, "message too large",
		},
		"rules that refuse it now": {
			func(r *handlerstest.Server) { setRules(r, "- address: 127.0.0.0/8\n  refuse: go away\n") },
			testclient.TextFrame(`{"type": "ping", "ping": 1}`), websocket.ClosePolicyViolation, "go away",
		},
		"a frame without a mask": {func(*handlerstest.Server) {}, []byte{0x81, 0}, websocket.CloseProtocolError, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := handlerstest.Start(t, handlerstest.Options{Limits: func(l *handlers.Limits) { l.Body = 100 << 10 }})
			conn, _, err := r.DialWebSocket(t.Context(), "/v1")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type": "bind", "appid": "app", "side": "a"}`)); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"welcome", "ack"} {
				if _, got, err := conn.ReadMessage(); err != nil || !strings.Contains(string(got), fmt.Sprintf("%q", want)) {
					t.Fatalf("%s comes (%v), want %s", got, err, want)
				}
			}
			c.before(r)
			if last := testclient.WantEndBehind(t, conn, c.frames, c.code); !strings.Contains(last, c.last) {
				t.Errorf("the last message is %s", last)
			}
		})
	}
}

// setRules applies rules from now on.
func setRules(r *handlerstest.Server, text string) {
	r.Helper()
	file := filepath.Join(r.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		r.Fatal(err)
	}
	read, err := rules.Read(file)
	if err != nil {
		r.Fatal(err)
	}
	r.Handlers.SetRules(read)
}
