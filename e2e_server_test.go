package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// server is the program as a child process, which may be started again and
// again on the same address and database.
type server struct {
	t        *testing.T
	address  string
	database string
	flags    []string // beside those of address and database
	wrap     []string // a command to run it with
	log      logbook
	secrets  sync.Map // what must not be logged

	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended; then exit says how
	exit  error
}

// newServer prepares a server; its requests are not limited, since all clients
// here have one address.
func newServer(t *testing.T, flags ...string) *server {
	t.Helper()
	s := &server{
		t: t, address: freeAddress(t), database: filepath.Join(t.TempDir(), "restante.db"),
		flags: append([]string{"--request-rate=0"}, flags...),
	}
	t.Cleanup(s.inspect)
	return s
}

// serve is a server that is ready.
func serve(t *testing.T, flags ...string) *server {
	t.Helper()
	s := newServer(t, flags...)
	s.start()
	s.ready()
	return s
}

func (s *server) url() string { return "http://" + s.address }

// start starts the process, and does not wait until it serves.
func (s *server) start() {
	s.t.Helper()
	command := append(append([]string{}, s.wrap...), binary, "--listen="+s.address, "--database="+s.database, "--log-format=json")
	command = append(command, s.flags...)
	s.cmd = exec.Command(command[0], command[1:]...)
	s.cmd.Env = environment()
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.SysProcAttr = childOf()
	s.log.mark()
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

// environment is ours without what would configure the server, and without the
// second that the race detector takes for itself at the end of every program.
func environment(more ...string) []string {
	kept := []string{"GORACE=atexit_sleep_ms=0"}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "RESTANTE_") {
			kept = append(kept, v)
		}
	}
	return append(kept, more...)
}

// ready waits until it serves.
func (s *server) ready() {
	s.t.Helper()
	eventually(s.t, 20*time.Second, "the server is ready", func() bool {
		if s.gone() {
			s.t.Fatalf("the server ended: %v\n%s", s.exit, s.log.latest())
		}
		a, err := exchange(s.t.Context(), lone, http.MethodGet, s.url()+"/readyz", nil, "")
		return err == nil && a.status == http.StatusOK
	})
}

func (s *server) gone() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// kill is kill -9. It answers whether the server was serving by then.
func (s *server) kill() (served bool) {
	s.t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Fatalf("the server was dead before it was killed: %v\n%s", err, s.log.latest())
	}
	<-s.ended
	return s.says("listening")
}

// signal sends it one.
func (s *server) signal(which os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(which); err != nil {
		s.t.Fatal(err)
	}
}

// wait is how it ended, which it must within a time: its exit code, or -1 for a signal.
func (s *server) wait(within time.Duration) int {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(within):
		s.t.Fatalf("the server has not ended within %v\n%s", within, s.log.latest())
	}
	var failed *exec.ExitError
	if s.exit != nil && !errors.As(s.exit, &failed) {
		s.t.Fatal(s.exit)
	}
	return s.cmd.ProcessState.ExitCode()
}

// says tells whether it has logged this message since it was started.
func (s *server) says(message string) bool {
	return strings.Contains(s.log.latest(), `"msg":"`+message+`"`)
}

// get is a page for operators.
func (s *server) get(path string) answer {
	s.t.Helper()
	return ask(s.t, http.MethodGet, s.url()+path, nil)
}

// parked waits until so many receives are held.
func (s *server) parked(n int) {
	s.t.Helper()
	want := fmt.Sprintf("\nrestante_receives_parked %d\n", n)
	eventually(s.t, 10*time.Second, fmt.Sprintf("%d receives are held", n), func() bool {
		return bytes.Contains(s.get("/metrics").body, []byte(want))
	})
}

// state is what it tells operators.
type state struct {
	Ready   bool
	Storage string
	Counts  struct{ Nameplates, Mailboxes, Messages, Sessions int64 }
}

func (s *server) status() (status state) {
	s.t.Helper()
	a := s.get("/v1/status")
	if err := json.Unmarshal(a.body, &status); err != nil || a.status != http.StatusOK {
		s.t.Fatalf("status: %d %s (%v)", a.status, a.body, err)
	}
	return status
}

// secret is something that must never be logged.
func (s *server) secret(texts ...string) {
	for _, text := range texts {
		s.secrets.Store(text, true)
	}
}

// inspect ends what still runs, and reads its logs: whatever a test is about,
// nothing may race, panic or be told in a log that is nobody's business.
func (s *server) inspect() {
	if s.cmd != nil && s.cmd.Process != nil && !s.gone() {
		_ = s.cmd.Process.Kill() // it may have ended just now
		<-s.ended
	}
	log := s.log.String()
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

// logbook takes in what a process writes.
type logbook struct {
	mu     sync.Mutex
	text   bytes.Buffer
	marked int
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// mark notes where the log is now; latest is what comes after.
func (l *logbook) mark() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.marked = l.text.Len()
}

func (l *logbook) latest() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text.Bytes()[l.marked:])
}

var ports atomic.Int32

// freeAddress is an address that a server can come back to. It is below the
// ports that systems hand out to clients, or one of these, calling a server that is
// down, could be given the server's own port and talk to itself.
func freeAddress(t *testing.T) string {
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
		return address
	}
	t.Fatal("no port is free")
	return ""
}
