package wormhole

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/gorilla/websocket"

	"restante/internal/rules"
	"restante/internal/ws"
	"restante/rendezvous"
)

// meetRules has the welcome say what the operator's rules say of the client's address. Clients show its error, and end.
func (c *conn) meetRules() {
	c.rules = c.server.Rules()
	v := c.rules.OfAddress(c.client.IP, c.client.Address)
	if v.Refuse != "" {
		c.server.Refused(rendezvous.RejectedByCustomHandler, c.client.Address)
		c.settings.SignalError = v.Refuse
	}
	c.settings.Motd = strings.TrimSpace(c.settings.Motd + "\n" + v.Message)
}

// meetNewRules ends the connection if the rules have changed and refuse its address now.
func (c *conn) meetNewRules(ctx context.Context) error {
	now := c.server.Rules()
	if now == c.rules {
		return nil
	}
	c.rules = now
	v := now.OfAddress(c.client.IP, c.client.Address)
	if v.Refuse == "" {
		return nil
	}
	c.server.Refused(rendezvous.RejectedByCustomHandler, c.client.Address)
	if err := c.drain(ctx); err != nil {
		return err
	}
	if err := c.Send(encodeMessage("error", member{"error", v.Refuse}, member{"orig", json.RawMessage("{}")})); err != nil {
		return err
	}
	return &ws.CloseError{Code: websocket.ClosePolicyViolation, Reason: "refused"}
}

// admit refuses a client that binds, or lets it wait first, as the rules and the operator say.
func (c *conn) admit(ctx context.Context, app rendezvous.AppID, version [2]string) error {
	said := ""
	if version != ([2]string{}) {
		said = version[0] + "/" + version[1]
	}
	v := c.rules.OfClient(rules.Client{Address: c.client.IP, AddressID: c.client.Address, App: string(app), Version: said})
	if delay := max(v.Delay, c.rules.OfAddress(c.client.IP, c.client.Address).Delay); delay > 0 {
		c.stopBindTimer() // it has done its part
		if !c.Pause(delay) {
			return protocolError("the client has left")
		}
	}
	if v.Refuse != "" {
		return c.clientError(&rendezvous.Failure{Code: rendezvous.RejectedByCustomHandler, Detail: v.Refuse})
	}
	if err := c.server.Service.Admits(ctx, rendezvous.ClientInfo{App: app, Client: version, Address: c.client.Address}); err != nil {
		return c.clientError(err)
	}
	return nil
}
