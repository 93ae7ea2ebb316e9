package e2e_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"restante/internal/e2e"
)

// exchanged is what a program prints that exchanges two messages.
const exchanged = "1 chat ping\n2 chat pong\n"

// workshop is a folder in which clients are generated from the contract that a server serves.
type workshop struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // that of the test
	dir string
}

func newWorkshop(t *testing.T, s *e2e.Server) workshop {
	t.Helper()
	w := workshop{t, e2e.Context(t), t.TempDir()}
	contract := s.Get("/openapi.json")
	if contract.Status != http.StatusOK {
		t.Fatalf("GET /openapi.json: %d %s", contract.Status, contract.Body)
	}
	w.write("openapi.json", contract.Body)
	return w
}

// run runs a program in a folder.
func (w workshop) run(in, name string, arguments ...string) string {
	w.t.Helper()
	cmd := e2e.Command(w.ctx, name, arguments...)
	cmd.Dir, cmd.Env = in, e2e.Environment("GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s %q: %v\n%s", name, arguments, err, out)
	}
	return string(out)
}

func (w workshop) write(name string, text []byte) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// read reads a file of the repository.
func (w workshop) read(path string) []byte {
	w.t.Helper()
	text, err := os.ReadFile(e2e.Path(path))
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// TestGeneratedGo generates a client in Go, which is vetted and used.
func TestGeneratedGo(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	w := newWorkshop(t, s)
	w.write("client/client.go", nil)
	w.run(e2e.Path("."), "go", "tool", "-modfile=.ci/tools.mod", "oapi-codegen",
		"-generate", "types,client", "-package", "client", "-o", filepath.Join(w.dir, "client", "client.go"), filepath.Join(w.dir, "openapi.json"))
	w.write("main.go", w.read("internal/e2e/testdata/stranger/main.go"))
	// The server needs every module that a generated client needs, so nothing has to be downloaded.
	_, requirements, _ := strings.Cut(string(w.read("go.mod")), "\n")
	w.write("go.mod", []byte("module stranger\n"+requirements))
	w.write("go.sum", w.read("go.sum"))
	program := filepath.Join(w.dir, "stranger")
	w.run(w.dir, "go", "vet", "-mod=readonly", "./...")
	w.run(w.dir, "go", "build", "-mod=readonly", "-o", program, ".")
	if got := w.run(w.dir, program, s.URL()); got != exchanged {
		t.Errorf("the sides received\n%swant\n%s", got, exchanged)
	}
}

// TestGeneratedTypeScript generates clients in TypeScript with each generator, compiles them together in strict mode, and
// uses each.
func TestGeneratedTypeScript(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	w := newWorkshop(t, s)
	tools := e2e.Path(".ci/generators")
	if _, err := os.Stat(filepath.Join(tools, "node_modules")); err != nil {
		t.Fatalf("the generators are not there (npm --prefix .ci/generators ci --ignore-scripts): %v", err)
	}
	for _, pattern := range []string{"*.ts", "*.cjs", "*.json"} {
		files, err := filepath.Glob(filepath.Join(tools, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("there is no %s (%v)", pattern, err)
		}
		for _, file := range files {
			w.write(filepath.Base(file), w.read(".ci/generators/"+filepath.Base(file)))
		}
	}
	if err := os.Symlink(filepath.Join(tools, "node_modules"), filepath.Join(w.dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	const bin = "node_modules/.bin/"
	clients := map[string][]string{
		"openapi-fetch": {bin + "openapi-typescript", "openapi.json", "-o", "generated/openapi-typescript.ts"},
		"hey-api":       {bin + "openapi-ts", "-i", "openapi.json", "-o", "generated/hey-api"},
		"orval":         {"env", "SERVER=" + s.URL(), bin + "orval", "--config", "orval.config.cjs"},
	}
	for _, generate := range clients {
		w.run(w.dir, generate[0], generate[1:]...)
	}
	w.run(w.dir, "node_modules/.bin/tsc", "--project", ".")
	for client := range clients {
		if got := w.run(w.dir, "node", "out/"+client+".js", s.URL()); got != exchanged {
			t.Errorf("%s: the sides received\n%swant\n%s", client, got, exchanged)
		}
	}
}
