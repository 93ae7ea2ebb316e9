package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
)

// The wormhole clients that people use, as Debian has them: magic-wormhole, in
// Python, which reconnects; and wormhole-william, in Go, which does not.
const (
	python  = "wormhole"
	william = "wormhole-william"
)

// person is somebody at a terminal who runs a wormhole client.
type person struct {
	t      *testing.T
	what   string // the command line, for complaints
	dir    string // where they are
	screen logbook
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the client has ended; then exit says how
	exit   error
}

// runs has somebody run a client of a server. Whatever it asks is answered with yes.
func runs(t *testing.T, address, client string, arguments ...string) *person {
	t.Helper()
	flags := []string{"--relay-url", "ws://" + address + "/v1"}
	if client == python {
		flags = append(flags, "--transit-helper", "") // nobody relays their files
	}
	return starts(t, client, append(flags, arguments...)...)
}

// starts has somebody start a program.
func starts(t *testing.T, program string, arguments ...string) *person {
	t.Helper()
	dir := t.TempDir()
	p := &person{t: t, what: strings.Join(append([]string{program}, arguments...), " "), dir: dir, ended: make(chan struct{})}
	p.cmd = exec.Command(program, arguments...)
	p.cmd.Env = environment("HOME="+dir, "LC_ALL=C.UTF-8", "PYTHONUNBUFFERED=1")
	p.cmd.Dir, p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = dir, strings.NewReader("y\n"), &p.screen, &p.screen, childOf()
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%s does not start (apt-get install magic-wormhole wormhole-william): %v", program, err)
	}
	go func() {
		defer close(p.ended)
		p.exit = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // or it has ended
		<-p.ended
		if t.Failed() {
			t.Logf("%s\n%s", p.what, p.screen.String())
		}
	})
	return p
}

// sees waits until something is on the screen, and answers what.
func (p *person) sees(pattern string) (seen string) {
	p.t.Helper()
	wanted := regexp.MustCompile(pattern)
	eventually(p.t, patience, pattern+" is on the screen of "+p.what, func() bool {
		found := wanted.FindStringSubmatch(p.screen.String())
		if found == nil {
			if p.gone() && !wanted.MatchString(p.screen.String()) {
				p.t.Fatalf("%s has ended (%v) and does not say %s:\n%s", p.what, p.exit, pattern, p.screen.String())
			}
			return false
		}
		seen = found[len(found)-1]
		return true
	})
	return seen
}

// code waits for the code that one is to tell the other.
func (p *person) code() string {
	p.t.Helper()
	return p.sees(`Wormhole code is: (\d+-\S+)\n`)
}

// patience is how long anything may take that a person waits for.
const patience = 60 * time.Second

// wait is the client's exit code, or -1 if a signal ended it.
func (p *person) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("%s does not end:\n%s", p.what, p.screen.String())
	}
	var failed *exec.ExitError
	if p.exit != nil && !errors.As(p.exit, &failed) {
		p.t.Fatal(p.exit)
	}
	return p.cmd.ProcessState.ExitCode()
}

// succeeds waits until the client has ended as it should, with this on the screen.
func (p *person) succeeds(text string) {
	p.t.Helper()
	if code := p.wait(); code != 0 || !strings.Contains(p.screen.String(), text) {
		p.t.Errorf("%s ended with %d, and %q was expected:\n%s", p.what, code, text, p.screen.String())
	}
}

// fails waits until the client has ended otherwise.
func (p *person) fails(text string) {
	p.t.Helper()
	if code := p.wait(); code != 1 || !strings.Contains(p.screen.String(), text) {
		p.t.Errorf("%s ended with %d, and 1 and %q were expected:\n%s", p.what, code, text, p.screen.String())
	}
}

// waits tells that the client has not ended.
func (p *person) waits() {
	p.t.Helper()
	if p.gone() {
		p.t.Errorf("%s has ended (%v):\n%s", p.what, p.exit, p.screen.String())
	}
}

func (p *person) gone() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// givesUp is a person who presses Ctrl-C.
func (p *person) givesUp() {
	p.t.Helper()
	p.waits()
	_ = p.cmd.Process.Signal(os.Interrupt) // or it has ended just now
	p.wait()
}

// file is what a file in their directory holds.
func (p *person) file(name string) string {
	p.t.Helper()
	content, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(content)
}

// kept asks a server's database, as somebody who may only read, for one column.
func kept(t *testing.T, s *server, query string) (rows []string) {
	t.Helper()
	db, err := sqlx.Open("sqlite", "file:"+s.database+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Select(&rows, query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return rows
}

// went holds how the lives went that are over, of the nameplates or of the mailboxes.
func went(t *testing.T, s *server, of string, want ...string) {
	t.Helper()
	if results := kept(t, s, "SELECT result FROM usage_"+of+" ORDER BY result"); !slices.Equal(results, want) {
		t.Errorf("%s went %v, want %v", of, results, want)
	}
}
