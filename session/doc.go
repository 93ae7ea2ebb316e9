// Package session is one client's conversation with the server, as values.
//
// A session outlives the connections, the transport and the server process
// that carry it. What is stored of it is a [Record]: the [Ledger] of both
// directions, the [Epoch], and when the client was last seen. The record and
// the time determine the state, so a restarted server and another replica see
// the same state. docs/protocol.md has the diagram of the states.
//
// Each state is a type. Each transition is a method of the state from which it
// starts, so an illegal one does not compile. Waiting for the handshake is no
// state: over HTTP the handshake is one request, which [Decide] answers.
//
// The package owns the rules: the handshake table ([Decide]), the numbering of
// commands and frames, and when silence means that the client is lost. It must
// not know about storage, connections, clocks or mailboxes. It imports the
// standard library only, and it only computes.
package session
