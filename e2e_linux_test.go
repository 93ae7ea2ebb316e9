package main

import "syscall"

// childOf has a child process killed when this one dies, however it does.
func childOf() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
