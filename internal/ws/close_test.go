package ws_test

import (
	"errors"
	"testing"

	"github.com/gorilla/websocket"

	"restante/internal/testclient"
	"restante/internal/ws"
)

// A peer that goes on sending still receives all that it was sent last, and then the end of the connection: what is
// unread when a connection is closed has the system reset it, and drop the rest.
func TestAPeerThatGoesOnSendingReceivesTheCloseFrame(t *testing.T) {
	for name, c := range map[string]struct {
		sent []byte
		err  error // of reading it, if the server sends the close frame itself
		code int
		last string
	}{
		"a message that is too large": {testclient.TextFrame("more than ten bytes"), ws.ErrTooLarge, websocket.CloseMessageTooBig, "last words"},
		"a frame with a reserved bit": {[]byte{0xc2, 0x80, 0, 0, 0, 0}, nil, websocket.CloseProtocolError, ""}, // RFC 6455, §5.2
		"a frame without a mask":      {[]byte{0x82, 0}, nil, websocket.CloseProtocolError, ""},
		"a bad frame in a message":    {[]byte{0x02, 0x80, 0, 0, 0, 0, 0xc2, 0x80, 0, 0, 0, 0}, nil, websocket.CloseProtocolError, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := openTCP(t, ws.Options{MaxMessage: 10})
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, err := p.Read()
				if c.err != nil {
					if !errors.Is(err, c.err) {
						t.Errorf("reading ended with %v", err)
					}
					_ = p.Send([]byte(c.last))
					p.SendClose(&ws.CloseError{Code: c.code, Reason: "because"})
				}
				_ = p.Conn.Close()
			}()
			if last := testclient.WantEndBehind(t, p.client, c.sent, c.code); last != c.last {
				t.Errorf("the last message is %q", last)
			}
			<-ended
		})
	}
}
