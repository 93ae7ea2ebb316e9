package simulation_test

import (
	"flag"
	"runtime/debug"
	"testing"
	"testing/cryptotest"
	"time"

	"restante/internal/simulation"
)

var (
	steps = flag.Int64("steps", 20_000, "how many steps are simulated")
	seed  = flag.Uint64("seed", 1, "of the choices")
	first = flag.Uint64("history", 0, "the first history")
)

// Nothing that is promised is broken, whatever happens. For a deeper run: make simulate STEPS=100000000.
func TestSimulation(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // what lives is small: the default would collect all the time
	began, used := time.Now(), cpuTime()
	r, err := simulation.Run(repeatable(t, simulation.Options{Seed: *seed, First: *first, Steps: *steps}))
	took := time.Since(began)
	used = cpuTime() - used
	t.Logf("%+v", r)
	t.Logf("%d steps, %v of protocol, in %v, with %v of processor time: %.0f a minute and core, of which %.0f are no ticks",
		r.Steps, r.Virtual, took, used, float64(r.Steps)/used.Minutes(), float64(r.Steps-r.Ticks)/used.Minutes())
	if err != nil {
		t.Fatal(err)
	}
}

// repeatable has the server draw the same again if a history is played again.
func repeatable(t *testing.T, o simulation.Options) simulation.Options {
	t.Helper()
	o.Random = func(seed uint64) { cryptotest.SetGlobalRandom(t, seed) }
	return o
}

func TestTheSameSeedGivesTheSameHistory(t *testing.T) {
	digest := func(seed uint64) uint64 {
		r, err := simulation.Run(repeatable(t, simulation.Options{Seed: seed, Steps: 5000}))
		if err != nil {
			t.Fatal(err)
		}
		return r.Digest
	}
	if one, again := digest(1), digest(1); one != again {
		t.Errorf("%x, and then %x", one, again)
	}
	if digest(1) == digest(2) {
		t.Error("two seeds give one history")
	}
}

// A simulation that never finds anything proves nothing.
func TestPlantedBugsAreFound(t *testing.T) {
	for _, bug := range simulation.Bugs {
		t.Run(string(bug), func(t *testing.T) {
			r, err := simulation.Run(repeatable(t, simulation.Options{Seed: 1, Steps: 200_000, Bug: bug}))
			if err == nil {
				t.Fatal("it is not found")
			}
			t.Logf("found after %d steps: %.200s", r.Steps, err)
		})
	}
}
