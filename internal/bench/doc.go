// Package bench puts load on a server and measures it, for everyone who sizes a
// deployment: Restante itself, and any server that speaks the magic-wormhole mailbox protocol.
//
// It owns the scenarios, the clients that play them and the report. It checks what it
// measures: every message must arrive once and in order, or the figures are worth nothing and
// it says so. It must not know anything of the server but its protocols, so it imports no other
// package of ours: what it measures is what a stranger's client would meet.
//
// It has a folder of its own as it is neither part of the server nor a test of it: it is
// shipped, as a command.
package bench
