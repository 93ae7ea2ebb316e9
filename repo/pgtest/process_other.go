//go:build unix && !linux

package pgtest

import "syscall"

const (
	interrupt = syscall.SIGINT  // finish transactions and stop
	quit      = syscall.SIGQUIT // stop at once; the next start recovers
)

// processAttributes returns those of a process that is not root's.
func processAttributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true}
	if owner := serverOwner(); owner != nil {
		a.Credential = &syscall.Credential{Uid: owner.uid, Gid: owner.gid}
	}
	return a
}
