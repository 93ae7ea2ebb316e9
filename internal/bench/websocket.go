package bench

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// buffers are shared by the sockets, which need one only while they write.
var buffers sync.Pool

// wsConn is a WebSocket. One goroutine reads from it.
type wsConn struct {
	*websocket.Conn
	saying   sync.Mutex
	messages chan string // bodies of the other side
	answers  chan []byte // whatever was asked for
	failed   chan struct{}
	why      error           // once failed is closed
	gone     context.Context //nolint:containedctx // ends when nothing listens any more
	drop     context.CancelFunc
}

// dialWebSocket connects, and passes each message to handle until that fails.
func dialWebSocket(ctx context.Context, target *url.URL, path string, handle func(*wsConn, []byte) error) (*wsConn, error) {
	u := *target
	u.Scheme, u.Path = map[string]string{"http": "ws", "https": "wss"}[scheme(target)], path
	dialer := websocket.Dialer{HandshakeTimeout: answerTimeout, ReadBufferSize: 1024, WriteBufferSize: 1024, WriteBufferPool: &buffers}
	conn, response, err := dialer.DialContext(ctx, u.String(), nil) //nolint:bodyclose // the dialer has read it
	if err != nil {
		if response != nil {
			return nil, fmt.Errorf("GET %s: %s", path, response.Status)
		}
		return nil, err
	}
	w := &wsConn{Conn: conn, messages: make(chan string, 64), answers: make(chan []byte, 64), failed: make(chan struct{})}
	w.gone, w.drop = context.WithCancel(ctx)
	context.AfterFunc(w.gone, func() { _ = conn.Close() }) //nolint:contextcheck // it is a child of ctx
	go func() {
		defer close(w.failed)
		for w.why == nil {
			var text []byte
			if _, text, w.why = conn.ReadMessage(); w.why == nil {
				w.why = handle(w, text)
			}
		}
	}()
	return w, nil
}

// send sends a text message.
func (w *wsConn) send(text []byte) error {
	w.saying.Lock()
	defer w.saying.Unlock()
	return w.WriteMessage(websocket.TextMessage, text)
}

// receive waits for the next message of the other side.
func (w *wsConn) receive() (string, error) { return next(w, w.messages) }

// answer waits for the next answer.
func (w *wsConn) answer() ([]byte, error) { return next(w, w.answers) }

// next waits for what the reader passes on.
func next[T any](w *wsConn, from <-chan T) (T, error) {
	select {
	case value := <-from:
		return value, nil
	default:
	}
	late := time.NewTimer(answerTimeout)
	defer late.Stop()
	var none T
	select {
	case value := <-from:
		return value, nil
	case <-w.failed:
		select {
		case value := <-from: // which came before it
			return value, nil
		default:
			return none, w.why
		}
	case <-late.C:
		return none, fmt.Errorf("nothing came within %v", answerTimeout)
	}
}

// pass passes a value on.
func pass[T any](w *wsConn, to chan<- T, value T) error {
	select {
	case to <- value:
		return nil
	case <-w.gone.Done():
		return w.gone.Err()
	}
}

// idle waits until the connection ends.
func (w *wsConn) idle() error {
	<-w.failed
	return w.why
}

func (w *wsConn) hangUp() { w.drop() }
