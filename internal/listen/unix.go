package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// longestPath is how long the path of a Unix socket can be on every system.
const longestPath = 103

// answersWithin is how long a server on a Unix socket may take to accept a connection before it counts as unknown.
const answersWithin = time.Second

// openUnix listens on a path. The file of a server that has ended without removing it is replaced; that of a running
// server, and a file that is no socket, are left alone.
func openUnix(ctx context.Context, path string, mode fs.FileMode) (net.Listener, error) {
	if len(path) > longestPath {
		return nil, fmt.Errorf("the path is %d bytes long, and a socket's is at most %d", len(path), longestPath)
	}
	config := &net.ListenConfig{Control: restrict(mode)}
	l, err := config.Listen(ctx, "unix", path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if err := removeStale(ctx, path); err != nil {
			return nil, err
		}
		l, err = config.Listen(ctx, "unix", path)
	}
	if err != nil {
		return nil, err
	}
	file, err := os.Lstat(path)
	if err == nil {
		err = os.Chmod(path, mode.Perm())
	}
	if err != nil {
		_ = l.Close() // nothing was served on it
		return nil, err
	}
	if unix, is := l.(*net.UnixListener); is {
		unix.SetUnlinkOnClose(false) // Close does it
	}
	return &ownSocket{local: local{l}, path: path, file: file}, nil
}

// ownSocket is a listener that removes its file when it is closed, unless another server's is there by then.
type ownSocket struct {
	local
	path   string
	file   os.FileInfo
	remove sync.Once
}

// Close implements [net.Listener].
func (s *ownSocket) Close() error {
	s.remove.Do(func() { // while the socket is open: only then can no other file have its number
		if now, err := os.Lstat(s.path); err == nil && os.SameFile(s.file, now) {
			_ = os.Remove(s.path) // at worst, the next server finds that nothing answers there
		}
	})
	return s.local.Close()
}

// removeStale removes a socket file on which nothing answers.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("there is a file that is no socket")
	}
	dialer := &net.Dialer{Timeout: answersWithin}
	conn, err := dialer.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = conn.Close() // nothing was said on it
		return errors.New("another server is running there")
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	}
	return fmt.Errorf("there is a socket, and whether a server is running there is not known: %w", err)
}

// local is a listener whose clients are on this machine. A Unix socket's client has no address, so each counts as
// 127.0.0.1: then limits and trusted proxies have something to go by.
type local struct{ net.Listener }

// Accept implements [net.Listener].
func (l local) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if unix, is := conn.(*net.UnixConn); is && err == nil {
		return localConn{unix}, nil
	}
	return conn, err
}

type localConn struct{ *net.UnixConn }

// RemoteAddr implements [net.Conn].
func (localConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
