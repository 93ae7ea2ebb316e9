// Command bounded runs a command that may take no longer than so long, and leaves nothing of it behind: no process,
// whatever it has done to get away, and no temporary file.
//
//	bounded -limit 20m go test ./...
//
// It exits as the command does, or with 124 if the limit was reached.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// timedOut is the exit code at the limit, which is that of timeout(1).
const timedOut = 124

func main() {
	limit := flag.Duration("limit", 10*time.Minute, "how long the command may take")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: bounded -limit 20m command [argument...]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, *limit, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "bounded:", err)
	}
	stop()
	os.Exit(code)
}

// run runs a command to its end, or to that of ctx or of the limit, and then ends by force all that it has
// started. The command's temporary files are in a folder of its own, which goes with it.
func run(ctx context.Context, limit time.Duration, command []string) (code int, err error) {
	adopt()
	dir, err := os.MkdirTemp("", "bounded-")
	if err != nil {
		return 1, err
	}
	defer func() {
		if gone := os.RemoveAll(dir); gone != nil {
			code, err = max(code, 1), errors.Join(err, gone)
		}
	}()
	if err := os.Chmod(dir, 0o755); err != nil { // #nosec G302 -- PostgreSQL's user has to get to its own folder in it
		return 1, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%v have passed", limit))
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) // #nosec G204 -- that is what it is for
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = ofChild()
	err = cmd.Run()
	for _, left := range killAll() {
		fmt.Fprintln(os.Stderr, "bounded: it was left running, and is killed:", left)
	}
	var failed *exec.ExitError
	switch {
	case errors.Is(context.Cause(ctx), context.Canceled):
		return 130, errors.New("interrupted")
	case ctx.Err() != nil:
		return timedOut, fmt.Errorf("%q is killed: %w", command, context.Cause(ctx))
	case errors.As(err, &failed):
		return max(failed.ExitCode(), 1), nil
	case err != nil:
		return 1, err
	}
	return 0, nil
}
