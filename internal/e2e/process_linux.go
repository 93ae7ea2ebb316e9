package e2e

import "syscall"

// ChildAttr has a child process killed when this one dies, however it does.
func ChildAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
