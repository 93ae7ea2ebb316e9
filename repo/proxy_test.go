package repo_test

import (
	"context"
	"net"
	"sync"
	"testing"
)

// startProxy takes connections for a server until the test ends, and passes each on with pass, which closes both ends of it. It
// returns its address.
func startProxy(t *testing.T, server string, pass func(client, upstream net.Conn)) (address string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(err)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			upstream, err := new(net.Dialer).DialContext(context.Background(), "tcp", server)
			must(err)
			running.Go(func() { pass(client, upstream) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait() // the store is closed before, so its connections are
	})
	return l.Addr().String()
}

// relay copies bytes until one end is closed. It calls before with each part before it is passed on.
func relay(to, from net.Conn, before func()) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			before()
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
