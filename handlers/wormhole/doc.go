// Package wormhole speaks the magic-wormhole mailbox protocol, as deployed clients speak it, on the same use cases and
// mailboxes as sessions. It is an adapter and stores nothing of its own. docs/wormhole.md says where it deviates from
// the reference server, and why.
//
// An `add` passes the files in this order: conn reads it, commands checks it, pipeline adds it together with others,
// subscribe sends what the mailbox holds, encode writes it as JSON.
package wormhole
