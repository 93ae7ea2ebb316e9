package e2e_test

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"restante/internal/e2e"
)

// TestSignalsWhileItStarts holds that a server that is still opening what it needs takes signals as usual: a hangup has it
// read its files again once it serves, and a stop is no failure.
func TestSignalsWhileItStarts(t *testing.T) {
	t.Parallel()
	t.Run("hangup", func(t *testing.T) {
		t.Parallel()
		rules := filepath.Join(t.TempDir(), "rules.yaml")
		pipe(t, rules)
		s := e2e.NewServer(t, "--rules="+rules, "--drain=0s")
		s.Start()
		first := reader(t, s, rules)
		s.Signal(syscall.SIGHUP)
		pipe(t, rules) // another one: the server has the first still open for a moment after it was fed
		feed(t, first, "")
		second := reader(t, s, rules) // which only a hangup brings about
		feed(t, second, "- message: Be kind.\n")
		e2e.Eventually(t, "the rules are read again", func() bool { return strings.Contains(s.Output.Latest(), `"rules":1`) })
		s.Signal(syscall.SIGTERM)
		if code := s.Wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("stop", func(t *testing.T) {
		t.Parallel()
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		s := e2e.NewServer(t)
		s.Database = "postgres://user@" + silent.Addr().String() + "/x"
		s.Start()
		waiting, err := silent.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer waiting.Close()
		s.Signal(syscall.SIGTERM)
		if code := s.Wait(); code != 0 || !s.Logged("stopped while it was starting") {
			t.Errorf("exit code %d\n%s", code, s.Output.Latest())
		}
	})
}

// pipe makes a named pipe, in the place of the one that is there.
func pipe(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}

// reader waits until a server reads a named pipe, and returns the end that is written to.
func reader(t *testing.T, s *e2e.Server, path string) (end *os.File) {
	t.Helper()
	e2e.Eventually(t, path+" is read", func() bool {
		if s.Exited() {
			t.Fatalf("the server ended: %s", s.Output.Latest())
		}
		var err error
		end, err = os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		return err == nil
	})
	return end
}

// feed writes all that is to be read from a pipe.
func feed(t *testing.T, end io.WriteCloser, text string) {
	t.Helper()
	if _, err := io.WriteString(end, text); err != nil {
		t.Fatal(err)
	}
	if err := end.Close(); err != nil {
		t.Fatal(err)
	}
}
