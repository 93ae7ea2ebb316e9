package ws_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"restante/internal/idleconn"
	"restante/internal/leaks"
	"restante/internal/ws"
)

func TestMain(m *testing.M) {
	os.Exit(leaks.Run(m))
}

// patience is how long a test waits for something in real time.
const patience = 4 * time.Minute

// pair is the two ends of a connection.
type pair struct {
	*ws.Conn
	client *websocket.Conn
	writes atomic.Int64  // how often the server has written to the network
	cut    chan struct{} // closed when the server has cut its peer off
	slow   atomic.Bool   // and it was because the peer does not read
	broken atomic.Bool   // what the server writes fails, as if its peer had left
	late   func()        // called when a read has timed out, before the server knows; nil is not called
}

// one is a listener of one connection.
type one struct {
	conn chan net.Conn
	end  chan struct{}
}

func (l *one) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.end:
		return nil, net.ErrClosed
	}
}

func (l *one) Close() error { close(l.end); return nil }

func (l *one) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// serverEnd is the end of a connection that the server has.
type serverEnd struct {
	net.Conn
	pair *pair
}

func (e serverEnd) Write(b []byte) (int, error) {
	if e.pair.broken.Load() {
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
	}
	e.pair.writes.Add(1)
	return e.Conn.Write(b)
}

func (e serverEnd) Read(b []byte) (int, error) {
	n, err := e.Conn.Read(b)
	if e.pair.late != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		e.pair.late()
	}
	return n, err
}

// open makes a connection of two pipes, for a bubble.
func open(t *testing.T, options ws.Options) *pair {
	t.Helper()
	p := &pair{cut: make(chan struct{})}
	mine, theirs := net.Pipe()
	l := &one{make(chan net.Conn, 1), make(chan struct{})}
	l.conn <- serverEnd{theirs, p}
	p.connect(t, options, l, false, func(context.Context, string, string) (net.Conn, error) { return mine, nil })
	return p
}

// openTCP makes a connection that can wait without a goroutine, where the system allows it.
func openTCP(t *testing.T, options ws.Options) *pair {
	t.Helper()
	p := &pair{cut: make(chan struct{})}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.connect(t, options, l, true, func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	})
	return p
}

func (p *pair) connect(t *testing.T, options ws.Options, l net.Listener, idle bool, dial func(context.Context, string, string) (net.Conn, error)) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	options.Log = log
	options.Cancel = func() { close(p.cut) }
	options.Slow = func() { p.slow.Store(true) }
	if options.MaxMessage == 0 {
		options.MaxMessage = 1 << 20
	}
	if options.WriteTimeout == 0 {
		options.WriteTimeout = 10 * time.Second
	}
	if options.IdleTimeout == 0 {
		options.IdleTimeout = time.Hour
	}
	opened := make(chan *ws.Conn, 1)
	server := idleconn.NewServer(&http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := ws.Upgrade(w, r, nil, options)
		if err != nil {
			t.Error(err)
		}
		opened <- c
	})}, idleconn.Options{Log: log, Disabled: !idle})
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(l) }()
	client, answer, err := (&websocket.Dialer{NetDialContext: dial}).DialContext(t.Context(), "ws://restante.test/", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	p.client, p.Conn = client, <-opened
	t.Cleanup(func() {
		_ = p.client.Close()
		_ = p.Conn.Close()
		_ = server.Close()
		<-served
	})
}

// receives reads on the client's side until the connection ends, and passes messages on.
func (p *pair) receives() (messages <-chan string, ended <-chan error) {
	got, end := make(chan string, 1000), make(chan error, 1)
	go func() {
		for {
			_, raw, err := p.client.ReadMessage()
			if err != nil {
				end <- err
				return
			}
			got <- string(raw)
		}
	}()
	return got, end
}

// wantClose fails unless the connection ended with a close frame of this code.
func wantClose(t *testing.T, err error, code int) {
	t.Helper()
	var closed *websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != code {
		t.Errorf("the connection ended with %v, want %d", err, code)
	}
}
