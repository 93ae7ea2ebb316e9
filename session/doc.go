// Package session is one client's conversation with the server, as values.
//
// A session outlives the connections, the transport and the server process
// that carry it. What is stored of it is a [Record]: the [Ledger] of both
// directions, the [Epoch], and when the client was last seen. What state it is
// in is what the record says at a given moment, so a restart or another replica
// reads the same truth:
//
//	             handshake accepted                  no sign of life for
//	(handshake) ───────────────────► Attached ─── heartbeatInterval × heartbeatsUntilDead ──┐
//	                                  ▲    │  ▲                                              ▼
//	             handshake or request │    │  └────────── any sign of life ────────────── Detached
//	                                  └────┼─────────────────────────────────────────────┘   │
//	                    DELETE, replaced   │                                 grace runs out   │
//	                                       ▼                                                  ▼
//	                                     Closed (a tombstone, so that a late client gets a true answer)
//
// Each state is a type and each transition a method of the state it starts
// from, so an illegal one does not compile. Waiting for the handshake is no
// state: over HTTP the handshake is the request, and a goroutine's position in
// [Decide] is all that remembers it.
//
// The package owns the rules: the handshake table ([Decide]), the numbering of
// commands and frames, and when silence turns into loss. It must not know about
// storage, connections, clocks or mailboxes; it imports the standard library
// only and does nothing but compute.
package session
