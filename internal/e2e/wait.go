package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"restante/internal/testgate"
)

// Limit is for how long a test waits for anything. It says nothing of how fast things are: it is
// there so that what hangs is reported, by name, with all that was logged. Nothing comes close to it on a machine that
// is slow and busy.
const Limit = 4 * time.Minute

// Context is that of a test, which ends with the test, or at the limit. By night a test does several times as much, for which it
// has five times the limit.
func Context(t *testing.T) context.Context {
	t.Helper()
	testgate.Enter(t) // before the time runs
	limit := time.Duration(Nightly(5, 1)) * Limit
	ctx, cancel := context.WithTimeoutCause(t.Context(), limit, fmt.Errorf("%s hangs: it has not ended within %v", t.Name(), limit))
	t.Cleanup(cancel)
	return ctx
}

// Eventually waits until something holds. Another process cannot be waited for
// but by looking again, so that is done here, and nowhere else.
func Eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(Limit)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			t.Fatalf("it hangs; waited %v for: %s", Limit, what)
		case <-tick.C:
		}
	}
}
