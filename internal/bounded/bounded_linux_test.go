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

// TestHangingStageIsNamed runs a stage of `make test` that hangs. It ends at its limit, is red and is named, and a
// process that it left in the background ends with it.
func TestHangingStageIsNamed(t *testing.T) {
	t.Parallel()
	testgate.Enter(t)
	for limit := 2 * time.Second; !hangStage(t, limit); limit *= 2 {
		t.Logf("%v is not enough for the stage to begin", limit)
	}
}

// hangStage runs the stage, and checks how that ends. It reports whether its command had begun by then.
func hangStage(t *testing.T, limit time.Duration) (began bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // it hangs
	defer cancel()
	said := filepath.Join(t.TempDir(), "left")
	cmd := exec.CommandContext(ctx, filepath.FromSlash("./.ci/stage"), "-limit", limit.String(), "That hangs",
		"bash", "-c", "setsid sleep 1235 & echo $! >"+said+"; wait")
	cmd.Dir = filepath.Join("..", "..")
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	if ctx.Err() != nil || !errors.As(err, &failed) || failed.ExitCode() < 1 {
		t.Fatalf("the stage ends with %v:\n%s", err, out)
	}
	for _, want := range []string{"── That hangs\n", limit.String() + " have passed", "── That hangs: FAILED ("} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in what the stage says:\n%s", want, out)
		}
	}
	left, err := os.ReadFile(said)
	if err != nil || len(left) == 0 {
		return false
	}
	if command, err := os.ReadFile("/proc/" + strings.TrimSpace(string(left)) + "/cmdline"); err == nil && strings.Contains(string(command), "1235") {
		t.Errorf("a process is left: %q", command)
	}
	return true
}
