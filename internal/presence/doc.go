// Package presence is what one process knows about the clients of sessions and has not written down:
// signs of life, acknowledgements, and what is under way.
//
// Losing a [Table] costs nothing. A stored sign of life is believed for [MaxLag] longer than it says,
// and a frame whose acknowledgement is lost is only kept longer.
//
// The package must not know about storage, transports or mailboxes. It reads no clock: the caller
// passes the time.
package presence
