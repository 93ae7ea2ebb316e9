//go:build unix && !linux

package pgtest

import "syscall"

const (
	interrupt = syscall.SIGINT  // end transactions, and stop
	quit      = syscall.SIGQUIT // stop at once; the next start recovers
)

// attributes are those of a process that is not root's.
func attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true}
	if who := whom(); who != nil {
		a.Credential = &syscall.Credential{Uid: who.uid, Gid: who.gid}
	}
	return a
}
