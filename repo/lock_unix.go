//go:build unix

package repo

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// lock keeps other servers from a SQLite file: whoever waits in one process is not
// woken by another. The lock goes with the process, however that ends; the file that bears it
// stays, since removing it would let two in.
func lock(path string) (release func() error, err error) {
	path += "-lock"
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- beside the operator's path
	if err != nil {
		return nil, &OpenError{
			Path: strings.TrimSuffix(path, "-lock"), Problem: "no file can be made beside it",
			Hint: "let the server's user write to its directory", Err: err,
		}
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		return nil, lockProblem(f, strings.TrimSuffix(path, "-lock"), err)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0) // only for the message below
	}
	return f.Close, nil
}

func lockProblem(f *os.File, path string, err error) *OpenError {
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return &OpenError{Path: path, Problem: "its lock cannot be taken", Hint: "keep it on a local disk", Err: err}
	}
	var pid [20]byte
	n, _ := f.ReadAt(pid[:], 0)
	return &OpenError{
		Path: path, Problem: fmt.Sprintf("another server is using it (process %s)", pid[:n]),
		Hint: "end that one first, or give this one a file of its own", Err: err,
	}
}
