package e2e_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"restante/internal/e2e"
)

// TestGeneratedClient checks that a client generated from the contract that a server serves can be compiled and used.
func TestGeneratedClient(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	ctx := e2e.Context(t)
	dir := t.TempDir()
	run := func(in, name string, arguments ...string) string {
		t.Helper()
		cmd := e2e.Command(ctx, name, arguments...)
		cmd.Dir, cmd.Env = in, e2e.Environment("GOWORK=off")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, arguments, err, out)
		}
		return string(out)
	}
	write := func(name string, text []byte) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(path string) []byte {
		t.Helper()
		text, err := os.ReadFile(e2e.Path(path))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}

	contract := s.Get("/openapi.json")
	if contract.Status != http.StatusOK {
		t.Fatalf("GET /openapi.json: %d %s", contract.Status, contract.Body)
	}
	write("openapi.json", contract.Body)
	write("client/client.go", nil)
	run(e2e.Path("."), "go", "tool", "-modfile=.ci/tools.mod", "oapi-codegen",
		"-generate", "types,client", "-package", "client", "-o", filepath.Join(dir, "client", "client.go"), filepath.Join(dir, "openapi.json"))
	write("main.go", read("internal/e2e/testdata/stranger/main.go"))
	// The server needs every module that a generated client needs, so nothing has to be downloaded.
	_, requirements, _ := strings.Cut(string(read("go.mod")), "\n")
	write("go.mod", []byte("module stranger\n"+requirements))
	write("go.sum", read("go.sum"))
	program := filepath.Join(dir, "stranger")
	run(dir, "go", "build", "-mod=readonly", "-o", program, ".")
	if got, want := run(dir, program, s.URL()), "1 chat ping\n2 chat pong\n"; got != want {
		t.Errorf("the sides received\n%swant\n%s", got, want)
	}
}
