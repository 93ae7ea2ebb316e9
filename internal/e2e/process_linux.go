package e2e

import "syscall"

// ChildAttr has a child process be in a process group of its own, and be killed when this process dies, however it does.
func ChildAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
