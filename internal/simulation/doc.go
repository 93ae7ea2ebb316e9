// Package simulation runs the real use cases, session rules, hub and caches in virtual time, on a store in memory whose
// commits fail, are lost, or succeed untold. One goroutine does everything, and all choices come from a seed, so the same
// seed gives the same history.
//
// A step is one call into the service (a command, a handshake, a receive, a tick of a loop) or one event that is
// delivered or lost (a request, a reply, a notification between servers).
//
// What clients must be told comes from a model that learns from the store only which command was committed, and when.
package simulation
