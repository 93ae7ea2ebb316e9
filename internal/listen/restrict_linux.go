package listen

import (
	"io/fs"
	"syscall"
)

// restrict gives a socket its permissions before its file exists, so that nothing is let in that shall not be, not
// even for a moment.
func restrict(mode fs.FileMode) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(descriptor uintptr) { failed = syscall.Fchmod(int(descriptor), uint32(mode.Perm())) }) // #nosec G115 -- the kernel's are small
		if err != nil {
			return err
		}
		return failed
	}
}
