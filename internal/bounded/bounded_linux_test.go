package main_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"restante/internal/testgate"
)

// hangs is the package of a test that hangs.
const hangs = "./internal/bounded/testdata/hangs"

// TestHangingTestEndsTheRun runs a test that hangs, as `make test` runs all tests. The run ends by its limit, is
// red and names the test, and nothing of it is left.
func TestHangingTestEndsTheRun(t *testing.T) {
	t.Parallel()
	testgate.Enter(t)
	t.Run("at the limit of a package", func(t *testing.T) {
		if !hang(t, "TEST_TIMEOUT=2s", "TEST_LIMIT=1h") {
			t.Error("the test did not begin")
		}
	})
	t.Run("at the limit of the run", func(t *testing.T) {
		for limit := 10 * time.Second; !hang(t, "TEST_TIMEOUT=1h", "TEST_LIMIT="+limit.String()); limit *= 2 {
			t.Logf("%v is not enough for the test to be compiled", limit)
		}
	})
}

// hang runs the test, and checks how that ends. It reports whether the test had begun by then.
func hang(t *testing.T, limits ...string) (began bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // it hangs
	defer cancel()
	temp, said := t.TempDir(), filepath.Join(t.TempDir(), "left")
	cmd := exec.CommandContext(ctx, filepath.FromSlash("./.ci/test"), hangs)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), append(limits, "TMPDIR="+temp, "HANGS_LEFT="+said)...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	if ctx.Err() != nil || !errors.As(err, &failed) || failed.ExitCode() < 1 {
		t.Fatalf("the run ends with %v:\n%s", err, out)
	}
	if entries, err := os.ReadDir(temp); err != nil || len(entries) > 0 {
		t.Errorf("in the folder for temporary files are left %v (%v)", entries, err)
	}
	left, err := os.ReadFile(said)
	if err != nil {
		return false
	}
	if !strings.Contains(string(out), "These tests did not end:\n  restante/internal/bounded/testdata/hangs TestThatHangs\n") {
		t.Errorf("the run does not name the test that hung:\n%s", out)
	}
	for _, pid := range strings.Fields(string(left))[:2] {
		if command, err := os.ReadFile("/proc/" + pid + "/cmdline"); err == nil && strings.Contains(string(command), "1234") {
			t.Errorf("the process %s is left: %q", pid, command)
		}
	}
	return true
}
