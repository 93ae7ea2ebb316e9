package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"restante/internal/testclient"
)

// Ask asks a server once, on a connection of its own.
func Ask(t *testing.T, method, url string, header http.Header, body ...string) testclient.Answer {
	t.Helper()
	a, err := testclient.Exchange(t.Context(), testclient.OneShot, method, url, header, strings.Join(body, ""))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// DialWebSocket opens a WebSocket; the status is 0 if there is no answer.
func DialWebSocket(url string, header http.Header) (conn *websocket.Conn, status int, err error) {
	conn, response, err := websocket.DefaultDialer.Dial(url, header)
	if response != nil {
		defer response.Body.Close()
		status = response.StatusCode
	}
	return conn, status, err
}
