package ws

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"time"
)

// EarlyError is [ErrHandshake] of a client that sent something before its handshake was answered (RFC 6455, §4.1). The
// connection has been taken over from the server by then, so the answer is written to this, and Close sends it.
type EarlyError struct {
	conn   net.Conn
	header http.Header
	status int
	body   bytes.Buffer
}

func (e *EarlyError) Error() string {
	return "the client sent something before its handshake was answered"
}

// Is reports whether target is [ErrHandshake].
func (e *EarlyError) Is(target error) bool { return target == ErrHandshake }

// Header implements [http.ResponseWriter].
func (e *EarlyError) Header() http.Header { return e.header }

// WriteHeader implements [http.ResponseWriter].
func (e *EarlyError) WriteHeader(status int) { e.status = status }

// Write implements [http.ResponseWriter].
func (e *EarlyError) Write(b []byte) (int, error) { return e.body.Write(b) }

// Close sends the answer, and closes the connection when the client has, or soon.
func (e *EarlyError) Close() {
	e.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	answer := &http.Response{
		StatusCode: e.status, ProtoMajor: 1, ProtoMinor: 1, Header: e.header,
		Body: io.NopCloser(&e.body), ContentLength: int64(e.body.Len()), Close: true,
	}
	_ = e.conn.SetDeadline(time.Now().Add(closeTimeout)) // fails only on a closed connection, as what follows
	if answer.Write(e.conn) == nil {
		if half, is := e.conn.(interface{ CloseWrite() error }); is {
			_ = half.CloseWrite()
		}
		_, _ = io.Copy(io.Discard, e.conn) // see [Conn.Close]
	}
	_ = e.conn.Close()
}
