package testclient

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// Limit is how long a client waits for anything before its test fails.
const Limit = 4 * time.Minute

// Received is a frame that a WebSocket received, or the error that ended it.
type Received struct {
	Kind int // websocket.TextMessage or websocket.BinaryMessage
	Data []byte
	Err  error
}

// Receive reads frames on a goroutine of its own, and answers pings on another one, because a pipe has no room for two
// writers. The last frame has the error that ended the connection. The function stop closes the connection and waits for
// both goroutines.
func Receive(conn *websocket.Conn) (frames <-chan Received, stop func()) {
	received, done := make(chan Received, 64), make(chan struct{})
	var reading sync.WaitGroup
	conn.SetPingHandler(func(payload string) error {
		reading.Go(func() { _ = conn.WriteControl(websocket.PongMessage, []byte(payload), time.Now().Add(time.Second)) })
		return nil
	})
	reading.Go(func() {
		for {
			kind, data, err := conn.ReadMessage()
			select {
			case received <- Received{kind, data, err}:
			case <-done:
				return
			}
			if err != nil {
				return
			}
		}
	})
	return received, sync.OnceFunc(func() {
		_ = conn.Close()
		close(done)
		reading.Wait()
	})
}

// TextFrame returns a text frame as a client sends it, with a mask of zeros: see RFC 6455, §5.2.
func TextFrame(text string) []byte {
	frame := binary.BigEndian.AppendUint64([]byte{0x81, 0x80 | 127}, uint64(len(text)))
	return append(append(frame, 0, 0, 0, 0), text...)
}

// WantEndBehind sends frames that end a connection, and behind them more than its server reads at a time, as one write.
// Then it receives messages, a close frame with this code, and the end of the connection, which must not be reset. It
// returns the last message.
func WantEndBehind(t testing.TB, conn *websocket.Conn, frames []byte, code int) (last string) {
	t.Helper()
	more := bytes.Repeat(TextFrame(strings.Repeat("x", 10_000)), 25)
	conn.SetCloseHandler(func(int, string) error { // unlike the default one, it tells that the connection was reset
		return conn.WriteControl(websocket.CloseMessage, nil, time.Now().Add(Limit))
	})
	if _, err := conn.NetConn().Write(append(frames, more...)); err != nil {
		t.Fatal(err)
	}
	for {
		_, message, err := conn.ReadMessage()
		if err == nil {
			last = string(message)
			continue
		}
		var closed *websocket.CloseError
		if !errors.As(err, &closed) || closed.Code != code {
			t.Errorf("after %.200s, the connection ended with %v, want %d", last, err, code)
		}
		if _, err := conn.NetConn().Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("after the close frame comes %v", err)
		}
		return last
	}
}
