package main_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"restante/internal/testgate"
)

// TestABreakdownOfTheRaceDetectorIsNoFailure runs a test in which the race detector breaks down, as `make test` runs all
// tests. The package is run again, once, and only if nothing else is wrong with it.
func TestABreakdownOfTheRaceDetectorIsNoFailure(t *testing.T) {
	t.Parallel()
	testgate.Enter(t)
	for _, test := range []struct {
		name                string
		times, says, signal string
		green               bool
		runs                int
	}{
		{"once", "1", "", "", true, 2},
		{"once, by a signal", "1", "", "1", true, 2},
		{"each time", "9", "", "", false, 2},
		{"after a data race", "1", "WARNING: DATA RACE", "", false, 1},
		{"never", "0", "", "", true, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // in case it hangs
			defer cancel()
			runs := filepath.Join(t.TempDir(), "runs")
			cmd := exec.CommandContext(ctx, filepath.FromSlash("./.ci/test"), "./internal/bounded/testdata/breaks")
			cmd.Dir = filepath.Join("..", "..")
			cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir(), "BREAKS_RUNS="+runs, "BREAKS="+test.times, "BREAKS_SAYS="+test.says, "BREAKS_BY_SIGNAL="+test.signal)
			cmd.WaitDelay = time.Second
			out, err := cmd.CombinedOutput()
			if ctx.Err() != nil || (err == nil) != test.green {
				t.Errorf("the run ends with %v:\n%s", err, out)
			}
			if said := strings.Contains(string(out), "The race detector broke down in these packages, which are run again: restante/internal/bounded/testdata/breaks\n"); said != (test.runs > 1) {
				t.Errorf("that it is run again is said: %v\n%s", said, out)
			}
			if left, err := os.ReadFile(runs); err != nil || len(left) != test.runs {
				t.Errorf("it ran %d times, want %d (%v)", len(left), test.runs, err)
			}
		})
	}
}
