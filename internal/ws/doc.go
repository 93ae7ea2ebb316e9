// Package ws is a WebSocket connection (RFC 6455) of a server with many idle clients: writes share packets, a peer
// that does not read is cut off, one goroutine pings all connections, and a connection can wait without a goroutine.
//
// It must not know what is spoken on a connection. The protocols that handlers and handlers/wormhole speak both use it.
package ws
