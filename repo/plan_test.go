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

// allowedScans are the beginnings of statements that may scan a whole table or index, with the reason.
var allowedScans = map[string]string{
	"SELECT COUNT(*) FROM nameplates":                             "the status counts everything, and rests in between",
	"SELECT COUNT(*) AS mailboxes,":                               "the same",
	"SELECT COUNT(*) FROM sessions WHERE ended IS NULL":           "the same",
	"SELECT (p.page_count - f.freelist_count) * s.page_size":      "tables of one row, with what stands in the file's header",
	"SELECT address, CAST(SUM(bytes) AS BIGINT) AS bytes":         "the sums are read at the start, and twice a minute where there are replicas",
	"SELECT COUNT(*) AS pending,":                                 "the same",
	"UPDATE dispatches SET abandoned = 0":                         "an index of nothing but what was abandoned, once at a start",
	"SELECT day, app, result, rank, count, value FROM (":          "the operator asks for usage, by hand or seldom",
	"SELECT app, COALESCE(implementation, '') AS implementation,": "the same",
	"SELECT kind, result, count FROM usage_totals":                "a dozen rows, and an index of what was not counted yet",
	"UPDATE usage_nameplates SET counted = 1":                     "the first entries of an index of what was not counted yet",
	"UPDATE usage_mailboxes SET counted = 1":                      "the same",
	"SELECT id, version, started, seen, skew, pruned":             "a row for each server of the last day",
	"SELECT 'nameplate' AS kind, result, COUNT(*) AS count":       "the operator asks for it, of a server that is dead",
	"SELECT s.key, s.app, s.side, s.address, s.began, o.epoch, s.wanted, o.kept, o.next, s.seen, s.grace, s.used, s.ended, s.reason, s.ended_text, s.token_expires, s.token_ask_at FROM sessions AS s JOIN outboxes AS o ON o.session = s.key WHERE s.ended IS NULL AND (CAST": "the operator lists sessions, by hand",
	"SELECT COUNT(*) FROM (SELECT 1 FROM sessions WHERE ended IS NOT NULL LIMIT ?":                               "an index of nothing but tombstones, and no more of it than is asked for",
	"SELECT key FROM sessions WHERE ended IS NOT NULL ORDER BY ended, key LIMIT 1":                               "the first entry of an index of nothing but tombstones",
	"SELECT COUNT(*) FROM (SELECT 1 FROM usage_nameplates LIMIT ?":                                               "an index, no more of it than is asked for, once in a run of pruning and once for many records that it deletes",
	"SELECT COUNT(*) FROM (SELECT 1 FROM usage_mailboxes LIMIT ?":                                                "the same",
	"SELECT COUNT(*) FROM (SELECT 1 FROM client_versions LIMIT ?":                                                "the same",
	"DELETE FROM usage_nameplates WHERE rowid IN (SELECT rowid FROM usage_nameplates WHERE counted = 1 ORDER BY": "the first entries of an index, nearly all of which are counted",
	"DELETE FROM usage_mailboxes WHERE rowid IN (SELECT rowid FROM usage_mailboxes WHERE counted = 1 ORDER BY":   "the same",
	"DELETE FROM client_versions WHERE rowid IN (SELECT rowid FROM client_versions ORDER BY connected":           "the first entries of an index",
}

// statementWithPlan matches statements that have a plan.
var statementWithPlan = regexp.MustCompile(`^(SELECT|INSERT|UPDATE|DELETE|WITH)\b`)

// sharedFile reports whether both engines run a file's statements when they serve. Statements for
// PostgreSQL only are in other files. Flaws are looked for by hand, in whole tables.
func sharedFile(file string) bool {
	return file != "flaws.go" && !strings.HasPrefix(file, "sqlite") && file != "migrate.go" && !strings.HasPrefix(file, "postgres") && !strings.HasPrefix(file, "notify")
}

func postgresFile(file string) bool {
	return file == "postgres_locks.go" || file == "postgres_batch.go"
}

// wantNoScansPostgres is wantNoScans for PostgreSQL, which prefers to scan tables that are empty
// unless that is disabled.
func wantNoScansPostgres(t *testing.T, statements *sync.Map) {
	db := openPostgres(t, repo.Options{})
	statements.Range(func(query, _ any) bool {
		statement := oneLine(query.(string))
		if !statementWithPlan.MatchString(statement) {
			return true
		}
		for _, step := range repo.PostgresPlan(t, db, query.(string)) {
			if strings.Contains(step, "Seq Scan") && !mayScan(statement) {
				t.Errorf("%s\n%s", step, statement)
			}
		}
		return true
	})
}

// wantNoScans checks that every statement finds its rows by an index, that none scans all rows of
// an app, and that none sorts more rows than it returns.
func wantNoScans(t *testing.T, statements *sync.Map) {
	db := open(t, repo.Options{})
	statements.Range(func(query, _ any) bool {
		statement := oneLine(query.(string))
		if !statementWithPlan.MatchString(statement) {
			return true
		}
		for _, step := range repo.SQLitePlan(t, db, query.(string)) {
			scans := strings.HasPrefix(step, "SCAN ") && step != "SCAN few" && step != "SCAN CONSTANT ROW"
			walks := strings.HasSuffix(step, "(app=?)") && !strings.Contains(statement, "LIMIT") // scans all rows of an app
			sorts := strings.HasPrefix(step, "USE TEMP B-TREE") && strings.Contains(statement, "LIMIT")
			if (scans || walks || sorts) && !mayScan(statement) {
				t.Errorf("%s\n%s", step, statement)
			}
		}
		return true
	})
}

func mayScan(statement string) bool {
	for beginning := range allowedScans {
		if strings.HasPrefix(statement, beginning) {
			return true
		}
	}
	return false
}

// wantAllStatementsRun checks that the suite ran every query in the package's source, so that every
// plan is checked.
func wantAllStatementsRun(t *testing.T, statements *sync.Map, of func(file string) bool, least int) {
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

// queries returns the package's string expressions that are SQL, except those that only open a
// database.
func queries(of func(file string) bool) map[string]bool {
	files := token.NewFileSet()
	names, err := os.ReadDir(".")
	must(err)
	var sources []*ast.File
	fragments := make(map[string]string) // constants are parts of queries
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
			if ok && statementWithPlan.MatchString(oneLine(text)) {
				found[oneLine(text)] = true
			}
			return !ok
		})
	}
	return found
}

// textOf returns the value of an expression of strings and constants.
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

// oneLine returns a query without its layout.
func oneLine(query string) string { return strings.Join(strings.Fields(query), " ") }
