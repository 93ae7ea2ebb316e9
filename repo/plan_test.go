package repo_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"restante/repo"
)

// visits are the statements that may visit a whole table or index, by how they begin.
var visits = map[string]string{
	"SELECT (SELECT COUNT(*) FROM nameplates) AS nameplates,":                      "the status counts everything; it asks no more often than it is looked at",
	"SELECT COUNT(*) FROM (SELECT 1 FROM sessions WHERE ended IS NOT NULL LIMIT ?": "an index of nothing but tombstones, and no more of it than is asked for",
	"SELECT key FROM sessions WHERE ended IS NOT NULL ORDER BY ended, key LIMIT 1": "the first entry of an index of nothing but tombstones",
}

// changing is a statement whose plan says something.
var changing = regexp.MustCompile(`^(SELECT|INSERT|UPDATE|DELETE|WITH)\b`)

// common tells the files whose statements both engines run when they serve; those for
// PostgreSQL alone are in others.
func common(file string) bool {
	return !strings.HasPrefix(file, "sqlite") && file != "migrate.go" && !strings.HasPrefix(file, "postgres") && !strings.HasPrefix(file, "notify")
}

func postgres(file string) bool { return file == "postgres_locks.go" || file == "postgres_batch.go" }

// noneScansPostgres is noneScans for PostgreSQL, which would rather walk through tables
// that are empty, if it might.
func noneScansPostgres(t *testing.T, statements *sync.Map) {
	db := openPostgres(t, repo.Options{})
	statements.Range(func(query, _ any) bool {
		statement := oneLine(query.(string))
		if !changing.MatchString(statement) {
			return true
		}
		for _, step := range repo.PostgresPlan(t, db, query.(string)) {
			if strings.Contains(step, "Seq Scan") && !mayVisit(statement) {
				t.Errorf("%s\n%s", step, statement)
			}
		}
		return true
	})
}

// noneScans tells that every statement finds its rows by an index, that none walks
// through all that an app has, and that none sorts more than it answers with.
func noneScans(t *testing.T, statements *sync.Map) {
	db := open(t, repo.Options{})
	statements.Range(func(query, _ any) bool {
		statement := oneLine(query.(string))
		if !changing.MatchString(statement) {
			return true
		}
		for _, step := range repo.SQLitePlan(t, db, query.(string)) {
			scans := strings.HasPrefix(step, "SCAN ") && step != "SCAN few" && step != "SCAN CONSTANT ROW"
			walks := strings.HasSuffix(step, "(app=?)") && !strings.Contains(statement, "LIMIT") // all that an app has
			sorts := strings.HasPrefix(step, "USE TEMP B-TREE") && strings.Contains(statement, "LIMIT")
			if (scans || walks || sorts) && !mayVisit(statement) {
				t.Errorf("%s\n%s", step, statement)
			}
		}
		return true
	})
}

func mayVisit(statement string) bool {
	for beginning := range visits {
		if strings.HasPrefix(statement, beginning) {
			return true
		}
	}
	return false
}

// allWereRun tells that the suite has run every query that is written in the
// package, so that no plan goes unseen.
func allWereRun(t *testing.T, statements *sync.Map, of func(file string) bool, least int) {
	ran := make(map[string]bool)
	statements.Range(func(query, _ any) bool {
		ran[oneLine(query.(string))] = true
		return true
	})
	written := queries(of)
	if len(written) < least {
		t.Errorf("only %d queries were found in the source, want %d at least", len(written), least)
	}
	for query := range written {
		if !ran[query] {
			t.Errorf("the suite never runs: %s", query)
		}
	}
}

// queries are the string expressions of the package that are SQL, except those
// that only open a database.
func queries(of func(file string) bool) map[string]bool {
	files := token.NewFileSet()
	names, err := os.ReadDir(".")
	must(err)
	var sources []*ast.File
	fragments := make(map[string]string) // constants, which are only parts of queries
	for _, name := range names {
		if !strings.HasSuffix(name.Name(), ".go") || strings.HasSuffix(name.Name(), "_test.go") || !of(name.Name()) {
			continue
		}
		file, err := parser.ParseFile(files, name.Name(), nil, 0)
		must(err)
		sources = append(sources, file)
		for _, d := range file.Decls {
			if d, ok := d.(*ast.GenDecl); ok && d.Tok == token.CONST {
				for _, s := range d.Specs {
					if s := s.(*ast.ValueSpec); len(s.Values) == 1 {
						if text, ok := textOf(s.Values[0], nil); ok {
							fragments[s.Names[0].Name] = text
						}
					}
				}
			}
		}
	}
	found := make(map[string]bool)
	for _, file := range sources {
		ast.Inspect(file, func(n ast.Node) bool {
			if d, ok := n.(*ast.GenDecl); ok && d.Tok != token.VAR {
				return false
			}
			e, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			text, ok := textOf(e, fragments)
			if ok && changing.MatchString(oneLine(text)) {
				found[oneLine(text)] = true
			}
			return !ok
		})
	}
	return found
}

// textOf is what an expression of strings and constants says.
func textOf(e ast.Expr, constants map[string]string) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		x, ok := textOf(e.X, constants)
		y, also := textOf(e.Y, constants)
		return x + y, ok && also && e.Op == token.ADD
	case *ast.Ident:
		text, ok := constants[e.Name]
		return text, ok
	}
	return "", false
}

// oneLine is a query without its layout.
func oneLine(query string) string { return strings.Join(strings.Fields(query), " ") }
