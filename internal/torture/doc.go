// Package torture is a nemesis: it runs servers and clients, does to them what networks, disks and
// operators do, and checks the history of all operations against what the server promises.
//
// It is a black box. It knows the contract (openapi.yaml), the magic-wormhole protocol, the program's
// command line and, for counting what is left at the end, the names of tables. It must not import what
// it tests: a shared mistake would hide itself.
package torture
