//go:build unix

package e2e

import (
	"os/exec"
	"syscall"
)

// Kill is kill -9, of a program that was started with [ChildAttr] and of all that it has started.
func Kill(cmd *exec.Cmd) error {
	if cmd.Process == nil {
		return nil
	}
	return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
}
