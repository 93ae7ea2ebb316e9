package e2e

import (
	"cmp"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The wormhole clients that people use, as Debian has them: magic-wormhole, in
// Python, which reconnects; and wormhole-william, in Go, which does not.
const (
	Python  = "wormhole"
	William = "wormhole-william"
)

// Person is a person at a terminal who runs a wormhole client.
type Person struct {
	t       *testing.T
	program string
	what    string // the command line, for complaints
	Dir     string // where they are
	Screen  Output
	cmd     *exec.Cmd
	ended   chan struct{} // closed when the client has ended; then exit says how
	exit    error
}

// RunClient makes a person run a client of a server, who answers all its questions with yes.
func RunClient(t *testing.T, address, client string, arguments ...string) *Person {
	t.Helper()
	flags := []string{"--relay-url", "ws://" + address + "/v1"}
	if client == Python {
		flags = append(flags, "--transit-helper", "") // no relay passes on their files
	}
	return RunProgram(t, client, append(flags, arguments...)...)
}

// RunProgram makes a person start a program in a directory of their own.
func RunProgram(t *testing.T, program string, arguments ...string) *Person {
	t.Helper()
	dir := t.TempDir()
	p := &Person{t: t, program: program, what: strings.Join(append([]string{program}, arguments...), " "), Dir: dir, ended: make(chan struct{})}
	p.cmd = Command(t.Context(), program, arguments...)
	p.cmd.Env = Environment("HOME="+dir, "LC_ALL=C.UTF-8", "PYTHONUNBUFFERED=1")
	p.cmd.Dir, p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = dir, strings.NewReader("y\n"), &p.Screen, &p.Screen
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%s does not start (apt-get install magic-wormhole wormhole-william): %v", program, err)
	}
	go func() {
		defer close(p.ended)
		p.exit = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = Kill(p.cmd) // or it has ended
		<-p.ended
		if t.Failed() {
			t.Logf("%s\n%s", p.what, p.Screen.String())
		}
	})
	return p
}

// WaitFor waits until something is on the screen, and answers what.
func (p *Person) WaitFor(pattern string) (seen string) {
	p.t.Helper()
	wanted := regexp.MustCompile(pattern)
	Eventually(p.t, pattern+" is on the screen of "+p.what, func() bool {
		found := wanted.FindStringSubmatch(p.Screen.String())
		if found == nil {
			if p.Exited() && !wanted.MatchString(p.Screen.String()) {
				p.t.Fatalf("%s has ended (%v) and does not say %s:\n%s", p.what, p.exit, pattern, p.Screen.String())
			}
			return false
		}
		seen = found[len(found)-1]
		return true
	})
	return seen
}

// WaitCode waits for the code that one is to tell the other.
func (p *Person) WaitCode() string {
	p.t.Helper()
	return p.WaitFor(`Wormhole code is: (\d+-\S+)\n`)
}

// wait is the client's exit code, or -1 if a signal ended it.
func (p *Person) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(Limit):
		p.t.Fatalf("%s does not end:\n%s", p.what, p.Screen.String())
	}
	var failed *exec.ExitError
	if p.exit != nil && !errors.As(p.exit, &failed) {
		p.t.Fatal(p.exit)
	}
	return p.cmd.ProcessState.ExitCode()
}

// MustSucceed waits until the client has ended as it should, with this on the screen.
func (p *Person) MustSucceed(text string) {
	p.t.Helper()
	if code := p.wait(); code != 0 || !strings.Contains(p.Screen.String(), text) {
		p.t.Errorf("%s ended with %d, and %q was expected:\n%s", p.what, code, text, p.Screen.String())
	}
}

// MustFail waits until the client has ended otherwise.
func (p *Person) MustFail(text string) {
	p.t.Helper()
	if code := p.wait(); code != 1 || !strings.Contains(p.Screen.String(), text) {
		p.t.Errorf("%s ended with %d, and 1 and %q were expected:\n%s", p.what, code, text, p.Screen.String())
	}
}

// codes are those that [Exchange] tries.
var codes = []string{"7-crossover-clockwork", "8-drumbeat-tobacco", "9-sailboat-upcoming"}

// faults are those of the clients themselves that strike by chance, whatever the server.
var faults = []struct{ client, says, is string }{
	// Where it encodes a point, its SPAKE2 drops a leading zero byte, so that one exchange in 256 with any other
	// implementation ends in two keys.
	{William, "decrypt message failed", "it has another key than its partner"},
	// It looks for a free port, and listens there after a while, in which another program may take that port.
	{Python, "Couldn't listen on any", "the port that it had chosen for a file was taken"},
}

// Exchange has clients exchange something. If one fails by a fault of its own that strikes by chance, they try again,
// with a fresh code, and for no other reason. begin starts them with the code, if one takes it, and returns them, and what
// is to be checked.
func Exchange(t *testing.T, begin func(code string) (clients []*Person, check func())) {
	t.Helper()
	for _, code := range codes {
		clients, check := begin(code)
		fault := ""
		Eventually(t, "the clients end", func() bool {
			ended := 0
			for _, p := range clients {
				if p.Exited() {
					ended++
					fault = cmp.Or(fault, p.fault())
				}
			}
			return fault != "" || ended == len(clients)
		})
		if fault == "" {
			check()
			return
		}
		t.Log("again, with a fresh code: " + fault)
	}
	t.Errorf("the clients failed %d times in turn: that is no chance", len(codes))
}

// fault returns the fault by which the client has failed, or "".
func (p *Person) fault() string {
	for _, f := range faults {
		if p.program == f.client && p.wait() == 1 && strings.Contains(p.Screen.String(), f.says) {
			return p.what + ": " + f.is
		}
	}
	return ""
}

// waits tells that the client has not ended.
func (p *Person) waits() {
	p.t.Helper()
	if p.Exited() {
		p.t.Errorf("%s has ended (%v):\n%s", p.what, p.exit, p.Screen.String())
	}
}

// Exited reports whether the client has ended.
func (p *Person) Exited() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Interrupt is a person who presses Ctrl-C.
func (p *Person) Interrupt() {
	p.t.Helper()
	p.waits()
	_ = p.cmd.Process.Signal(os.Interrupt) // or it has ended just now
	p.wait()
}

// File is what a file in their directory holds.
func (p *Person) File(name string) string {
	p.t.Helper()
	content, err := os.ReadFile(filepath.Join(p.Dir, name))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(content)
}
