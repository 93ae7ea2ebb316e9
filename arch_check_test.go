package main_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// check tells what is wrong with an import, or nothing.
func check(from string, inTest bool, imports string) string {
	l, placed := layers[from]
	if !placed {
		return from + " has no place in the layers: give it one in arch_test.go, and say why"
	}
	if inTest {
		if _, may := listed(l.tests, imports); may || imports == from {
			return ""
		}
	}
	if why, is := listed(l.bans, imports); is {
		return fmt.Sprintf("%s must not import %s: %s", from, imports, why)
	}
	for root, c := range confined {
		if (imports == root || strings.HasPrefix(imports, root+"/")) && from != c.to && !strings.HasPrefix(from, c.to+"/") {
			return fmt.Sprintf("%s must not import %s, only %s may: %s", from, imports, c.to, c.why)
		}
	}
	_, allowed := listed(l.allows, imports)
	free := inTest || l.testOnly != "" || allowed
	if why, is := listed(forTests, imports); is && !free {
		return fmt.Sprintf("%s must not import %s outside of tests: %s", from, imports, why)
	}
	ours := imports == module || strings.HasPrefix(imports, module+"/")
	switch {
	case ours && !slices.Contains(l.uses, imports):
		return fmt.Sprintf("%s must not import %s: of ours, it may import %q", from, imports, l.uses)
	case ours && layers[imports].testOnly != "" && !free:
		return fmt.Sprintf("%s must not import %s outside of tests: %s", from, imports, layers[imports].testOnly)
	case !ours && l.stdlib != "" && !inTest && strings.Contains(imports, "."): // modules have a dot in their names
		return fmt.Sprintf("%s must not import %s: %s", from, imports, l.stdlib)
	}
	return ""
}

// listed tells whether an import, or a folder that it is in, is in a list.
func listed(list map[string]string, imports string) (why string, is bool) {
	for at := imports; at != "."; at = path.Dir(at) {
		if why, is := list[at]; is {
			return why, true
		}
	}
	return "", false
}

// source is one file, as far as its imports.
type source struct {
	pkg  string // the import path of its folder
	name string
	test bool
	tree *ast.File
}

// sources are all Go files of the module, whatever they are built for.
func sources(t *testing.T) []source {
	t.Helper()
	var found []source
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (d.Name()[0] == '.' || d.Name() == "testdata" || d.Name() == "node_modules"):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		tree, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		found = append(found, source{path.Join(module, filepath.ToSlash(filepath.Dir(name))), name, strings.HasSuffix(name, "_test.go"), tree})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestLayers(t *testing.T) {
	missing := maps.Clone(layers)
	for _, s := range sources(t) {
		delete(missing, s.pkg)
		for _, i := range s.tree.Imports {
			imports, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if wrong := check(s.pkg, s.test, imports); wrong != "" {
				t.Errorf("%s: %s", s.name, wrong)
			}
		}
	}
	for pkg := range missing {
		t.Errorf("%s has a place in the layers and no files", pkg)
	}
}

// TestLayersCanFail feeds the check what must not pass, and the nearest that must.
func TestLayersCanFail(t *testing.T) {
	tests := map[string]struct {
		from    string
		inTest  bool
		imports string
		want    string // part of the complaint; empty: there is none
	}{
		"handlers meet repo":                        {"restante/handlers", false, "restante/repo", "only main knows both"},
		"handlers' tests have a store":              {"restante/handlers", true, "restante/repo", ""},
		"handlers use the domain":                   {"restante/handlers", false, "restante/rendezvous", ""},
		"handlers use what the domain keeps inside": {"restante/handlers", false, "restante/internal/hub", "the use cases decide"},
		"repo meets handlers":                       {"restante/repo", false, "restante/handlers", "only main knows both"},
		"repo implements the domain's interface":    {"restante/repo", false, "restante/rendezvous", ""},
		"rendezvous imports net/http":               {"restante/rendezvous", false, "net/http", "whichever protocol"},
		"a ban holds for what is below, and tests":  {"restante/rendezvous", true, "net/http/httptest", "whichever protocol"},
		"a ban does not hold for a longer name":     {"restante/rendezvous", false, "net/httpish", ""},
		"rendezvous imports database/sql":           {"restante/rendezvous", false, "database/sql", "SQL belongs to repo"},
		"rendezvous imports sqlx":                   {"restante/rendezvous", false, "github.com/jmoiron/sqlx", "SQL belongs to repo"},
		"rendezvous imports a module":               {"restante/rendezvous", false, "github.com/google/uuid", "plain Go"},
		"rendezvous imports repo":                   {"restante/rendezvous", false, "restante/repo", "must not import"},
		"rendezvous' tests do":                      {"restante/rendezvous", true, "restante/repo", ""},
		"session imports net":                       {"restante/session", false, "net", "outlives every connection"},
		"session imports a module":                  {"restante/session", false, "github.com/google/uuid", "values and arithmetic"},
		"session's tests do":                        {"restante/session", true, "github.com/google/go-cmp/cmp", ""},
		"session imports the domain":                {"restante/session", false, "restante/rendezvous", "must not import"},
		"hub imports session":                       {"restante/internal/hub", false, "restante/session", "must not import"},
		"api imports the domain":                    {"restante/api", false, "restante/rendezvous", "must not import"},
		"openapi imports api":                       {"restante/openapi", false, "restante/api", "must not import"},
		"web's tests import something of ours":      {"restante/web", true, "restante/openapi", "must not import"},
		"a package imports main":                    {"restante/repo", true, module, "must not import"},
		"main is tested from outside":               {module, true, module, ""},
		"main wires":                                {module, false, "restante/repo", ""},
		"main wires what is not its own":            {module, false, "restante/internal/hub", "must not import"},
		"the suite of stores is in the program":     {"restante/repo", false, "restante/repo/repotest", "must not import"},
		"the suite of stores is in tests":           {"restante/repo", true, "restante/repo/repotest", ""},
		"the suite of stores imports testing":       {"restante/repo/repotest", false, "testing", ""},
		"the suite of stores knows one":             {"restante/repo/repotest", false, "restante/repo", "by their interface"},
		"traces are of OpenTelemetry":               {"restante/internal/tracing", false, "go.opentelemetry.io/otel/trace", ""},
		"the domain knows OpenTelemetry":            {"restante/rendezvous", true, "go.opentelemetry.io/otel/trace", "/internal/tracing may"},
		"handlers know OpenTelemetry":               {"restante/handlers", false, "go.opentelemetry.io/otel", "/internal/tracing may"},
		"testing is in the program":                 {"restante/repo", false, "testing", "test flags"},
		"what is below testing is, too":             {"restante/internal/hub", false, "testing/synctest", "test flags"},
		"a package is new":                          {module + "/utils", false, "fmt", "has no place"},
		"a new package is imported":                 {module, false, module + "/utils", "must not import"},
		"a package imports itself":                  {"restante/internal/hub", false, "restante/internal/hub", "must not import"},
		"a test imports what it tests":              {"restante/internal/hub", true, "restante/internal/hub", ""},
		"the standard library is for everyone":      {"restante/web", false, "embed", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := check(tt.from, tt.inTest, tt.imports)
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("check(%q, %t, %q) = %q, want %q in it", tt.from, tt.inTest, tt.imports, got, tt.want)
			}
		})
	}
}

// TestPackagesSayWhatTheyAre holds that each package has a comment, by hand, of
// which the first sentence is about it.
func TestPackagesSayWhatTheyAre(t *testing.T) {
	comments, commands := map[string]string{}, map[string]bool{}
	for _, s := range sources(t) {
		if s.tree.Name.Name == "main" {
			commands[s.pkg] = true
		}
		if _, known := comments[s.pkg]; !known {
			comments[s.pkg] = ""
		}
		if doc := s.tree.Doc.Text(); !s.test && !ast.IsGenerated(s.tree) && doc != "" {
			if comments[s.pkg] != "" {
				t.Errorf("%s: package %s has two comments", s.name, s.pkg)
			}
			comments[s.pkg] = doc
		}
	}
	for pkg, comment := range comments {
		begins := "Package " + path.Base(pkg) + " "
		if commands[pkg] {
			begins = "Command " + path.Base(pkg) + " "
		}
		if !strings.HasPrefix(comment, begins) {
			t.Errorf("the comment of %s begins with %.30q, want %q", pkg, comment, begins)
		}
	}
}
