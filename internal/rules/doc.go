// Package rules reads the operator's rules about clients: which addresses, apps and client versions are refused, slowed
// down, or told something. docs/rules.md describes the file. It knows what a rule says of a client, and not how a client
// is told.
package rules
