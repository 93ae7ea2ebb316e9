package bench

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// connection is an HTTP/1.1 connection with one request at a time. It does as little as it can: it shares the machine
// with the server, and an [http.Client] would be a large part of the cost.
type connection struct {
	net.Conn
	in   *bufio.Reader
	host string
	out  []byte
	stop func() bool
}

// dial connects. The connection is closed when ctx ends.
func dial(ctx context.Context, target *url.URL) (*connection, error) {
	address, secure := target.Host, scheme(target) == "https"
	if target.Port() == "" {
		address = net.JoinHostPort(target.Hostname(), map[bool]string{true: "443", false: "80"}[secure])
	}
	var conn net.Conn
	var err error
	if secure {
		conn, err = new(tls.Dialer).DialContext(ctx, "tcp", address)
	} else {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return nil, err
	}
	c := &connection{Conn: conn, in: bufio.NewReaderSize(conn, 1024), host: target.Host}
	c.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	return c, nil
}

// ask sends a request and returns the response. Its body must be read before the next request.
func (c *connection) ask(method, path, header string, body []byte) (*http.Response, error) {
	c.out = fmt.Appendf(c.out[:0], "%s %s HTTP/1.1\r\nHost: %s\r\n%s", method, path, c.host, header)
	if body != nil {
		c.out = fmt.Appendf(c.out, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	c.out = append(append(c.out, '\r', '\n'), body...)
	if err := c.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return nil, err
	}
	if _, err := c.Write(c.out); err != nil {
		return nil, err
	}
	return http.ReadResponse(c.in, nil)
}

// do sends a request and returns the body of the response, which must be a success.
func (c *connection) do(method, path, header string, body []byte) ([]byte, error) {
	response, err := c.ask(method, path, header, body) //nolint:bodyclose // it is read to its end
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= http.StatusBadRequest {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, response.Status, answer)
	}
	return answer, nil
}

// hangUp closes the connection.
func (c *connection) hangUp() {
	c.stop()
	_ = c.Close()
}
