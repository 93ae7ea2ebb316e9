package torture

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"restante/internal/testgate"
)

func TestMain(m *testing.M) { os.Exit(testgate.Main(m)) }

// TestNemesis runs the nemesis for some seconds: clients of all transports, and the faults that a SQLite server meets. On a
// machine on which nothing happens in these seconds, it runs longer.
func TestNemesis(t *testing.T) {
	t.Parallel()
	testgate.Enter(t)
	server := buildServer(t, ".")
	for span := 8 * time.Second; !runReaches(t, server, span); span *= 2 {
		if span > time.Minute {
			t.Fatalf("in %v not all happened that is checked", span)
		}
	}
}

// runReaches runs the nemesis, and reports whether each transport was used, a server was killed and something was said.
func runReaches(t *testing.T, server string, span time.Duration) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	report, err := Run(ctx, Config{ // with this seed, the first three rooms have clients of all transports, and the first fault is a kill
		Server: server, Seed: 20, Duration: span, Rooms: 3, Patience: 2 * time.Minute,
		Faults: []string{cutting, "kill", "sever", "storm", "restart"},
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := report.Write(&text); err != nil {
		t.Fatal(err)
	}
	t.Log(text.String())
	if report.Failed() {
		t.Fatal("the server broke a promise")
	}
	for _, transport := range Transports {
		if report.Operations[transport] == 0 {
			return false
		}
	}
	return report.Injected["kill"] != nil && report.Messages > 0 && report.Events > 0
}

// buildServer builds the program of the module at a directory below the module's root.
func buildServer(t *testing.T, at string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "restante")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Dir = filepath.Join("..", "..", at)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the server: %v: %s", err, out)
	}
	return program
}
