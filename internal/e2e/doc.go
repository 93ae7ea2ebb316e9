// Package e2e is what the end-to-end tests share: the program as a child process, which may be
// killed and started again; clients of it, which hold it to what it promises; and the programs that people use with it.
//
// The tests are beside it, in page for what needs a browser, in wormhole for the magic-wormhole protocol, and in abuse for
// clients that ask for too much.
package e2e
