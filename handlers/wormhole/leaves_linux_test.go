package wormhole_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"restante/handlers/handlerstest"
	"restante/internal/testclient"
)

// What was said before the connection was dropped is done.
func TestWormholeAddsBeforeItLeaves(t *testing.T) {
	t.Parallel()
	r := handlerstest.Start(t, handlerstest.Options{})
	ada, bob := r.Bind(t, "app", "ada").Open("box"), r.Bind(t, "app", "bob").Open("box")
	for i := range 50 {
		ada.Write(1, fmt.Sprintf(`{"type": "add", "phase": "talk", "body": "%d"}`, i))
	}
	waitUntilSent(t, ada)
	ada.Drop()
	for i := range 50 {
		bob.WantMessages(fmt.Sprint(i))
	}
}

// waitUntilSent waits until all that a client wrote has arrived at the server's system. Where a client has not read all that
// came, closing the connection resets it, and what its own system has not sent by then is lost.
func waitUntilSent(t *testing.T, c *testclient.Wormhole) {
	t.Helper()
	raw, err := c.Conn.NetConn().(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(testclient.Limit); ; {
		var left int
		var failed error
		if err := raw.Control(func(fd uintptr) { left, failed = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); err != nil {
			t.Fatal(err)
		}
		switch {
		case failed != nil:
			t.Fatal(failed)
		case left == 0:
			return
		case time.Now().After(deadline):
			t.Fatalf("%d bytes are not sent", left)
		}
		<-time.After(time.Millisecond)
	}
}
