// Package handlerstest runs the real handlers on a real store, in the process of a test: the tests of handlers and of
// handlers/wormhole use the same server. What HTTP clients do with it belongs to the tests of handlers; its wormhole
// clients are those of internal/testclient.
package handlerstest
