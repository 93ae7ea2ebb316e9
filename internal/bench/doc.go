// Package bench puts load on a server and measures it, so that operators can size a deployment. The server is Restante or
// any other that speaks the magic-wormhole mailbox protocol.
//
// It owns the scenarios, the clients that play them and the report. It checks what it measures: every message must arrive
// once and in order, otherwise the figures are worth nothing and it says so. It must know nothing of the server but its
// protocols, so it imports no other package of this module: it measures what any client meets.
//
// It is neither part of the server nor a test of it: it is the command restante bench.
package bench
