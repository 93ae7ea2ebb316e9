package handlers_test

import (
	"net"
	"sync"
	"testing"
	"time"

	"restante/handlers/handlerstest"
)

func TestMain(m *testing.M) {
	contract() // not for the first time inside of a bubble
	handlerstest.Main(m)
}

// options say how a server differs from one without flags.
type options = handlerstest.Options

// testServer is a server under test. What it answers to a [client] is checked against the contract.
type testServer struct{ *handlerstest.Server }

func start(t testing.TB, s options) *testServer {
	t.Helper()
	return &testServer{handlerstest.Start(t, s)}
}

// bubble runs a test of a server in virtual time.
func bubble(t *testing.T, s options, test func(t *testing.T, w *testServer)) {
	t.Helper()
	handlerstest.Bubble(t, s, func(t *testing.T, w *handlerstest.Server) {
		t.Helper()
		test(t, &testServer{w})
	})
}

// dialRaw connects to the server, for a minute at most.
func (w *testServer) dialRaw(t testing.TB) net.Conn {
	t.Helper()
	conn, err := w.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// raw sends bytes as they are and reads one response: for what no HTTP client sends.
func (w *testServer) raw(t testing.TB, request string) *answer {
	t.Helper()
	conn := w.dialRaw(t)
	defer conn.Close()
	var sending sync.WaitGroup
	sending.Go(func() { _, _ = conn.Write([]byte(request)) }) // the server may refuse before it has read all
	a, err := readAnswer(conn, nil)
	if err != nil {
		t.Fatalf("%.60q: %v", request, err)
	}
	_ = conn.Close()
	sending.Wait()
	a.TB = t
	return a
}
