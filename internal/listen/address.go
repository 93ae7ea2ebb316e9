package listen

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// systemdPrefix begins the addresses of sockets that systemd passes.
const systemdPrefix = "systemd:"

// None stands in a list of addresses for no address at all.
const None = "none"

// kind tells the forms of an address apart.
type kind int

const (
	tcp kind = iota
	unixSocket
	systemd
)

// address is one place to listen on.
type address struct {
	text    string // as it was given
	kind    kind
	network string // of TCP: tcp, tcp4 or tcp6
	at      string // host:port, the path of a socket, or the name that systemd has for a socket ("": every socket)
	secure  bool   // whether TLS is spoken
}

// parse understands one address.
func parse(text string, secure bool) (address, error) {
	a := address{text: text, secure: secure}
	if name, is := strings.CutPrefix(text, systemdPrefix); is {
		a.kind, a.at = systemd, name
		return a, nil
	}
	if path, is := strings.CutPrefix(text, "unix:"); is {
		a.kind, a.at = unixSocket, path
		if rest, is := strings.CutPrefix(path, "//"); is {
			a.at = rest // as in a URL
		}
		if a.at == "" || a.at[0] == '@' {
			return a, fmt.Errorf("%q names no file: write unix:/run/restante/restante.sock", text)
		}
		return a, nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || port == "" {
		return a, fmt.Errorf("%q is no address: write :4000, 127.0.0.1:4000, [::1]:4000, unix:/path, or systemd: as it is", text)
	}
	a.at, a.network = text, "tcp"
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is4() {
		a.network = "tcp4" // 0.0.0.0 means IPv4; for "tcp", it would mean both families
	}
	return a, nil
}

// parseAll understands the addresses of a server. An unspecified IPv6 address takes IPv4 connections too, as most
// programs have it, unless an IPv4 address with the same port is in the list: then both are opened.
func parseAll(plain, secure []string) ([]address, error) {
	var all []address
	port4 := map[string]bool{}
	for _, list := range []struct {
		texts  []string
		secure bool
	}{{plain, false}, {secure, true}} {
		for _, text := range list.texts {
			if text == None {
				continue
			}
			a, err := parse(text, list.secure)
			if err != nil {
				return nil, err
			}
			if _, port, err := net.SplitHostPort(a.at); a.network == "tcp4" && err == nil && port != "0" {
				port4[port] = true
			}
			all = append(all, a)
		}
	}
	for i, a := range all {
		host, port, err := net.SplitHostPort(a.at)
		if ip, bad := netip.ParseAddr(host); a.network == "tcp" && err == nil && bad == nil && ip.Is6() && port4[port] {
			all[i].network = "tcp6" // with IPV6_V6ONLY
		}
	}
	return all, nil
}

// Check reports what is wrong with the addresses of a server, without opening any.
func Check(plain, secure []string) error {
	_, err := parseAll(plain, secure)
	return err
}
