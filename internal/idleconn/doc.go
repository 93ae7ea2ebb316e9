// Package idleconn lets requests and sockets wait without a goroutine, a stack and buffers of their own. Only the
// connection and what it waits for stay in memory.
//
// [Server] wraps an [http.Server]. A handler that has nothing to answer yet calls [Wait]: the connection leaves the
// [http.Server], and the handler returns. Once the [Waiter] is ready, or once the connection becomes readable (the
// client hung up or sent more), the connection goes back to the [http.Server] as if it were new, with the request in
// front of what the client sends next. So the handler runs again, finds its waiter with [Resume], and answers. The
// [http.Server] writes every byte of such an answer, as always. An answer that goes on for long, as an event stream
// does, leaves it with [Detach] once its head is written, and then writes its chunks itself. A [Repeater] answers
// requests that are all the same, and has the [http.Server] serve what differs.
//
// The package owns connections while nothing serves them. It must not know what they wait for: no sessions, no
// mailboxes. It imports no module. Where the system cannot tell when a connection becomes readable (all
// but Linux), there is no [Pool], and requests wait on their goroutines.
package idleconn
