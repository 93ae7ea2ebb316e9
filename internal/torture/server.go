package torture

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// server is one process of the server, with a proxy for each transport in front of it.
type server struct {
	program string
	args    []string
	address string
	log     string // its log file
	proxies map[string]*proxy

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{}
}

// forker starts processes on a thread that lasts: they are killed when the thread that started
// them ends, and Go ends threads as it likes.
type forker struct{ tasks chan func() }

func newForker() *forker {
	f := &forker{make(chan func())}
	go func() {
		runtime.LockOSThread() // and never unlocks it: the thread ends with the goroutine
		for task := range f.tasks {
			task()
		}
	}()
	return f
}

func (f *forker) start(cmd *exec.Cmd) error {
	done := make(chan error, 1)
	f.tasks <- func() { done <- cmd.Start() }
	return <-done
}

// freeAddress is an address of 127.0.0.1 that nothing listens on.
func freeAddress() (string, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close() //nolint:errcheck // it was only asked for its number
	return l.Addr().String(), nil
}

// start starts the process, and does not wait until it serves.
func (s *server) start(f *forker) error {
	command := append([]string{s.program}, s.args...)
	if env, err := exec.LookPath("env"); err == nil && runtime.GOOS == "linux" {
		command = slices.Concat([]string{env, "--block-signal=XFSZ"}, command) // it comes with a full quota, and would be the end
	}
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600) // #nosec G304 -- a file of ours
	if err != nil {
		return err
	}
	defer log.Close()                                                            //nolint:errcheck // the server has it
	cmd := exec.CommandContext(context.Background(), command[0], command[1:]...) // #nosec G204 -- the program to test
	cmd.Stdout, cmd.Stderr = log, log
	ofOurs(cmd, nil)
	if err := f.start(cmd); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	s.mu.Lock()
	s.cmd, s.ended = cmd, ended
	s.mu.Unlock()
	return nil
}

// process is the running process, and what is closed when it has ended.
func (s *server) process() (running *os.Process, ended chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return nil, nil
	}
	return s.cmd.Process, s.ended
}

func (s *server) signal(sig os.Signal) {
	if p, _ := s.process(); p != nil {
		_ = p.Signal(sig)
	}
}

// kill ends the process as a power cut would.
func (s *server) kill() { s.stop(syscall.SIGKILL, time.Minute) }

// stop ends the process, and reports whether it ended in time; afterwards it has ended anyway.
func (s *server) stop(sig os.Signal, within time.Duration) bool {
	p, ended := s.process()
	if p == nil {
		return true
	}
	_ = p.Signal(sig)
	select {
	case <-ended:
		return true
	case <-time.After(within):
		_ = p.Kill()
		<-ended
		return false
	}
}

// ready waits until the server says that it is ready.
func (s *server) ready(ctx context.Context) error {
	const within = time.Minute
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		if status, _ := get(ctx, "http://"+s.address+"/readyz"); status == http.StatusOK {
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("the server on %s is not ready after %v; its log: %s", s.address, within, s.log)
		}
		if _, ended := s.process(); ended != nil {
			select {
			case <-ended:
				return fmt.Errorf("the server has ended; its log: %s", s.log)
			default:
			}
		}
	}
}

// pause waits, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
