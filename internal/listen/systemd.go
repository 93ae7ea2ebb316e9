package listen

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

// firstPassed is the first descriptor that systemd passes (sd_listen_fds(3)).
const firstPassed = 3

// inherited are the sockets that systemd passed, until an address takes them.
type inherited struct{ sockets []passed }

type passed struct {
	name     string
	listener net.Listener
}

// inherit takes over what systemd passed to this process, if it did. The environment is cleared, so that a process
// that this one starts does not take it over as well.
func inherit() (*inherited, error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	if pid != strconv.Itoa(os.Getpid()) {
		return &inherited{}, nil
	}
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(name) // it cannot fail for these
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("LISTEN_FDS is %q, and must be a number", count)
	}
	named := strings.Split(names, ":")
	found := &inherited{}
	for i := range n {
		name := "unknown" // as systemd calls it
		if i < len(named) && named[i] != "" {
			name = named[i]
		}
		file := os.NewFile(uintptr(firstPassed+i), name) // #nosec G115 -- a few
		if file == nil {
			found.close()
			return nil, fmt.Errorf("systemd did not pass descriptor %d", firstPassed+i)
		}
		l, err := net.FileListener(file)
		_ = file.Close() // the listener has a copy
		if err != nil {
			found.close()
			return nil, fmt.Errorf("what systemd passed as %q is no socket that can be listened on (is it Accept=no, and ListenStream= ?): %w", name, err)
		}
		if _, is := l.(*net.UnixListener); is {
			l = local{l}
		}
		found.sockets = append(found.sockets, passed{name, l})
	}
	return found, nil
}

// take returns the sockets of a name, or all that are left for "".
func (i *inherited) take(name string) ([]net.Listener, error) {
	var taken []net.Listener
	i.sockets = slices.DeleteFunc(i.sockets, func(p passed) bool {
		if name != "" && p.name != name {
			return false
		}
		taken = append(taken, p.listener)
		return true
	})
	if taken == nil {
		return nil, fmt.Errorf("systemd passed no socket for systemd:%s", name)
	}
	return taken, nil
}

// names are those of the sockets that are left.
func (i *inherited) names() []string {
	var all []string
	for _, p := range i.sockets {
		all = append(all, p.name)
	}
	return all
}

func (i *inherited) close() {
	for _, p := range i.sockets {
		_ = p.listener.Close() // nothing was served on it
	}
}
