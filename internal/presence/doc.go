// Package presence is what one process knows about the clients of sessions and has not written down:
// signs of life, acknowledgements, and what is under way.
//
// Losing a [Table] costs next to nothing. A stored sign of life is believed for [MaxLag] longer than it
// says, and a frame whose acknowledgement is lost is only kept longer. Only a sign of life that ends a
// longer silence than that is lost with it, until it is written: within 50 ms.
//
// The package must not know about storage, transports or mailboxes. It reads no clock: the caller
// passes the time.
package presence
