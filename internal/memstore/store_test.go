package memstore_test

import (
	"flag"
	"testing"

	"restante/internal/memstore"
	"restante/rendezvous"
	"restante/repo/repotest"
)

// The simulation is worth as much as its store is like the real ones.
func TestStore(t *testing.T) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		if err := checks.Value.Set("40"); err != nil { // as for the real stores
			t.Fatal(err)
		}
	}
	repotest.Run(t, func(*testing.T) rendezvous.Store { return memstore.New() })
}
