package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"restante/internal/testclient"
	"restante/internal/testgate"
)

// Server is the program as a child process, which may be started again and
// again on the same address and database.
type Server struct {
	t        *testing.T
	Address  string
	Database string
	Flags    []string // beside those of address and database
	Wrap     []string // a command to run it with
	Stderr   *os.File // what takes in its log in place of Output, if it is set
	Output   Output
	secrets  sync.Map // what must not be logged

	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended; then exit says how
	exit  error
}

// NewServer prepares a server, without the limits that tests run into which are not about them: how many
// requests an address makes, as all clients here have one address; and how long a client may take to say who it is and to
// read an answer, as on a busy machine anything takes long.
func NewServer(t *testing.T, flags ...string) *Server {
	t.Helper()
	testgate.Enter(t)
	s := &Server{
		t: t, Address: FreeAddress(t), Database: filepath.Join(t.TempDir(), "restante.db"),
		Flags: append([]string{"--request-rate=0", "--claim-rate=0", "--max-connections=1000000", "--max-nameplates-per-address=1000000", "--nameplate-rest=0s", "--identify-within=10m", "--slow-reader=10m"}, flags...),
	}
	t.Cleanup(s.inspect)
	return s
}

// Serve is a server that is ready.
func Serve(t *testing.T, flags ...string) *Server {
	t.Helper()
	s := NewServer(t, flags...)
	s.Start()
	s.WaitReady()
	return s
}

// URL returns the address of the server for clients that speak HTTP.
func (s *Server) URL() string { return "http://" + s.Address }

// Start starts the process, and does not wait until it serves.
func (s *Server) Start() {
	s.t.Helper()
	command := append(append([]string{}, s.Wrap...), binary(), "--listen="+s.Address, "--database="+s.Database, "--log-format=json")
	command = append(command, s.Flags...)
	s.cmd = Command(s.t.Context(), command[0], command[1:]...)
	s.cmd.Env = Environment()
	s.cmd.Stdout, s.cmd.Stderr = &s.Output, &s.Output
	if s.Stderr != nil {
		s.cmd.Stderr = s.Stderr
	}
	s.Output.mark()
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended, cmd := make(chan struct{}), s.cmd
	s.ended = ended
	go func() {
		defer close(ended)
		s.exit = cmd.Wait()
	}()
}

// WaitReady waits until it serves.
func (s *Server) WaitReady() {
	s.t.Helper()
	Eventually(s.t, "the server is ready", func() bool {
		if s.Exited() {
			s.t.Fatalf("the server ended: %v\n%s", s.exit, s.Output.Latest())
		}
		a, err := testclient.Exchange(s.t.Context(), testclient.OneShot, http.MethodGet, s.URL()+"/readyz", nil, "")
		return err == nil && a.Status == http.StatusOK
	})
}

// PID returns the number of the process that was started, which is the command's if the server runs in one.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Exited reports whether the process has ended.
func (s *Server) Exited() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// Kill is kill -9. It answers whether the server was serving by then.
func (s *Server) Kill() (served bool) {
	s.t.Helper()
	if err := Kill(s.cmd); err != nil {
		s.t.Fatalf("the server was dead before it was killed: %v\n%s", err, s.Output.Latest())
	}
	<-s.ended
	return s.Logged("listening")
}

// Signal sends it one.
func (s *Server) Signal(which os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(which); err != nil {
		s.t.Fatal(err)
	}
}

// Wait waits until it has ended. It returns its exit code, or -1 if a signal ended it.
func (s *Server) Wait() int {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(Limit):
		s.t.Fatalf("the server has not ended within %v\n%s", Limit, s.Output.Latest())
	}
	var failed *exec.ExitError
	if s.exit != nil && !errors.As(s.exit, &failed) {
		s.t.Fatal(s.exit)
	}
	return s.cmd.ProcessState.ExitCode()
}

// Logged tells whether it has logged this message since it was started.
func (s *Server) Logged(message string) bool {
	return strings.Contains(s.Output.Latest(), `"msg":"`+message+`"`)
}

// Get is a page for operators.
func (s *Server) Get(path string) testclient.Answer {
	s.t.Helper()
	return Ask(s.t, http.MethodGet, s.URL()+path, nil)
}

// WaitPolls waits until so many receives are held.
func (s *Server) WaitPolls(n int) {
	s.t.Helper()
	want := fmt.Sprintf("\nrestante_receives_parked %d\n", n)
	Eventually(s.t, fmt.Sprintf("%d receives are held", n), func() bool {
		return bytes.Contains(s.Get("/metrics").Body, []byte(want))
	})
}

// Status is what it tells operators.
type Status struct {
	Ready   bool
	Storage string
	Counts  struct{ Nameplates, Mailboxes, Messages, Sessions int64 }
	// Webhooks is what the webhooks of apps are still to be told.
	Webhooks struct{ Pending, Failing, Abandoned int64 }
}

// Status asks the server for its status.
func (s *Server) Status() (status Status) {
	s.t.Helper()
	a := s.Get("/v1/status")
	if err := json.Unmarshal(a.Body, &status); err != nil || a.Status != http.StatusOK {
		s.t.Fatalf("status: %d %s (%v)", a.Status, a.Body, err)
	}
	return status
}

// Secret is something that must never be logged.
func (s *Server) Secret(texts ...string) {
	for _, text := range texts {
		s.secrets.Store(text, true)
	}
}

// inspect ends what still runs, and reads its logs: whatever a test is about,
// nothing may race or panic, and no log may contain a secret.
func (s *Server) inspect() {
	if s.cmd != nil && s.cmd.Process != nil && !s.Exited() {
		_ = Kill(s.cmd) // it may have ended just now
		<-s.ended
	}
	log := s.Output.String()
	for _, bad := range []string{"DATA RACE", "panic", "goroutine "} {
		if at := strings.Index(log, bad); at >= 0 {
			s.t.Errorf("%q in the log: %.4000s", bad, log[max(0, at-200):])
		}
	}
	s.secrets.Range(func(secret, _ any) bool {
		if at := strings.Index(log, secret.(string)); at >= 0 {
			s.t.Errorf("the log tells %q: %.400s", secret, log[max(0, at-200):])
		}
		return true
	})
	for line := range strings.Lines(log) {
		var entry struct{ Time, Level, Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Time == "" || entry.Level == "" || entry.Msg == "" {
			s.t.Errorf("a line of the log is not JSON as it should be: %s", line)
			break
		}
	}
	if s.t.Failed() {
		s.t.Logf("the end of the log:\n%s", log[max(0, len(log)-4000):])
	}
}

// NewClient makes the client of a session on the server. The server's log must never hold the session's id.
func NewClient(s *Server, side string) *testclient.Client {
	c := testclient.New(s.URL(), side)
	s.Secret(c.ID())
	s.t.Cleanup(c.HTTP.CloseIdleConnections)
	return c
}
