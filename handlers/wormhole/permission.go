package wormhole

import (
	"fmt"

	"restante/handlers/welcome"
	"restante/internal/jsonobject"
)

// submit checks a client's proof that it may use the server.
func (c *conn) submit(o jsonobject.Object) error {
	method, _ := o.String("method")
	switch {
	case c.settings.HashcashBits == 0 && (method == "none" || method == welcome.MethodHashcash):
		return nil // nothing was asked for
	case method != welcome.MethodHashcash:
		return protocolError(fmt.Sprintf("'%.40s' is not one of: %s", method, welcome.MethodHashcash))
	}
	stamp, _ := o.String("stamp")
	if !welcome.ValidStamp(stamp, c.resource, c.settings.HashcashBits) {
		return submitFailed
	}
	c.permitted = true
	c.stopWorking()
	return nil
}
