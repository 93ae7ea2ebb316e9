// Package webhooks tells other servers what happens in mailboxes: it sends a signed request for each message, and for
// each mailbox that is retired, of the apps for which the operator wants that. The scheme is that of Standard Webhooks
// (https://www.standardwebhooks.com).
//
// What is to be told, and how far it is, stands in the storage ([rendezvous.Dispatch]). So an event is told at least
// once, with the same id each time, and those of a mailbox in their order, whatever process is killed.
//
// It is no part of the handlers, because it serves no request: it is a client of other servers.
package webhooks
