// Package conformance plays the rules of the contract and of the protocols against a running server, and tells which of
// them it keeps. The server may be this one, or another implementation of the same contract.
//
// The package owns the rules, written down as short conversations, and the table that comes of them. It must not know
// how any server is made: it has nothing but a URL and the contract.
package conformance
