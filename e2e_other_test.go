//go:build !linux

package main

import "syscall"

// childOf cannot do more here than the tests' own cleaning up.
func childOf() *syscall.SysProcAttr { return nil }
