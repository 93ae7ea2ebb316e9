package e2e_test

import (
	"context"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// overSocket is a client of a server on a Unix socket.
func overSocket(t *testing.T, path string) *http.Client {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// TestUnixSocket has sessions talk over a Unix socket. Its file goes with the server, and one that a killed server left is
// replaced; `restante health` finds it.
func TestUnixSocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "e2e") //nolint:usetesting // a test's own directory may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "r.sock")
	s := e2e.Serve(t, "--listen=unix:"+path, "--socket-mode=0600", "--trusted-proxies=127.0.0.1/32", "--drain=100ms")
	if info, err := os.Stat(path); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Fatalf("the socket: %v, %v", info, err)
	}
	client := overSocket(t, path)
	ctx := e2e.Context(t)
	hello := `{"protocolVersion":"1","appId":"a","expectedSessionState":{"nextExpectedSeq":0,"nextSentSeq":0}}`
	a, err := testclient.Exchange(ctx, client, http.MethodPost, "http://localhost/v1/sessions", http.Header{"X-Forwarded-For": {"192.0.2.7"}}, hello)
	if err != nil || !strings.Contains(string(a.Body), `"yourAddress":"192.0.2.7"`) {
		t.Errorf("a client behind a proxy on the socket is not told its own address: %s %v", a.Body, err)
	}
	pairs := e2e.NewPairs(s, 4)
	for _, p := range pairs {
		for _, m := range p {
			m.HTTP = overSocket(t, path)
		}
	}
	talk := e2e.StartConversation(ctx, pairs)
	more := func() {
		t.Helper()
		said := talk.Said()
		e2e.Eventually(t, "they go on talking", func() bool {
			talk.MustGoOn(t)
			return talk.Said() > said+40
		})
	}
	more()
	for _, tell := range [][]string{{"health", "--url=unix:" + path}, {"health", "--listen=unix:" + path}} {
		if out, complaints, code := e2e.Run(t, nil, tell...); code != 0 || out != "ready\n" {
			t.Errorf("%v: %d %q %q", tell, code, out, complaints)
		}
	}
	if out, complaints, code := e2e.Run(t, []string{"RESTANTE_LISTEN=unix:" + path}, "health"); code != 0 || out != "ready\n" {
		t.Errorf("with the address in the environment: %d %q %q", code, out, complaints)
	}
	s.Kill()
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("this shows nothing: %v", err)
	}
	s.Start()
	more()
	talk.End(ctx, t)
	s.Signal(syscall.SIGTERM)
	if code := s.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// TestHealthOverTLS asks a server whose certificate is its own authority.
func TestHealthOverTLS(t *testing.T) {
	t.Parallel()
	s := serveEncrypted(t)
	url := "--url=https://" + s.address
	for _, trust := range []string{"--insecure", "--ca=" + s.cert} {
		if out, complaints, code := e2e.Run(t, nil, "health", url, trust); code != 0 || out != "ready\n" {
			t.Errorf("%s: %d %q %q", trust, code, out, complaints)
		}
	}
	if _, complaints, code := e2e.Run(t, nil, "health", url); code != 1 || !strings.Contains(complaints, "certificate") {
		t.Errorf("trusting no authority of our own: %d %q", code, complaints)
	}
}
