package handlers_test

import (
	"strings"
	"testing"
)

// A client may send nothing before its handshake is answered: RFC 6455, §4.1. If it does, it is told so.
func TestAHandshakeWithSomethingBehindItIsRefused(t *testing.T) {
	w := start(t, options{})
	for _, path := range []string{"/v1", "/v1/session/socket"} {
		begin := "GET " + path + " HTTP/1.1\r\nHost: restante.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
		for name, rest := range map[string]string{
			"a frame":         "\r\n\x81\x82\x00\x00\x00\x00{}",
			"many frames":     "\r\n" + strings.Repeat("\x81\x82\x00\x00\x00\x00{}", 30_000),
			"a body":          "Content-Length: 2\r\n\r\n{}",
			"a body of parts": "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		} {
			t.Run(path+" "+name, func(t *testing.T) {
				got := w.raw(t, begin+rest)
				if code := got.text("code"); got.status != 400 || code != "INVALID_REQUEST" {
					t.Errorf("it is answered %d %s", got.status, got.body)
				}
				if got.header.Get("Sec-WebSocket-Version") != "13" || got.header.Get("X-Request-ID") == "" {
					t.Errorf("the headers are %v", got.header)
				}
			})
		}
	}
	w.anonymous(t).get("/livez").want(200)
}
