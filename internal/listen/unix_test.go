package listen_test

import (
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"restante/internal/listen"
)

// socketPath is short: a test's own directory may be too long for a socket.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "listen") //nolint:usetesting // as said
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "r.sock")
}

func TestUnixSocket(t *testing.T) {
	path := socketPath(t)
	l := open(t, listen.Config{Plain: []string{"unix:" + path}, SocketMode: 0o620})
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode(); got != fs.ModeSocket|0o620 {
		t.Errorf("its mode is %v, want 0620", got)
	}
	if l.Public() || l.Loopback() {
		t.Error("a Unix socket counts as a network address")
	}
	if err := connect(t, "unix", path); err != nil {
		t.Fatal(err)
	}
	conn, err := l.All()[0].Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if host, _, err := net.SplitHostPort(conn.RemoteAddr().String()); host != "127.0.0.1" || err != nil {
		t.Errorf("the client's address is %v, want 127.0.0.1", conn.RemoteAddr())
	}
	l.Close()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after closing, the file: %v, want none", err)
	}
}

// TestUnixSocketOfAnother checks that a server leaves the file of another one that has taken its place.
func TestUnixSocketOfAnother(t *testing.T) {
	path := socketPath(t)
	first := open(t, listen.Config{Plain: []string{"unix:" + path}})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second := open(t, listen.Config{Plain: []string{"unix:" + path}})
	first.Close()
	first.Close() // as a server does that has ended
	if err := connect(t, "unix", path); err != nil {
		t.Errorf("the second server: %v", err)
	}
	second.Close()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after closing the second, the file: %v, want none", err)
	}
}

func TestStaleSocket(t *testing.T) {
	t.Run("is replaced", func(t *testing.T) {
		path := socketPath(t)
		old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		old.SetUnlinkOnClose(false)
		_ = old.Close()
		open(t, listen.Config{Plain: []string{"unix://" + path}})
		if err := connect(t, "unix", path); err != nil {
			t.Error(err)
		}
	})
	t.Run("is not replaced while a server answers on it", func(t *testing.T) {
		path := socketPath(t)
		first := open(t, listen.Config{Plain: []string{"unix:" + path}})
		if _, err := listen.Open(t.Context(), listen.Config{Plain: []string{"unix:" + path}}); err == nil || !strings.Contains(err.Error(), "another server") {
			t.Errorf("%v, want that another server is running", err)
		}
		conn, err := first.All()[0].Accept() // the second one's question
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		if err := connect(t, "unix", path); err != nil {
			t.Errorf("the first server: %v", err)
		}
	})
	t.Run("is not replaced if it is no socket", func(t *testing.T) {
		path := socketPath(t)
		write(t, path, []byte("precious"))
		if _, err := listen.Open(t.Context(), listen.Config{Plain: []string{"unix:" + path}}); err == nil || !strings.Contains(err.Error(), "no socket") {
			t.Errorf("%v, want that it is no socket", err)
		}
		if text, err := os.ReadFile(path); string(text) != "precious" || err != nil {
			t.Errorf("the file holds %q, %v", text, err)
		}
	})
}

// TestUnixSocketsAreNotCounted holds what docs/operations.md says: behind a Unix socket is a proxy, and no limit of connections
// counts what it opens.
func TestUnixSocketsAreNotCounted(t *testing.T) {
	path := socketPath(t)
	b := &listen.Budget{PerAddress: 1, Total: 1, Log: slog.New(slog.DiscardHandler)}
	l := open(t, listen.Config{Plain: []string{"unix:" + path}, Budget: b})
	for range 3 {
		client, err := new(net.Dialer).DialContext(t.Context(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		served, err := l.All()[0].Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer served.Close()
	}
	if n := b.Refused.Load(); n != 0 {
		t.Errorf("%d were refused", n)
	}
}
