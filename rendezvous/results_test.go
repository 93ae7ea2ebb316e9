package rendezvous_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestNoTransactionWritesANamedResult holds that a use case gives its transaction variables of its own to write. A transaction runs
// on when its caller has left, and the caller's "return nil, err" writes the results that have names: both at once.
func TestNoTransactionWritesANamedResult(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	transactions := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range tree.Decls {
			if f, is := d.(*ast.FuncDecl); is {
				n, written := namedResultsWritten(f)
				transactions += n
				for _, w := range written {
					t.Errorf("%s: the transaction of %s writes its result %s: have it write a variable, and return that after the error is known to be nil", files.Position(w.Pos()), f.Name.Name, w.Name)
				}
			}
		}
	}
	if transactions < 20 {
		t.Errorf("%d transactions were found: what begins one has another name now", transactions)
	}
}

// TestNamedResultsWritten holds that the check can fail.
func TestNamedResultsWritten(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]int{
		"func (s *S) f() (n int, err error) { err = s.transact(c, func(t *txn) error { n = 1; return nil }); return n, err }":                           1,
		"func (s *S) f() (n int, err error) { err = s.transact(c, func(t *txn) (err error) { n, err = g(); return err }); return n, err }":              1,
		"func (s *S) f() (n int, err error) { err = s.transact(c, func(t *txn) error { n++; return nil }); return n, err }":                             1,
		"func (s *S) f() (n T, err error) { err = s.transact(c, func(t *txn) error { n.x = 1; return nil }); return n, err }":                           1,
		"func (s *S) f() (n int, err error) { err = s.transact(c, func(t *txn) error { n := 1; n = 2; return nil }); return n, err }":                   0,
		"func (s *S) f() (int, error) { n := 0; err := s.transact(c, func(t *txn) (err error) { n, err = g(); return err }); return n, err }":           0,
		"func (s *S) f() (n int, err error) { err = s.read(c, func(t *txn) error { n = 1; return nil }); return n, err }":                               0,
		"func (s *S) f() (n int, err error) { err = s.batch(func() error { return s.transact(c, func(t *txn) error { n = 1; return nil }) }); return }": 1,
	} {
		tree, err := parser.ParseFile(token.NewFileSet(), "", "package p; "+source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		n, written := namedResultsWritten(tree.Decls[0].(*ast.FuncDecl))
		if len(written) != want {
			t.Errorf("%s: %d of %d transactions write a result, want %d", source, len(written), n, want)
		}
	}
}

// namedResultsWritten returns how many transactions a function begins, and the named results that they write.
func namedResultsWritten(f *ast.FuncDecl) (transactions int, written []*ast.Ident) {
	results := fieldNames(f.Type.Results)
	ast.Inspect(f, func(n ast.Node) bool {
		call, is := n.(*ast.CallExpr)
		if !is {
			return true
		}
		if method, is := call.Fun.(*ast.SelectorExpr); !is || method.Sel.Name != "transact" {
			return true
		}
		transactions++
		body, is := call.Args[len(call.Args)-1].(*ast.FuncLit)
		if !is {
			return true
		}
		own := append(fieldNames(body.Type.Params), fieldNames(body.Type.Results)...)
		ast.Inspect(body, func(n ast.Node) bool {
			var targets []ast.Expr
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok == token.DEFINE {
					for _, to := range n.Lhs {
						own = append(own, to.(*ast.Ident).Name)
					}
					return true
				}
				targets = n.Lhs
			case *ast.IncDecStmt:
				targets = []ast.Expr{n.X}
			case *ast.ValueSpec:
				for _, name := range n.Names {
					own = append(own, name.Name)
				}
			}
			for _, to := range targets {
				if id := root(to); id != nil && slices.Contains(results, id.Name) && !slices.Contains(own, id.Name) {
					written = append(written, id)
				}
			}
			return true
		})
		return true
	})
	return transactions, written
}

// root is the variable that an expression is a part of, or nil.
func root(e ast.Expr) *ast.Ident {
	for {
		switch at := e.(type) {
		case *ast.Ident:
			return at
		case *ast.SelectorExpr:
			e = at.X
		case *ast.IndexExpr:
			e = at.X
		default:
			return nil
		}
	}
}

func fieldNames(list *ast.FieldList) (names []string) {
	if list == nil {
		return nil
	}
	for _, field := range list.List {
		for _, name := range field.Names {
			names = append(names, name.Name)
		}
	}
	return names
}
