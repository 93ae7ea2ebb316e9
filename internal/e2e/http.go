package e2e

import (
	"context"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// Answer is what a server said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Ask asks a server once, on a connection of its own.
func Ask(t *testing.T, method, url string, header http.Header, body ...string) Answer {
	t.Helper()
	a, err := Exchange(t.Context(), OneShot, method, url, header, strings.Join(body, ""))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// OneShot makes a connection for each request.
var OneShot = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// Exchange sends a request and takes its whole answer in.
func Exchange(ctx context.Context, via *http.Client, method, url string, header http.Header, body string) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	maps.Copy(request.Header, header)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := via.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	whole, err := io.ReadAll(response.Body)
	return Answer{response.StatusCode, response.Header, whole}, err
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
