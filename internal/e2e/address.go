package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"

	"restante/internal/testgate"
)

var ports atomic.Int32

// FreeAddress is an address that a server can come back to. It is below the
// ports that systems hand out to clients, or one of these, calling a server that is
// down, could be given the server's own port and talk to itself.
func FreeAddress(t *testing.T) string {
	t.Helper()
	ports.CompareAndSwap(0, 20000+rand.Int32N(8000))
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", ports.Add(1))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if !testgate.Reserve(t, address) {
			continue // another test binary may be about to use it
		}
		return address
	}
	t.Fatal("no port is free")
	return ""
}
