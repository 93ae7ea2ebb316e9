package idleconn

import (
	"os"
	"syscall"
)

// poller asks the kernel which connections are readable (epoll(7)). It is a second poller beside that of the Go
// runtime, which would need a goroutine for each connection. The runtime's poller waits for this one.
type poller struct {
	file *os.File
	fd   int
}

func newPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // otherwise each read of the file blocks a thread
		_ = syscall.Close(fd) // it was never used
		return nil, os.NewSyscallError("fcntl", err)
	}
	return &poller{os.NewFile(uintptr(fd), "epoll"), fd}, nil
}

// add asks for one report once a descriptor is readable. The kernel forgets a descriptor that is closed.
func (p *poller) add(descriptor int32, generation uint32) error {
	event := syscall.EpollEvent{
		Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLONESHOT,
		Fd:     descriptor, Pad: int32(generation), // #nosec G115 -- the same bits come back
	}
	err := syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_MOD, int(descriptor), &event)
	if err == syscall.ENOENT {
		err = syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, int(descriptor), &event)
	}
	return os.NewSyscallError("epoll_ctl", err)
}

// run calls readable for each descriptor that is, until close.
func (p *poller) run(readable func(descriptor int32, generation uint32)) error {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	events := make([]syscall.EpollEvent, 256)
	for {
		var n int
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			n, failed = syscall.EpollWait(int(fd), events, 0)
			return n != 0
		})
		switch {
		case err != nil:
			return err
		case failed == syscall.EINTR:
			continue
		case failed != nil:
			return os.NewSyscallError("epoll_wait", failed)
		}
		for _, e := range events[:n] {
			readable(e.Fd, uint32(e.Pad)) // #nosec G115 -- the same bits come back
		}
	}
}

// atEnd reports whether a socket has nothing to read and never will have.
func atEnd(descriptor uintptr) bool {
	for {
		n, _, err := syscall.Recvfrom(int(descriptor), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if err != syscall.EINTR {
			return n <= 0 && err != syscall.EAGAIN
		}
	}
}

func (p *poller) close() { _ = p.file.Close() }
