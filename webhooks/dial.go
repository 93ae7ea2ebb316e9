package webhooks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// errAddress is for a receiver at an address to which this server does not connect.
var errAddress = errors.New("the receiver's address is not a public one, and not allowed")

// special are addresses that lead into the operator's own network, or nowhere. What IPv6 embeds of IPv4 is among
// them, because a gateway may take it there.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("3fff::/20"),
}

// publicIPv6 has all public addresses of IPv6: loopback, local, mapped and translated ones are outside of it.
var publicIPv6 = netip.MustParsePrefix("2000::/3")

// mayConnect reports whether this server connects to an address for a webhook: without TLS, only to an allowed one.
func (h *Webhook) mayConnect(to netip.Addr) bool {
	to = to.Unmap().WithZone("")
	holds := func(p netip.Prefix) bool { return p.Contains(to) }
	if slices.ContainsFunc(h.Allow, holds) {
		return true
	}
	return h.isTLS() && !slices.ContainsFunc(special, holds) && (to.Is4() || publicIPv6.Contains(to))
}

// newClient returns a client that connects only to where it may: the address is checked when it is dialled, after the
// name was resolved. It follows no redirect and uses no proxy.
func newClient(h *Webhook) *http.Client {
	dialer := &net.Dialer{
		Timeout: h.timeout(),
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil || !h.mayConnect(to.Addr()) {
				return fmt.Errorf("%s: %w", address, errAddress)
			}
			return nil
		},
	}
	return &http.Client{
		Timeout:       h.timeout(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			MaxConnsPerHost:        concurrency,
			MaxIdleConnsPerHost:    concurrency,
			IdleConnTimeout:        90 * time.Second,
			TLSHandshakeTimeout:    h.timeout(),
			MaxResponseHeaderBytes: 64 << 10,
		},
	}
}
