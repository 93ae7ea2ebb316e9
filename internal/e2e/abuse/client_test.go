package abuse_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// client is a client of the server behind a trusted proxy, which names its address. Any goroutine may use it.
type client struct {
	server  *e2e.Server
	address string
	app     string
	refused atomic.Int64 // how often it was answered 429

	mu   sync.Mutex
	last string // what it was told last that it did not want, for the test that hangs
}

// proxied holds the connections of the proxy, which all clients share.
var proxied = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// ask sends a request. Without an answer, the status is 0.
func (c *client) ask(ctx context.Context, method, path, credentials, body string) testclient.Answer {
	header := http.Header{"X-Forwarded-For": {c.address}}
	if credentials != "" {
		header.Set("Authorization", credentials)
	}
	a, err := testclient.Exchange(ctx, proxied, method, c.server.URL()+path, header, body)
	if a.Status == http.StatusTooManyRequests {
		c.refused.Add(1)
	}
	if err != nil || a.Status >= http.StatusBadRequest {
		c.noteTold(fmt.Sprintf("%s %s: %d %s %v", method, path, a.Status, a.Body, err))
	}
	return a
}

func (c *client) noteTold(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = what
}

func (c *client) told() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// begin begins a session. It returns its credentials, or "" if it was refused.
func (c *client) begin(ctx context.Context) string {
	a := c.ask(ctx, http.MethodPost, "/v1/sessions", "", handshake(c.app))
	if a.Status != http.StatusCreated {
		return ""
	}
	id := member(a.Body, "sessionId")
	c.server.Secret(id)
	return "Bearer " + id
}

func handshake(app string) string {
	return fmt.Sprintf(`{"protocolVersion":"1","appId":%q,"expectedSessionState":{"nextExpectedSeq":0,"nextSentSeq":0}}`, app)
}

// keyed returns the credentials of a client without a session.
func (c *client) keyed(name string) string {
	return "Basic " + base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s:%s-secret-of-many-letters", c.app, name))
}

// id returns what stands for the client's address in the log now.
func (c *client) id(t *testing.T) string {
	t.Helper()
	a := c.ask(t.Context(), http.MethodPost, "/v1/sessions", "", handshake(c.app))
	var said struct {
		AddressID string
		Welcome   struct{ AddressID string }
	}
	if err := json.Unmarshal(a.Body, &said); err != nil || said.AddressID+said.Welcome.AddressID == "" {
		t.Fatalf("a client is not told its address: %d %s", a.Status, a.Body)
	}
	return said.AddressID + said.Welcome.AddressID
}

// upgrade opens a WebSocket, or returns nil.
func (c *client) upgrade(ctx context.Context, path string, dialer *websocket.Dialer) *websocket.Conn {
	conn, response, err := dialer.DialContext(ctx, "ws://"+c.server.Address+path, http.Header{"X-Forwarded-For": {c.address}})
	if response != nil {
		defer response.Body.Close()
		if response.StatusCode == http.StatusTooManyRequests {
			c.refused.Add(1)
		}
	}
	if err != nil {
		c.noteTold(err.Error())
		return nil
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() }) // which ends a read
	return conn
}

// member returns a text in a JSON object.
func member(body []byte, name string) string {
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil {
		return ""
	}
	text, _ := members[name].(string)
	return text
}
