//go:build profile

package goruntime

import (
	"net/http"
	_ "net/http/pprof" // serves /debug/pprof/ on the default mux
	"os"
)

// A server that is built with -tags profile can be looked into at the address in
// RESTANTE_PROFILE. The one that is shipped cannot: docs/performance.md.
func init() {
	if address := os.Getenv("RESTANTE_PROFILE"); address != "" {
		go func() { _ = http.ListenAndServe(address, nil) }() //nolint:gosec // for developers
	}
}
