// Package testclient has the clients with which tests use a server: a session that continues after every failure, a
// client of the magic-wormhole protocol, and single requests. It knows only what a client knows.
package testclient
