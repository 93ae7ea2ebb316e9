package handlers

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// DefaultForwardedHeader is the header in which a trusted proxy names the client, unless another one is configured.
const DefaultForwardedHeader = "X-Forwarded-For"

var headerName = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

// CheckForwardedHeader reports why a header cannot be the one in which proxies name the client.
func CheckForwardedHeader(name string) error {
	if !headerName.MatchString(name) {
		return errors.New("it must be the name of a header, as X-Forwarded-For")
	}
	return nil
}

// clientAddress is middleware that finds the address of the client, and what stands for it.
func (s *Server) clientAddress(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := infoOf(r)
		info.client = s.clientOf(r)
		info.address = s.Service.AddressID(info.client)
		next.ServeHTTP(w, r)
	})
}

// clientOf returns the address of the client: that of the connection, unless it is a trusted proxy that names the
// client's. What a proxy says last is believed first, and as long as it names proxies that are trusted, too. If a name
// cannot be read, the request counts as that of the proxy that said so.
func (s *Server) clientOf(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	client := peer.Addr().Unmap().WithZone("")
	header := s.forwardedHeader()
	named := strings.Split(strings.Join(r.Header.Values(header), ","), ",")
	for _, name := range slices.Backward(named) {
		if !s.trusts(client) {
			break
		}
		if strings.EqualFold(header, "Forwarded") {
			name = forwardedFor(name)
		}
		address, err := parseForwarded(strings.TrimSpace(name))
		if err != nil {
			break
		}
		client = address
	}
	return client
}

func (s *Server) forwardedHeader() string {
	if s.ForwardedHeader == "" {
		return DefaultForwardedHeader
	}
	return s.ForwardedHeader
}

// trusts reports whether an address is that of a trusted proxy.
func (s *Server) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(s.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// forwardedFor returns what one element of a Forwarded header says of its client (RFC 7239, §4).
func forwardedFor(element string) string {
	for pair := range strings.SplitSeq(element, ";") {
		name, value, _ := strings.Cut(pair, "=")
		if strings.EqualFold(strings.TrimSpace(name), "for") {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}

// parseForwarded reads an address, with a port or without, and an IPv6 address also in brackets.
func parseForwarded(name string) (netip.Addr, error) {
	if withPort, err := netip.ParseAddrPort(name); err == nil {
		return withPort.Addr().Unmap().WithZone(""), nil
	}
	if inside, is := strings.CutPrefix(name, "["); is {
		name = strings.TrimSuffix(inside, "]")
	}
	address, err := netip.ParseAddr(name)
	return address.Unmap().WithZone(""), err
}

// addressOf returns what stands for the client's address in limits, logs and answers: see
// [rendezvous.Service.AddressID].
func addressOf(ctx context.Context) string {
	return infoIn(ctx).address
}

// clientIP returns the client's address.
func clientIP(ctx context.Context) netip.Addr {
	return infoIn(ctx).client
}
