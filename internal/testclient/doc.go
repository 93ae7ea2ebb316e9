// Package testclient is the clients with which tests use a server: a session that continues after every failure, and
// single requests. The tests of the whole program share it.
package testclient
