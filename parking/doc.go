// Package parking lets requests and sockets wait without a goroutine, a stack
// and buffers of their own: of one that waits, its connection is left, and what it waits for.
//
// A handler that has nothing to answer yet parks its request: the connection is taken away from the
// [http.Server], and the handler returns. When what it waits for has come, or when the connection
// stirs (the client hung up, or sent more), the connection goes back to the server as if it were new,
// with the request in front of what the client sends next. So the handler is called again, finds what it
// left, and answers. Every byte of an answer is written by the server, as always.
//
// The package owns connections while nobody serves them. It must not know who waits for what: no
// sessions, no mailboxes. It imports the standard library only. Where the system cannot tell of a
// connection that stirs (all but Linux), there is no [Lot], and a nil Lot parks nothing.
package parking
