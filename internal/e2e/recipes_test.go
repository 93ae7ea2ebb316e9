package e2e_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"restante/internal/e2e"
)

// block returns the sh block behind a mark in a Markdown file.
func block(t *testing.T, file, mark string) string {
	t.Helper()
	text, err := os.ReadFile(e2e.Path(file))
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "<!-- "+mark+" -->\n```sh\n")
	script, _, ended := strings.Cut(after, "```")
	if !found || !ended {
		t.Fatalf("%s has no block %q", file, mark)
	}
	return script
}

// recipe returns such a block for a server at an address.
func recipe(t *testing.T, file, mark, address string) string {
	t.Helper()
	script := block(t, file, mark)
	if !strings.Contains(script, "localhost:4000") {
		t.Fatalf("%s has no recipe %q for localhost:4000", file, mark)
	}
	return strings.ReplaceAll(script, "localhost:4000", address)
}

// run runs a recipe in a directory, and returns what it prints.
func run(ctx context.Context, t *testing.T, dir, script string) string {
	t.Helper()
	bash := e2e.Command(ctx, "bash", "-e", "-o", "pipefail", "-c", script)
	bash.Dir = dir
	out, err := bash.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s\n%s", err, script, out)
	}
	return string(out)
}

// TestTwoLines pastes the two lines of the README, in both orders.
func TestTwoLines(t *testing.T) {
	t.Parallel()
	ctx, dir := e2e.Context(t), t.TempDir()
	for _, waits := range []bool{false, true} {
		s := e2e.Serve(t)
		leave, fetch := recipe(t, "README.md", "leave", s.Address), recipe(t, "README.md", "fetch", s.Address)
		script := leave + fetch
		if waits {
			script = strings.TrimSpace(fetch) + " &\n" + leave + "wait $!\n"
		}
		if out := run(ctx, t, dir, script); !strings.Contains(out, "Tea at four?") {
			t.Errorf("if the reader is first (%v), it gets %s", waits, out)
		}
	}
}

// TestRecipes runs the recipes of docs/http.md.
func TestRecipes(t *testing.T) {
	t.Parallel()
	ctx, dir := e2e.Context(t), t.TempDir()
	s := e2e.Serve(t)
	at := func(mark string) string { return recipe(t, "docs/http.md", "recipe: "+mark, s.Address) }
	for hours := 1; hours <= 3; hours++ {
		run(ctx, t, dir, at("report"))
		run(ctx, t, dir, at("collect"))
		run(ctx, t, dir, at("collect")) // again: nothing is new
		reports, err := os.ReadFile(filepath.Join(dir, "reports"))
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(string(reports), "\n"); lines != hours {
			t.Fatalf("after %d reports, %d are collected:\n%s", hours, lines, reports)
		}
	}
	device := at("device")
	prepare, until, _ := strings.Cut(device, "until ")
	send, _, _ := strings.Cut(until, "; do\n") // the first reply is lost, so the device sends the same again
	if out := run(ctx, t, dir, prepare+send+"\necho \"$answer\"\nuntil "+until); strings.Count(out, `"position":1,`) != 2 {
		t.Errorf("the device's reading is added more than once: %s", out)
	}
	waits := "(" + at("wait") + ") &\n" + "(" + at("approve") + ") >/dev/null\nwait $!\n"
	if out := run(ctx, t, dir, waits); !strings.Contains(out, "the answer is approved") {
		t.Errorf("the job gets %s", out)
	}
	if out := run(ctx, t, dir, at("hook")+"\n"+at("hooked")); !strings.HasSuffix(out, "opened 7\n") {
		t.Errorf("what reads the webhook gets %s", out)
	}
}

// TestRecipesEndAtAFinalRefusal runs the recipes that try again with secrets that are too short: they stop, and say why.
func TestRecipesEndAtAFinalRefusal(t *testing.T) {
	t.Parallel()
	ctx, dir := e2e.Context(t), t.TempDir()
	s := e2e.Serve(t)
	for mark, secret := range map[string]string{"device": "device-secret-made-up-once", "wait": "ci-job-secret-made-up-once"} {
		script := strings.ReplaceAll(recipe(t, "docs/http.md", "recipe: "+mark, s.Address), secret, "short")
		bash := e2e.Command(ctx, "bash", "-c", script)
		bash.Dir = dir
		out, err := bash.CombinedOutput()
		if _, ended := errors.AsType[*exec.ExitError](err); !ended || ctx.Err() != nil {
			t.Errorf("the recipe %q goes on (%v): %s", mark, err, out)
		}
		if !strings.Contains(string(out), "SESSION_REQUIRED") {
			t.Errorf("the recipe %q does not say why it ends: %s", mark, out)
		}
	}
}

// TestRecipeTimer takes the units of the timer as they stand: systemd finds no fault in them, and what they start
// collects a report.
func TestRecipeTimer(t *testing.T) {
	t.Parallel()
	ctx, dir := e2e.Context(t), t.TempDir()
	s := e2e.Serve(t)
	text, err := os.ReadFile(e2e.Path("docs/http.md"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"collect.sh": recipe(t, "docs/http.md", "recipe: collect", s.Address)}
	for _, name := range []string{"collect.service", "collect.timer"} {
		_, after, found := strings.Cut(string(text), "<!-- recipe: "+name+" -->\n```ini\n")
		unit, _, ended := strings.Cut(after, "```")
		if !found || !ended {
			t.Fatalf("docs/http.md has no unit %s", name)
		}
		files[name] = strings.ReplaceAll(unit, "/srv/reports", dir)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out := run(ctx, t, dir, "systemd-analyze verify --man=no ./collect.service ./collect.timer"); out != "" {
		t.Errorf("systemd says: %s", out)
	}
	_, line, _ := strings.Cut(files["collect.service"], "ExecStart=")
	line, _, _ = strings.Cut(line, "\n")
	run(ctx, t, dir, recipe(t, "docs/http.md", "recipe: report", s.Address)+line)
	if reports, err := os.ReadFile(filepath.Join(dir, "reports")); err != nil || strings.Count(string(reports), "\n") != 1 {
		t.Errorf("what is collected is %q, %v", reports, err)
	}
}

// TestUnit takes the server's unit as it stands, but for the program, which systemd wants to be there: systemd finds no
// fault in it.
func TestUnit(t *testing.T) {
	t.Parallel()
	ctx, dir := e2e.Context(t), t.TempDir()
	text, err := os.ReadFile(e2e.Path("docs/operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "```ini\n[Unit]\n")
	unit, _, ended := strings.Cut(after, "```")
	if !found || !ended {
		t.Fatal("docs/operations.md has no unit")
	}
	unit = "[Unit]\n" + strings.ReplaceAll(unit, "/usr/local/bin/restante", "/bin/true")
	if err := os.WriteFile(filepath.Join(dir, "restante.service"), []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(ctx, t, dir, "systemd-analyze verify --man=no ./restante.service"); out != "" {
		t.Errorf("systemd says: %s", out)
	}
}
