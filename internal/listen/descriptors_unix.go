//go:build unix

package listen

import "syscall"

// Descriptors returns how many files and connections the process may have open, or 0 if that is not known.
func Descriptors() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	const most = 1 << 30
	if uint64(limit.Cur) > most { //nolint:unconvert // the type differs between systems
		return most
	}
	return int(limit.Cur) // #nosec G115 -- at most 1<<30
}
