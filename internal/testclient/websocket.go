package testclient

import (
	"sync"
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
