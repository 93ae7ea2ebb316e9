package wormhole

import "restante/handlers/welcome"

// sendWelcome sends the first message on a connection.
func (c *conn) sendWelcome() error {
	c.permitted = c.settings.HashcashBits == 0
	says := map[string]any{"your-address": c.client.YourAddress, "address-id": c.client.Address}
	if c.settings.Motd != "" {
		says["motd"] = c.settings.Motd
	}
	if c.settings.AdvertiseVersion != "" {
		says["current_cli_version"] = c.settings.AdvertiseVersion
	}
	if c.settings.SignalError != "" {
		says["error"] = c.settings.SignalError
	}
	if !c.permitted {
		c.resource = welcome.NewResource()
		// One deployed client cannot read this without the member none, which is null where none is not enough.
		says["permission-required"] = map[string]any{"none": nil, welcome.MethodHashcash: map[string]any{"bits": c.settings.HashcashBits, "resource": c.resource}}
	}
	return c.Send(encodeMessage("welcome", member{"welcome", says}))
}
