package handlers

import (
	"context"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/gorilla/websocket"

	"restante/handlers/welcome"
	"restante/handlers/wormhole"
)

// serveWormhole is GET /v1: the magic-wormhole mailbox protocol, and the page for people to everything else.
func (s *Server) serveWormhole(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "Magic Wormhole Mailbox (Restante "+s.Version+")")
	if r.Method == http.MethodHead || !websocket.IsWebSocketUpgrade(r) {
		if r.URL.Path != "/v1" { // from here, what the page refers to would not be found
			w.Header().Set("Cache-Control", "no-cache")
			w.Header().Set("Location", "../v1")
			w.WriteHeader(http.StatusPermanentRedirect)
			return
		}
		s.page(w, r)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	conn, leave := s.upgrade(ctx, cancel, w, r, http.Header{"Server": w.Header()["Server"]}, wormhole.IdleTimeout) //nolint:contextcheck // the socket outlives the request
	if conn == nil {
		cancel()
		return
	}
	release := hold(&s.open.wormhole)
	s.wormhole.Serve(ctx, cancel, conn, wormhole.Client{Address: addressOf(r.Context()), IP: clientIP(r.Context()), YourAddress: yourAddress(r)}, func() { release(); leave() }) //nolint:contextcheck // the socket outlives the request
}

// noTokens tells wormhole clients that they cannot be admitted where tokens are asked for: their protocol has no place for one.
const noTokens = "this server admits only clients with a token, which wormhole clients cannot have"

// wormholeSettings returns what wormhole clients are told and asked now.
func (s *Server) wormholeSettings() welcome.Settings {
	settings := s.currentSettings()
	if s.Service.VerifyToken != nil && settings.SignalError == "" {
		settings.SignalError = noTokens
	}
	return settings
}

// yourAddress returns the client's address as a wormhole client is told it: that of its connection, or the one that
// a trusted proxy names. The proxy need not name the port.
func yourAddress(r *http.Request) map[string]any {
	address := clientIP(r.Context())
	port := 0
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && peer.Addr().Unmap() == address.Unmap() {
		port = int(peer.Port())
	} else if told, err := strconv.ParseUint(r.Header.Get("X-Real-Port"), 10, 16); err == nil {
		port = int(told) // #nosec G115 -- 16 bits
	}
	family := "ipv6"
	if address.Unmap().Is4() {
		family = "ipv4"
	}
	return map[string]any{"port": port, family: address.Unmap().String()}
}
