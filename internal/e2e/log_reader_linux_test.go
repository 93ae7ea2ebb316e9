package e2e_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"restante/internal/e2e"
	"restante/internal/logqueue"
)

// TestServesWithoutAReaderOfItsLog holds that a server serves, and stops as usual, whatever becomes of the program that reads
// its log.
func TestServesWithoutAReaderOfItsLog(t *testing.T) {
	t.Parallel()
	t.Run("it has ended", func(t *testing.T) {
		t.Parallel()
		s, log := logged(t)
		s.WaitReady()
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		ends(t, s)
	})
	t.Run("it does not read", func(t *testing.T) {
		t.Parallel()
		s, _ := logged(t, fillPipe)
		s.WaitReady()
		ends(t, s)
	})
	t.Run("it reads on", func(t *testing.T) {
		t.Parallel()
		s, log := logged(t, fillPipe)
		s.WaitReady()
		for range 2 * logqueue.MaxLines { // requests, each with a line at this level
			s.Get("/livez")
		}
		var text e2e.Output
		done := make(chan error, 1)
		go func() {
			_, err := io.Copy(&text, log)
			done <- err
		}()
		has := func(message string) bool { return strings.Contains(text.String(), `"msg":"`+message+`"`) }
		e2e.Eventually(t, "the log says that lines are missing", func() bool { return has("lines of the log are missing") })
		ends(t, s)
		if err := <-done; err != nil || !has("listening") || !has("stopped") {
			t.Errorf("the log does not begin and end as usual (%v)", err)
		}
	})
}

// logged starts a server that logs much, into a pipe that is prepared first. It returns the end that is read from.
func logged(t *testing.T, prepare ...func(*testing.T, *os.File)) (*e2e.Server, *os.File) {
	t.Helper()
	s := e2e.NewServer(t, "--log-level=debug", "--drain=0s")
	log, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	for _, f := range prepare {
		f(t, to)
	}
	s.Stderr = to
	s.Start()
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return s, log
}

// fillPipe fills a pipe, so that the next write into it waits for a reader.
func fillPipe(t *testing.T, pipe *os.File) {
	t.Helper()
	raw, err := pipe.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	line := bytes.Repeat([]byte{'\n'}, os.Getpagesize())
	var full error
	if err := raw.Control(func(fd uintptr) {
		for full == nil {
			_, full = syscall.Write(int(fd), line)
		}
	}); err != nil || !errors.Is(full, syscall.EAGAIN) {
		t.Fatal(err, full)
	}
}

// ends holds that a server answers, and then stops in good order.
func ends(t *testing.T, s *e2e.Server) {
	t.Helper()
	for range 3 {
		if a := s.Get("/livez"); a.Status != http.StatusOK {
			t.Errorf("it answers %d", a.Status)
		}
	}
	s.Signal(syscall.SIGTERM)
	if code := s.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
