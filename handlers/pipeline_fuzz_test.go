package handlers_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"restante/handlers"
	"restante/internal/testclient"
	"restante/rendezvous"
)

// FuzzPipelined sends a poll that waits without a goroutine, and behind it whatever there is: some of it before the
// poll waits, and the rest while it does. The poll is answered as if it stood alone, whatever comes behind it, and what
// comes behind it fails nothing in the server. SESSION stands for the session's id.
func FuzzPipelined(f *testing.F) {
	const get = "GET /v1/session HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer SESSION\r\n\r\n"
	for _, more := range []string{
		"", "\r\n", "G", get, get + get, "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + get, "GET / HTTP/1.0\r\n\r\n", "BREW / HTTP/1.1\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"POST /v1/nameplates HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer SESSION\r\nContent-Length: 2\r\n\r\n{}" + get, "POST /v1/nameplates HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"GET /v1/session HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "GET /v1/session/events?wait=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer SESSION\r\n\r\n",
		"\x16\x03\x01\x02\x00", strings.Repeat("a", 5000), "GET /" + strings.Repeat("b", 20000) + " HTTP/1.1\r\n\r\n", "GET /v1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n\x88\x80\x00\x00\x00\x00",
	} {
		f.Add([]byte(more), len(more)/2)
	}
	w := start(f, options{
		Config: func(c *rendezvous.Config) { c.Limits.AddressSessions = 1 << 30 },
		Limits: func(l *handlers.Limits) { l.Sockets = 1 << 30 },
	})
	f.Fuzz(func(t *testing.T, more []byte, before int) {
		more = more[:min(len(more), 64<<10)]
		before = min(max(before, 0), len(more))
		app := "fuzz-" + newID()
		me, other := w.begin(t, app, "me").in(t), w.begin(t, app, "other").in(t)
		me.open("m").want(http.StatusOK)
		other.open("m").want(http.StatusOK)
		more = bytes.ReplaceAll(more, []byte("SESSION"), []byte(me.id))
		before = min(before, len(more))
		conn := w.dialRaw(t)
		defer conn.Close()
		write := func(b []byte) {
			if _, err := conn.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		// The frame that other has opened the mailbox is acknowledged, so the poll waits.
		write(append(fmt.Appendf(nil, "GET /v1/session/events?ack=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", me.id), more[:before]...))
		if !eventuallyParked(t, w) {
			t.Fatal("the poll does not wait")
		}
		_, _ = conn.Write(more[before:]) // what is no HTTP may have ended the connection
		other.add("m", "p", "news").want(http.StatusCreated)
		in := bufio.NewReader(conn)
		first, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("the poll is not answered: %v", err)
		}
		defer first.Body.Close()
		body, err := io.ReadAll(first.Body)
		if err != nil || first.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(`"news"`)) {
			if !bytes.Contains(body, []byte(`"SUPERSEDED"`)) || !bytes.Contains(more, []byte("events")) {
				t.Fatalf("the poll is answered %d %s (%v)", first.StatusCode, body, err)
			}
		}
		if tcp, is := conn.(*net.TCPConn); is {
			_ = tcp.CloseWrite()
		}
		_ = conn.SetReadDeadline(time.Now().Add(testclient.Limit))
		rest, err := io.ReadAll(io.LimitReader(in, 4<<20))
		if timeout, is := err.(net.Error); is && timeout.Timeout() { //nolint:errorlint // a connection returns it as it is
			t.Fatalf("it neither answers nor ends: %.300q", rest)
		}
		for _, bad := range []string{"HTTP/1.1 500", `"INTERNAL"`, "goroutine ", "panic"} {
			if bytes.Contains(rest, []byte(bad)) {
				t.Fatalf("what comes behind is answered %.2000q", rest)
			}
		}
		if got, err := me.get("/v1/session").exchange(t.Context()); err != nil || got.status >= http.StatusInternalServerError {
			t.Fatalf("the server is not as before: %v (%v)", got, err)
		}
	})
}

// eventuallyParked waits until a poll is held.
func eventuallyParked(t *testing.T, w *testServer) bool {
	t.Helper()
	for late := time.After(testclient.Limit); w.Service.Stats().Parked.Load() == 0; {
		select {
		case <-late:
			return false
		case <-time.After(time.Millisecond):
		}
	}
	return true
}
