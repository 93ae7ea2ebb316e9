package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// step is the fault that sets clocks. It is injected only if it is asked for, because the server is then built with a
// clock of ours: a Go program reads the time without a system call, so nothing outside of it can change it.
const step = "step"

// It is the clock of the storage, by which everything is decided, so there is one only with SQLite. With PostgreSQL the
// database has it. The clock of a process cannot be replaced: Go's times have a monotonic reading, which no step changes
// and which ours would lose.
func steps(c *Config) bool { return slices.Contains(c.Faults, step) && onSQLite(c) }

// steppedClock is added to the server. %q is the file that says by how much the clock is wrong, in nanoseconds.
const steppedClock = `package main

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

var tortureOffset atomic.Int64

func init() {
	read := func() {
		text, err := os.ReadFile(%q)
		if err != nil {
			return
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
			tortureOffset.Store(n)
		}
	}
	read()
	go func() {
		for range time.Tick(2 * time.Millisecond) {
			read()
		}
	}()
}

func tortureNow() time.Time { return time.Now().Round(0).Add(time.Duration(tortureOffset.Load())) }
`

// storageClock are the words of main.go behind which the storage's clock is set.
const storageClock = "repo.Open(ctx, repo.Options{"

// buildStepped builds the server with a clock that can be set.
func (r *runner) buildStepped(ctx context.Context, module, program string) error {
	dir, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return err
	}
	name := filepath.Join(strings.TrimSpace(string(dir)), "main.go")
	source, err := os.ReadFile(name) // #nosec G304 -- this module
	if err != nil {
		return err
	}
	at := storageClock
	if strings.Count(string(source), at) != 1 {
		return fmt.Errorf("%s has not once %q, where the clock belongs", name, at)
	}
	replace := map[string]string{name: filepath.Join(r.dir, "main.go"), filepath.Join(filepath.Dir(name), "torture_clock.go"): filepath.Join(r.dir, "torture_clock.go")}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	for file, text := range map[string]string{
		"main.go":          strings.Replace(string(source), at, at+"Now: tortureNow, ", 1),
		"torture_clock.go": fmt.Sprintf(steppedClock, filepath.Join(r.dir, "clock")),
		"overlay.json":     string(overlay),
	} {
		if err := os.WriteFile(filepath.Join(r.dir, file), []byte(text), 0o600); err != nil {
			return err
		}
	}
	build := exec.CommandContext(ctx, "go", "build", "-overlay", filepath.Join(r.dir, "overlay.json"), "-o", program, module) // #nosec G204 -- this module
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the server with a clock that can be set: %w: %s", err, out)
	}
	return nil
}

// step sets the clock of all servers, forward or back.
func (n *nemesis) step(ctx context.Context) error {
	by := n.dice.between(0, 2*time.Hour) - time.Hour
	written := filepath.Join(filepath.Dir(n.file), "clock.new")
	err := os.WriteFile(written, []byte(strconv.FormatInt(int64(by), 10)), 0o600)
	err = errors.Join(err, os.Rename(written, filepath.Join(filepath.Dir(n.file), "clock")))
	_ = pause(ctx, n.dice.between(100*time.Millisecond, 2*time.Second))
	return errors.Join(err, n.allReady(ctx))
}
