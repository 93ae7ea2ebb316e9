package torture

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"restante/internal/testgate"
)

// planted is a mistake that is planted into the server, as a patch with a description in front of it.
type planted struct {
	path, what string
	rules      []string // any of which it breaks
	faults     []string
	life       time.Duration
	replicas   int      // on PostgreSQL; 0: one on SQLite
	files      []string // that it changes
}

// everyDay is the bug that is found in the shortest time.
const everyDay = "third-side.patch"

// TestPlantedBugs holds that the nemesis finds each planted bug within two minutes, by a rule that the bug breaks. The nightly
// form plants all of them, the other one only [everyDay].
func TestPlantedBugs(t *testing.T) {
	t.Parallel()
	patches, err := filepath.Glob("testdata/bugs/*.patch")
	if err != nil || len(patches) < 10 {
		t.Fatalf("there are %d patches: %v", len(patches), err)
	}
	for _, path := range patches {
		b := readBug(t, path)
		apply(t, b) // a patch that no longer fits is seen at once
		if filepath.Base(path) != everyDay && os.Getenv("RESTANTE_NIGHTLY") == "" {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(path), ".patch"), func(t *testing.T) {
			t.Parallel()
			testgate.Enter(t)
			hunt(t, b, plant(t, b))
		})
	}
}

func readBug(t *testing.T, path string) planted {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b := planted{path: path}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch name {
		case "Bug:":
			b.what = value
		case "Rule:":
			b.rules = append(b.rules, value)
		case "Faults:":
			b.faults = strings.Split(value, ",")
		case "Replicas:":
			if b.replicas, err = strconv.Atoi(value); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		case "Life:":
			if b.life, err = time.ParseDuration(value); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		case "+++":
			b.files = append(b.files, strings.TrimPrefix(value, "b/"))
		}
	}
	if b.what == "" || len(b.rules) == 0 || len(b.faults) == 0 || len(b.files) == 0 {
		t.Errorf("%s is not complete: %+v", path, b)
	}
	return b
}

// apply applies a bug's patch to copies of the files, and returns their directory and which file each replaces. A patch whose
// surroundings have changed is not applied: it once came to stand where nothing runs.
func apply(t *testing.T, b planted) (changed string, replace map[string]string) {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	changed, replace = t.TempDir(), map[string]string{}
	for _, file := range b.files {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatalf("%s changes a file that is not there: %v", b.path, err)
		}
		replace[filepath.Join(root, file)] = filepath.Join(changed, file)
		if err := os.MkdirAll(filepath.Dir(filepath.Join(changed, file)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(changed, file), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	patch, err := filepath.Abs(b.path)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "patch", "-p1", "--fuzz=0", "-d", changed, "-i", patch).CombinedOutput(); err != nil {
		t.Fatalf("%s does not apply any more: %v\n%s", b.path, err, out)
	}
	return changed, replace
}

// plant builds the server with a bug. It changes copies of the files, not the files.
func plant(t *testing.T, b planted) (program string) {
	t.Helper()
	changed, replace := apply(t, b)
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(changed, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(t.TempDir(), "restante")
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", file, "-o", program, ".")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the server with %s: %v\n%s", b.path, err, out)
	}
	return program
}

// hunt runs the nemesis with one seed after the other until it finds a bug, for two minutes at most.
func hunt(t *testing.T, b planted, program string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	began := time.Now()
	database, long, rooms := "", 4*time.Second, 4
	if b.replicas > 0 {
		database, long, rooms = "postgres", 20*time.Second, 8 // it takes its time to start
	}
	var others []string
	for seed := uint64(1); ; seed++ {
		report, err := Run(ctx, Config{
			Server: program, Seed: seed, Duration: long, Rooms: rooms, Faults: b.faults, Life: b.life, Replicas: b.replicas, Database: database,
			Patience: 10 * time.Second, Until: b.rules,
		}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatalf("not caught in %v: %s (%v); what was found is %q", time.Since(began), b.what, err, others)
		}
		_ = os.RemoveAll(report.Logs)
		for _, v := range report.Violations {
			if slices.Contains(b.rules, v.Rule) {
				t.Logf("caught after %v, with seed %d: %s", time.Since(began).Round(time.Second), seed, short(v.What))
				return
			}
			others = append(others, v.Rule)
		}
	}
}
