package handlers_test

import (
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"restante/handlers"
	"restante/internal/testclient"
)

// A client that goes on sending is told why its socket ends, before it has identified itself and after.
func TestASocketTellsAClientThatGoesOnSendingWhyItEnds(t *testing.T) {
	for name, c := range map[string]struct {
		identified bool
		frames     []byte
		code       int
		last       string
	}{
		"a first message that is invalid":   {false, testclient.TextFrame(`{}`), 4400, "INVALID_REQUEST"},
		"a first message that is too large": {false, testclient.TextFrame(strings.Repeat("x", 100<<10+1)), websocket.CloseMessageTooBig, "PAYLOAD_TOO_LARGE"},
		"a first frame without a mask":      {false, []byte{0x81, 0}, websocket.CloseProtocolError, ""},
		"an invalid message":                {true, testclient.TextFrame(`{"ack": -1}`), 4400, "INVALID_REQUEST"},
		"a frame without a mask":            {true, []byte{0x81, 0}, websocket.CloseProtocolError, "heartbeat"},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, options{Limits: func(l *handlers.Limits) { l.Body = 100 << 10 }})
			var conn *websocket.Conn
			if c.identified {
				conn = w.begin(t, "app", "a").connects("").conn
			} else {
				l, _ := w.upgrade(t, nil)
				conn = l.conn
			}
			if last := testclient.WantEndBehind(t, conn, c.frames, c.code); !strings.Contains(last, c.last) {
				t.Errorf("the last message is %s", last)
			}
		})
	}
}
