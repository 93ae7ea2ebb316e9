package repo

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
)

const (
	// setOFDLock is F_OFD_SETLK, which package syscall does not define: a lock of the open file, not of the process.
	setOFDLock = 37
	// inodeLockByte is the byte of the file that is locked, far beyond those that SQLite locks.
	inodeLockByte = 1 << 62
)

// inode identifies a file by whichever name.
type inode struct{ device, number uint64 }

// lockedInodes are the files that this process has locked. A second lock of one must not even open the file,
// because closing it again would drop SQLite's locks on it.
var lockedInodes struct {
	sync.Mutex
	set map[inode]struct{}
}

// lockInode keeps other servers from a SQLite file under any of its names: a hard link has a lock file
// of its own. A file that cannot be opened is not locked; SQLite reports why.
func lockInode(path string) (unlock func() error, err error) {
	unlocked := func() error { return nil }
	info, err := os.Stat(path)
	if err != nil {
		return unlocked, nil // SQLite says more about it
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, fmt.Errorf("%T has no inode", info.Sys())
	}
	id := inode{stat.Dev, stat.Ino}
	lockedInodes.Lock()
	defer lockedInodes.Unlock()
	if _, locked := lockedInodes.set[id]; locked {
		return nil, otherNameError(path, nil)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0) // #nosec G304 -- the operator's path
	if err != nil {
		return unlocked, nil // SQLite says more about it
	}
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Start: inodeLockByte, Len: 1}
	if err := syscall.FcntlFlock(f.Fd(), setOFDLock, &lock); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
			return nil, otherNameError(path, err)
		}
		return nil, &OpenError{Path: path, Problem: "its lock cannot be taken", Hint: "keep it on a local disk", Err: err}
	}
	if lockedInodes.set == nil {
		lockedInodes.set = map[inode]struct{}{}
	}
	lockedInodes.set[id] = struct{}{}
	return func() error {
		lockedInodes.Lock()
		defer lockedInodes.Unlock()
		delete(lockedInodes.set, id)
		// A child that is being started has a copy of the descriptor, so closing ours is not enough.
		lock.Type = syscall.F_UNLCK
		return errors.Join(syscall.FcntlFlock(f.Fd(), setOFDLock, &lock), f.Close())
	}, nil
}

func otherNameError(path string, err error) *OpenError {
	return &OpenError{
		Path: path, Problem: "another server is using it under another name",
		Hint: "stop that server first, and remove the hard link: SQLite would keep a log for each name", Err: err,
	}
}
