//go:build unix && !linux

package e2e

import "syscall"

// ChildAttr has a child process be in a process group of its own. What becomes of it when this process dies
// is up to the tests' own cleaning up.
func ChildAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
