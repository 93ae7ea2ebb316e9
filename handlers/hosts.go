package handlers

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"restante/rendezvous"
)

// LoopbackHosts are the names by which a browser on this machine reaches a server on a loopback address.
func LoopbackHosts() []string { return []string{"localhost", "127.0.0.1", "::1"} }

// CheckHost reports why a host that is to be allowed would never match: a host is a name or an IP address without a
// port, *.example.org for every name below example.org, or * for every host.
func CheckHost(host string) error {
	name := strings.TrimPrefix(host, "*.")
	switch _, err := netip.ParseAddr(strings.Trim(host, "[]")); {
	case host == "*" || err == nil:
		return nil
	case strings.ContainsAny(name, "/?#@ "):
		return errors.New("write the name alone, as in relay.example.org")
	case strings.Contains(name, ":"):
		return errors.New("leave out the port: a name is allowed on every port")
	case strings.Contains(name, "*") || name == "":
		return errors.New("a * stands alone, or as in *.example.org")
	}
	return nil
}

// NoDomain allows every IP address and every name that is no domain of the internet: localhost, names below it, and
// names without a dot. A page cannot have such a name resolve to another machine, so rebinding needs a domain.
const NoDomain = "no domain"

// isNoDomain reports whether [NoDomain] allows a host.
func isNoDomain(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || !strings.Contains(host, ".") || strings.HasSuffix(host, ".localhost")
}

// allowsHost reports whether patterns allow a host, with or without a port. No patterns allow every host.
func allowsHost(patterns []string, host string) bool {
	if len(patterns) == 0 {
		return true
	}
	host = canonicalHost(host)
	for _, pattern := range patterns {
		below, wild := strings.CutPrefix(pattern, "*.")
		if pattern == "*" || pattern == NoDomain && isNoDomain(host) || !wild && host == canonicalHost(pattern) || wild && strings.HasSuffix(host, "."+canonicalHost(below)) {
			return true
		}
	}
	return false
}

// canonicalHost returns a host without its port, brackets and final dot, in lower case.
func canonicalHost(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return canonicalName(host)
}

// canonicalName returns a host that has no port without its brackets and final dot, in lower case.
func canonicalName(host string) string {
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// allowedHost is middleware that refuses requests for hosts that are not allowed. A page of any site can have its own
// name resolve to 127.0.0.1, and a browser then takes a server there to be of the page's origin (DNS rebinding); the
// Host header is what such a request cannot change. The probes are answered for every host: monitoring often asks by
// address, and they tell nothing.
func (s *Server) allowedHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/livez", "/readyz":
		default:
			if !allowsHost(s.Hosts, r.Host) {
				s.fail(w, r, &rendezvous.Failure{Code: misdirectedRequest, Detail: fmt.Sprintf("this server does not answer for %.100q; its operator can allow it with --allowed-hosts", r.Host)})
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
