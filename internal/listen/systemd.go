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

// Passed are the sockets that systemd passed, until an address takes them.
type Passed struct {
	sockets []passed
	named   map[string]bool // the names that an address has, whose sockets are not for "systemd:"
}

type passed struct {
	name     string
	listener net.Listener
}

// Inherit takes over what systemd passed to this process, if it did, for the addresses of all lists. The environment is
// cleared, so that a process that this one starts does not take it over as well.
func Inherit(lists ...[]string) (*Passed, error) {
	found := &Passed{named: map[string]bool{}}
	for _, text := range slices.Concat(lists...) {
		if name, is := strings.CutPrefix(text, systemdPrefix); is && name != "" {
			found.named[name] = true
		}
	}
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	if pid != strconv.Itoa(os.Getpid()) {
		return found, nil
	}
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(name) // it cannot fail for these
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("LISTEN_FDS is %q, and must be a number", count)
	}
	named := strings.Split(names, ":")
	for i := range n {
		name := "unknown" // as systemd calls it
		if i < len(named) && named[i] != "" {
			name = named[i]
		}
		file := os.NewFile(uintptr(firstPassed+i), name) // #nosec G115 -- a few
		if file == nil {
			found.Close()
			return nil, fmt.Errorf("systemd did not pass descriptor %d", firstPassed+i)
		}
		l, err := net.FileListener(file)
		_ = file.Close() // the listener has a copy
		if err != nil {
			found.Close()
			return nil, fmt.Errorf("what systemd passed as %q is no socket that can be listened on (is it Accept=no, and ListenStream= ?): %w", name, err)
		}
		if _, is := l.(*net.UnixListener); is {
			l = local{l}
		}
		found.sockets = append(found.sockets, passed{name, l})
	}
	return found, nil
}

// take returns the sockets of a name, or for "" all that no address names.
func (p *Passed) take(name string) ([]net.Listener, error) {
	if p == nil {
		p = &Passed{}
	}
	var taken []net.Listener
	p.sockets = slices.DeleteFunc(p.sockets, func(one passed) bool {
		if name != "" && one.name != name || name == "" && p.named[one.name] {
			return false
		}
		taken = append(taken, one.listener)
		return true
	})
	if taken == nil {
		return nil, fmt.Errorf("systemd passed no socket for systemd:%s", name)
	}
	return taken, nil
}

// Check refuses sockets that are left: each is there for a purpose.
func (p *Passed) Check() error {
	if len(p.sockets) == 0 {
		return nil
	}
	left := make([]string, len(p.sockets))
	for i, one := range p.sockets {
		left[i] = one.name
	}
	return fmt.Errorf("systemd passed sockets that no address names: %q; listen on systemd: or systemd:NAME", left)
}

// Close closes those that are left.
func (p *Passed) Close() {
	for _, one := range p.sockets {
		_ = one.listener.Close() // nothing was served on it
	}
}
