//go:build unix

package repo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// lockFile keeps other servers from a SQLite file, because one process does not wake the
// requests that wait in another. The operating system releases the lock when the process ends,
// however that happens. The lock file stays: removing it would let two servers in.
func lockFile(path string) (release func() error, err error) {
	f, err := os.OpenFile(path+"-lock", os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- beside the operator's path
	if err != nil {
		return nil, &OpenError{
			Path: path, Problem: fmt.Sprintf("no file can be created beside it (%v)", osError(err)),
			Hint: "let the server's user write to its directory", Err: err,
		}
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		problem := lockError(f, path, err)
		_ = f.Close()
		return nil, problem
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0) // for the error of another server
	}
	return func() error {
		// A child that is being started has a copy of the descriptor, so closing ours is not enough.
		return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
	}, nil
}

// osError returns the operating system's error without the path.
func osError(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

func lockError(f *os.File, path string, err error) *OpenError {
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return &OpenError{Path: path, Problem: "its lock cannot be taken", Hint: "keep it on a local disk", Err: err}
	}
	var pid [20]byte
	n, _ := f.ReadAt(pid[:], 0)
	return &OpenError{
		Path: path, Problem: fmt.Sprintf("another server is using it (process %s)", pid[:n]),
		Hint: "stop that server first, or give this one a file of its own", Err: err,
	}
}
