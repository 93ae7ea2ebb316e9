package e2e

import (
	"context"
	"os/exec"
	"time"
)

// Command is a program that ends by force when ctx does, with all that it has started, and at the latest when this process ends.
func Command(ctx context.Context, name string, arguments ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, arguments...)
	cmd.SysProcAttr = ChildAttr()
	cmd.Cancel = func() error { return Kill(cmd) }
	cmd.WaitDelay = 10 * time.Second // for its output, which something that it started may hold open
	return cmd
}
