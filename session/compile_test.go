package session_test

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestIllegalTransitionsDoNotCompile type-checks lines that a program must not
// be able to contain, beside lines that it must.
func TestIllegalTransitionsDoNotCompile(t *testing.T) {
	legal := map[string]string{
		"attached.Receive":      `_ = attached.Receive(7)`,
		"attached.Acknowledge":  `attached, err = attached.Acknowledge(seq)`,
		"attached.Reconnect":    `attached, err = attached.Reconnect(now, seq)`,
		"attached.Detach":       `detached = attached.Detach(now)`,
		"attached.Close":        `closed = attached.Close(now, session.Deleted)`,
		"attached.Record":       `record = attached.Record()`,
		"detached.Resume":       `attached = detached.Resume(now)`,
		"detached.Close":        `closed = detached.Close(now, session.Replaced)`,
		"detached.Expire":       `closed = detached.Expire()`,
		"closed.Record":         `record = closed.Record()`,
		"detach, resume, close": `closed = attached.Detach(now).Resume(now).Close(now, session.Deleted)`,
		"a state":               `state = attached; state = detached; state = closed`,
		"a receipt":             `receipt = session.Repeated{}; receipt = session.Missing{Expected: 1}; receipt = session.Accepted{}`,
		"something held":        `held = session.Nothing{}; held = session.Live{}; held = session.Tombstone{}`,
		"a decision":            `decision = session.Start{}; decision = session.Resume{}; decision = session.Replace{}; decision = session.Reject{}`,
		"sequence numbers":      `seq = session.Seq(int64(7))`,
		"an id that is parsed":  `_, err = session.ParseID("")`,
	}
	illegal := map[string]struct{ line, want string }{
		"closed.Resume":        {`_ = closed.Resume(now)`, "closed.Resume undefined"},
		"closed.Receive":       {`_ = closed.Receive(7)`, "closed.Receive undefined"},
		"closed.Acknowledge":   {`_, _ = closed.Acknowledge(7)`, "closed.Acknowledge undefined"},
		"closed.Reconnect":     {`_, _ = closed.Reconnect(now, 7)`, "closed.Reconnect undefined"},
		"closed.Detach":        {`_ = closed.Detach(now)`, "closed.Detach undefined"},
		"closed.Close":         {`_ = closed.Close(now, session.Deleted)`, "closed.Close undefined"},
		"closed.Expire":        {`_ = closed.Expire()`, "closed.Expire undefined"},
		"detached.Receive":     {`_ = detached.Receive(7)`, "detached.Receive undefined"},
		"detached.Acknowledge": {`_, _ = detached.Acknowledge(7)`, "detached.Acknowledge undefined"},
		"detached.Reconnect":   {`_, _ = detached.Reconnect(now, 7)`, "detached.Reconnect undefined"},
		"detached.Detach":      {`_ = detached.Detach(now)`, "detached.Detach undefined"},
		"detached.Record":      {`_ = detached.Record()`, "detached.Record undefined"},
		"attached.Resume":      {`_ = attached.Resume(now)`, "attached.Resume undefined"},
		"attached.Expire":      {`_ = attached.Expire()`, "attached.Expire undefined"},

		"any state's Receive":      {`_ = state.Receive(7)`, "state.Receive undefined"},
		"any state's Close":        {`_ = state.Close(now, session.Deleted)`, "state.Close undefined"},
		"closed as attached":       {`attached = closed`, "cannot use closed"},
		"detached as attached":     {`attached = detached`, "cannot use detached"},
		"detached made attached":   {`attached = session.Attached(detached)`, "cannot convert detached"},
		"resuming to a detached":   {`detached = detached.Resume(now)`, "cannot use detached.Resume"},
		"reviving by closing":      {`attached = attached.Close(now, session.Deleted)`, "cannot use attached.Close"},
		"closing without a reason": {`closed = attached.Close(now)`, "not enough arguments"},
		"an attached from nothing": {`attached = session.Attached{life: record}`, "unexported field life"},

		"a foreign state":         {`state = foreign{}`, "foreign does not implement session.State"},
		"a foreign decision":      {`decision = foreign{}`, "foreign does not implement session.Decision"},
		"a foreign receipt":       {`receipt = foreign{}`, "foreign does not implement session.Receipt"},
		"something foreign held":  {`held = foreign{}`, "foreign does not implement session.Stored"},
		"a record as a state":     {`state = record`, "session.Record does not implement session.State"},
		"a decision that is held": {`held = session.Start{}`, "session.Start does not implement session.Stored"},

		"an epoch for a number":   {`seq = session.Epoch(1)`, "cannot use session.Epoch(1)"},
		"a plain number":          {`seq = int64(7)`, "cannot use int64(7)"},
		"an id that is a text":    {`var _ session.ID = "KXW2_hJ0-4fQzT9rLmB7vA"`, "cannot use"},
		"an id's text by itself":  {`_ = session.NewID().secret`, "secret undefined"},
		"an id around the parser": {`_ = session.ID{secret: "KXW2_hJ0-4fQzT9rLmB7vA"}`, "unexported field secret"},
	}

	check := checker(t)
	for name, line := range legal {
		if err := check(line); err != nil {
			t.Errorf("%s is legal, and does not compile: %v", name, err)
		}
	}
	for name, illegal := range illegal {
		switch err := check(illegal.line); {
		case err == nil:
			t.Errorf("%s is illegal, and compiles", name)
		case !strings.Contains(err.Error(), illegal.want):
			t.Errorf("%s does not compile, but because: %v", name, err)
		}
	}
}

// checker answers how to type-check one line of a program that imports this
// package. The package is read from its source; what it imports itself, the go
// command that runs this test finds.
func checker(t *testing.T) func(line string) error {
	t.Helper()
	fset := token.NewFileSet()
	std := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-export", "-f", "{{.Export}}", path).Output() // #nosec G204 -- an import of this package
		if err != nil {
			return nil, err
		}
		return os.Open(strings.TrimSpace(string(out)))
	})
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, e.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	const path = "restante/session"
	conf := types.Config{Importer: std, IgnoreFuncBodies: true}
	pkg, err := conf.Check(path, fset, files, nil)
	if err != nil {
		t.Fatal(err)
	}

	return func(line string) error {
		file, err := parser.ParseFile(fset, "line.go", `package line

import (
	"time"

	"restante/session"
)

type foreign struct{}

func (foreign) state()    {}
func (foreign) decision() {}
func (foreign) receipt()  {}
func (foreign) held()     {}

func line(
	now time.Time, attached session.Attached, detached session.Detached, closed session.Closed, state session.State,
	record session.Record, seq session.Seq, held session.Stored, decision session.Decision, receipt session.Receipt, err error,
) {
	`+line+`
}
`, parser.SkipObjectResolution)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		conf := types.Config{Importer: importing(func(p string) (*types.Package, error) {
			if p == path {
				return pkg, nil
			}
			return std.Import(p)
		})}
		_, err = conf.Check("line", fset, []*ast.File{file}, nil)
		return err
	}
}

// importing is an importer that is a function.
type importing func(path string) (*types.Package, error)

func (f importing) Import(path string) (*types.Package, error) { return f(path) }
