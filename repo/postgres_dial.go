package repo

import (
	"context"
	"net"
	"time"
)

// timeoutDialer dials connections whose reads and writes time out, because the other end may
// have vanished without closing the connection.
type timeoutDialer struct{ timeout time.Duration }

// Dial implements pq.Dialer.
func (w timeoutDialer) Dial(network, address string) (net.Conn, error) {
	return w.DialTimeout(network, address, postgresConnectTimeout)
}

// DialTimeout implements pq.Dialer.
func (w timeoutDialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return w.DialContext(ctx, network, address)
}

// DialContext implements pq.DialerContext.
func (w timeoutDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, postgresConnectTimeout)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return timeoutConn{c, w.timeout}, nil
}

type timeoutConn struct {
	net.Conn
	timeout time.Duration
}

// Read fails if nothing arrives within the timeout.
func (c timeoutConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write fails if the database accepts nothing within the timeout.
func (c timeoutConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
