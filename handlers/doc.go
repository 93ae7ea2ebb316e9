// Package handlers keeps the promise of openapi/openapi.yaml: it parses a
// request, calls a use case of package rendezvous, and renders what comes back.
//
// It owns everything about HTTP: routes, credentials, addresses, limits by
// address, problem documents, logs of requests and metrics. It must not know
// how anything is stored, and it decides nothing about sessions or mailboxes. No handler
// names the status of a failure: problem.go has the one table, and is the only writer of failures.
package handlers
