//go:build !linux

package main

import "syscall"

// adopt makes the children of those that end ours, on Linux.
func adopt() {}

func ofChild() *syscall.SysProcAttr { return nil }

// killAll kills all that descends from us, on Linux: elsewhere it is only the command itself that is killed, at the limit.
func killAll() (killed []string) { return nil }
