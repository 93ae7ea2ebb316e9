package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"restante/internal/testgate"
	"restante/repo/pgtest"
)

// Nightly is how much of something a test does: more in the run of every night, for which there is more time.
func Nightly(night, day int) int {
	if os.Getenv("RESTANTE_NIGHTLY") != "" {
		return night
	}
	return day
}

// binaryVariable names the program that is tested, built with the race detector. Without it, each test binary builds its own.
const binaryVariable = "RESTANTE_TEST_BINARY"

// Version is the version that is built into the program.
const Version = "1.2.3-test"

// binary returns where the program is. It is built at the first call.
var binary = sync.OnceValue(func() string {
	if path := os.Getenv(binaryVariable); path != "" {
		return path
	}
	path := filepath.Join(workDir(), "restante")
	compile := Command(context.Background(), "go", "build", "-race", "-gcflags=modernc.org/...=-race=false", // as .ci/test
		"-ldflags", "-X main.version="+Version, "-o", path, ".")
	compile.Dir = moduleDir()
	if out, err := compile.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("cannot build the program: %v\n%s", err, out))
	}
	return path
})

// workDir is a folder of this test binary's own, which Main removes.
var workDir = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "restante-test-")
	if err != nil {
		panic(err)
	}
	made.Store(&dir)
	return dir
})

var made atomic.Pointer[string]

// Main runs the tests of a package that tests the program, and clears away what they share. It returns the exit code.
func Main(m *testing.M) int {
	defer pgtest.Stop()
	defer func() {
		if dir := made.Load(); dir != nil {
			_ = os.RemoveAll(*dir) // the system's own clearing up finds it otherwise
		}
	}()
	return testgate.Main(m)
}

// moduleDir is the module's folder, which is above that of every test.
var moduleDir = sync.OnceValue(func() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		above := filepath.Dir(dir)
		if above == dir {
			panic("the tests run outside of their module")
		}
		dir = above
	}
})

// Path returns where a file of the module is.
func Path(path string) string { return filepath.Join(moduleDir(), filepath.FromSlash(path)) }

// Environment is ours without what would configure the server, and without the
// second that the race detector takes for itself at the end of every program.
func Environment(more ...string) []string {
	kept := []string{"GORACE=atexit_sleep_ms=0"}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "RESTANTE_") {
			kept = append(kept, v)
		}
	}
	return append(kept, more...)
}

// Run is the program, run to its end. It waits for the answers of a slow server.
func Run(t *testing.T, env []string, arguments ...string) (stdout, stderr string, code int) {
	t.Helper()
	program := binary() // which may take a while, once
	ctx := Context(t)
	cmd := exec.CommandContext(ctx, program, arguments...)
	var out, complaints bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = t.TempDir(), Environment(append([]string{"RESTANTE_TIMEOUT=" + Limit.String()}, env...)...), &out, &complaints
	err := cmd.Run()
	var failed *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &failed) {
		t.Fatalf("restante %q does not end: %v\n%s%s", arguments, err, out.String(), complaints.String())
	}
	return out.String(), complaints.String(), cmd.ProcessState.ExitCode()
}
