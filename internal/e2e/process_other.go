//go:build !linux

package e2e

import "syscall"

// ChildAttr cannot do more here than the tests' own cleaning up.
func ChildAttr() *syscall.SysProcAttr { return nil }
