package handlers

import (
	"net/http"
	"net/netip"
	"strconv"

	"github.com/go-chi/chi/v5/middleware"

	"restante/api"
)

// Notices are what an operator tells every client that comes, and asks of it.
// They can be changed while the server runs.
type Notices struct {
	// Motd is shown to people.
	Motd string `json:"motd"`
	// AdvertiseVersion is the client version that people should have.
	AdvertiseVersion string `json:"advertiseVersion"`
	// SignalError has every client end with this text.
	SignalError string `json:"signalError"`
	// DisallowList keeps the nameplates that wait to those who know them.
	DisallowList bool `json:"disallowList"`
	// HashcashBits is how much work a client has to have done; 0 asks for none.
	HashcashBits int `json:"hashcashBits"`
}

// welcome is the first message on a socket.
func (c *socket) welcome(address map[string]any) error {
	c.permitted = c.notices.HashcashBits == 0
	welcome := map[string]any{"your-address": address}
	if c.notices.Motd != "" {
		welcome["motd"] = c.notices.Motd
	}
	if c.notices.AdvertiseVersion != "" {
		welcome["current_cli_version"] = c.notices.AdvertiseVersion
	}
	if c.notices.SignalError != "" {
		welcome["error"] = c.notices.SignalError
	}
	if !c.permitted {
		c.challenge = mintChallenge()
		// One deployed client cannot read this without the member none, which is null where none is not enough.
		welcome["permission-required"] = map[string]any{"none": nil, methodHashcash: map[string]any{"bits": c.notices.HashcashBits, "resource": c.challenge}}
	}
	return c.send(told("welcome", fields{"welcome": welcome}))
}

// greeting is the same for a session.
func (n Notices) greeting(address string) api.Welcome {
	w := api.Welcome{YourAddress: address}
	for text, member := range map[*string]**string{&n.Motd: &w.Motd, &n.AdvertiseVersion: &w.CurrentCliVersion, &n.SignalError: &w.Error} {
		if *text != "" {
			*member = text
		}
	}
	return w
}

// yourAddress is the client's address as it is told: of its socket, or as a
// trusted proxy says. A proxy that does not tell the port is fine.
func yourAddress(r *http.Request) map[string]any {
	address := middleware.GetClientIPAddr(r.Context())
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
