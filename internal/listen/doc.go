// Package listen opens what the server listens on: TCP addresses, Unix sockets and sockets that systemd passes,
// each of them plain or with TLS.
//
// It is a package of its own because none of its rules is about mailboxes or HTTP: which address family a
// literal means, when a Unix socket's file may be replaced, when a certificate is read again. [Open] gives
// listeners, and whatever serves them need not know of what kind they are. A TLS listener gives connections of
// type [crypto/tls.Conn], which offer HTTP/2.
//
// A certificate comes from two files ([KeyPair]) or from a certificate authority that speaks ACME ([ACME]).
package listen
