// Package wormhole is the end-to-end tests of the magic-wormhole protocol: with the clients that
// people use, and beside the reference server.
package wormhole
