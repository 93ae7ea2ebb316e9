package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
)

// Config says what to listen on. Addresses are :4000, 127.0.0.1:4000, [::]:4000, unix:/path, systemd: (every
// socket that systemd passes and no other address names), systemd:NAME, or [None].
type Config struct {
	Plain      []string    // addresses without TLS
	Secure     []string    // addresses with TLS
	TLS        *tls.Config // for the secure addresses; must be set if there are any
	SocketMode fs.FileMode // the permissions of Unix sockets that Open makes
	Budget     *Budget     // of the connections on TCP; nil is no limit
	Passed     *Passed     // the sockets that systemd passed, which other addresses take, too; nil: there are none
}

// Listeners are open, and each must be closed, by serving it to an end or by [Listeners.Close].
type Listeners struct {
	all []listener
}

type listener struct {
	net.Listener
	secure bool
}

// Open listens on every address of a configuration, or on none: then it returns an error that says which one
// cannot be had and why.
func Open(ctx context.Context, c Config) (_ *Listeners, err error) {
	addresses, err := parseAll(c.Plain, c.Secure)
	if err != nil {
		return nil, err
	}
	opened := &Listeners{}
	defer func() {
		if err != nil {
			opened.Close()
		}
	}()
	for _, a := range addresses {
		if a.secure && c.TLS == nil {
			return nil, fmt.Errorf("%s needs a certificate", a.text)
		}
		found, err := open(ctx, a, c.SocketMode, c.Passed)
		if err != nil {
			return nil, err
		}
		for _, l := range found {
			if c.Budget != nil {
				l = limited{l, c.Budget}
			}
			if a.secure {
				l = tls.NewListener(l, c.TLS)
			}
			opened.all = append(opened.all, listener{l, a.secure})
		}
	}
	if len(opened.all) == 0 {
		return nil, errors.New("there is nothing to listen on")
	}
	return opened, nil
}

// open listens on one address. What systemd passed may be several sockets.
func open(ctx context.Context, a address, mode fs.FileMode, passed *Passed) ([]net.Listener, error) {
	switch a.kind {
	case systemd:
		return passed.take(a.at)
	case unixSocket:
		l, err := openUnix(ctx, a.at, mode)
		if err != nil {
			return nil, fmt.Errorf("cannot listen on %s: %w", a.text, err)
		}
		return []net.Listener{l}, nil
	case tcp:
	}
	l, err := new(net.ListenConfig).Listen(ctx, a.network, a.at)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is taken by another program; choose another address", a.text)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("cannot listen on %s: %w; a port below 1024 needs root, CAP_NET_BIND_SERVICE or systemd's socket activation", a.text, err)
	case err != nil:
		return nil, fmt.Errorf("cannot listen on %s: %w", a.text, err)
	}
	return []net.Listener{l}, nil
}

// All returns the listeners, in the order of their addresses, the plain ones first.
func (l *Listeners) All() []net.Listener {
	all := make([]net.Listener, len(l.all))
	for i, one := range l.all {
		all[i] = one.Listener
	}
	return all
}

// Addrs returns the addresses that are listened on, in the order of All.
func (l *Listeners) Addrs() []net.Addr {
	all := make([]net.Addr, len(l.all))
	for i, one := range l.all {
		all[i] = one.Addr()
	}
	return all
}

// Secure reports whether TLS is spoken on any of them.
func (l *Listeners) Secure() bool {
	for _, one := range l.all {
		if one.secure {
			return true
		}
	}
	return false
}

// Public reports whether other machines may be able to connect: whether any of them is on a TCP address that is not
// a loopback address.
func (l *Listeners) Public() bool {
	for _, one := range l.all {
		if at, is := one.Addr().(*net.TCPAddr); is && !at.IP.IsLoopback() {
			return true
		}
	}
	return false
}

// Loopback reports whether each of them is on a loopback address. A Unix socket is not: behind it is a proxy.
func (l *Listeners) Loopback() bool {
	for _, one := range l.all {
		if at, is := one.Addr().(*net.TCPAddr); !is || !at.IP.IsLoopback() {
			return false
		}
	}
	return true
}

// Close closes all of them.
func (l *Listeners) Close() {
	for _, one := range l.all {
		_ = one.Listener.Close() // at worst, it is closed already
	}
}
