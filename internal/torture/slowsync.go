package torture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// slowSync is the fault of a disk that takes its time. It is injected only if it is asked for, because it needs Linux,
// strace, and the right to trace. Where one is missing, the run fails.
const slowSync = "slowsync"

func slows(c *Config) bool {
	return slices.Contains(c.Faults, slowSync) && (onSQLite(c) || onPostgres(c))
}

// slowSync delays each fsync and fdatasync of what writes the database, for a while.
func (n *nemesis) slowSync(ctx context.Context) error {
	var pids []int
	if n.cluster == nil {
		p, _ := n.w.servers[0].process()
		pids = []int{p.Pid}
	} else {
		pids = withChildren(n.cluster.primary.cmd.Process.Pid)
	}
	delay := n.dice.between(20*time.Millisecond, 600*time.Millisecond)
	args := []string{"-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", fmt.Sprintf("inject=fsync,fdatasync:delay_enter=%d", delay.Microseconds())}
	for _, pid := range pids {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	cmd := exec.CommandContext(ctx, "strace", args...) // #nosec G204 -- numbers
	var said bytes.Buffer
	cmd.Stderr = &said
	ofOurs(cmd, nil)
	if err := n.forker.start(cmd); err != nil {
		return fmt.Errorf("strace, which the fault needs (a package of Debian): %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	span, cancel := context.WithTimeout(ctx, n.dice.between(time.Second, 5*time.Second))
	defer cancel()
	select {
	case err := <-ended:
		return fmt.Errorf("strace ended: %w: %s", err, said.Bytes())
	case <-span.Done():
	}
	err := cmd.Process.Signal(os.Interrupt) // it lets go of them
	if stopped := <-ended; stopped == nil {
		return errors.New("strace ended by itself")
	}
	return errors.Join(err, n.allReady(ctx))
}

// withChildren returns a process and those that it has started.
func withChildren(pid int) []int {
	pids := []int{pid}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return pids
	}
	for child := range strings.FieldsSeq(string(text)) {
		if n, err := strconv.Atoi(child); err == nil {
			pids = append(pids, n)
		}
	}
	return pids
}
