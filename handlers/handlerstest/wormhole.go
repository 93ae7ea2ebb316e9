package handlerstest

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"restante/internal/testclient"
)

// DialWebSocket asks for a WebSocket, with these headers, written "Name: value". The caller closes what it gets.
func (w *Server) DialWebSocket(ctx context.Context, path string, headers ...string) (*websocket.Conn, *http.Response, error) {
	header := http.Header{}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		header.Add(name, value)
	}
	dialer := websocket.Dialer{
		NetDialContext:    func(ctx context.Context, _, _ string) (net.Conn, error) { return w.Dial(ctx) },
		EnableCompression: true, // to be refused
		Subprotocols:      header["Sec-Websocket-Protocol"],
	}
	header.Del("Sec-WebSocket-Protocol")
	return dialer.DialContext(ctx, "ws://restante.test"+path, header)
}

// Connect connects a wormhole client, which receives its welcome.
func (w *Server) Connect(t testing.TB, headers ...string) *testclient.Wormhole {
	t.Helper()
	conn, answer, err := w.DialWebSocket(t.Context(), "/v1", headers...)
	if err != nil {
		t.Fatalf("%v: %+v", err, answer)
	}
	return testclient.NewWormhole(t, conn)
}

// Bind connects a wormhole client and binds it to a side of an app.
func (w *Server) Bind(t testing.TB, app, side string) *testclient.Wormhole {
	t.Helper()
	c := w.Connect(t)
	c.Send("bind", "appid", app, "side", side)
	return c
}
