package handlerstest

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Dump is everything that is stored: the rows of each table.
type Dump map[string][]string

// Dumper opens the database a second time, to read only. It returns a function that dumps it.
func (w *Server) Dumper() func(testing.TB) Dump {
	w.Helper()
	where := url.URL{Scheme: "file", OmitHost: true, Path: w.Path, RawQuery: "mode=ro&_pragma=busy_timeout(5000)"}
	db, err := sql.Open("sqlite", where.String())
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		if err := db.Close(); err != nil { // and with it all that was prepared
			w.Error(err)
		}
	})
	db.SetMaxOpenConns(1) // or a snapshot would not be one
	prepare := func(query string) *sql.Stmt {
		s, err := db.PrepareContext(w.Context(), query)
		if err != nil {
			w.Fatal(err)
		}
		return s
	}
	begin, end, tables := prepare("BEGIN"), prepare("COMMIT"), map[string]*sql.Stmt{}
	for _, table := range rows(w, prepare(`SELECT name FROM sqlite_schema WHERE type = 'table'`)) {
		table = strings.Trim(table, `["]`)
		tables[table] = prepare(`SELECT * FROM "` + table + `"`)
	}
	return func(t testing.TB) Dump {
		t.Helper()
		if _, err := begin.ExecContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		d := Dump{}
		for table, query := range tables {
			d[table] = rows(t, query)
		}
		if _, err := end.ExecContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		return d
	}
}

// rows returns the rows of a query as texts, sorted.
func rows(t testing.TB, query *sql.Stmt) (list []string) {
	t.Helper()
	found, err := query.QueryContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	columns, err := found.Columns()
	if err != nil {
		t.Fatal(err)
	}
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for found.Next() {
		if err := found.Scan(into...); err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%q", values))
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// WantSame fails the test if anything is stored differently than before.
func (d Dump) WantSame(t testing.TB, before Dump) {
	t.Helper()
	if diff := cmp.Diff(before, d); diff != "" {
		t.Errorf("what is stored changed (-before +after):\n%s", diff)
	}
}

// Lock keeps the server from writing until unlock is called, as a backup does.
func (w *Server) Lock(t testing.TB) (unlock func()) {
	t.Helper()
	where := url.URL{Scheme: "file", OmitHost: true, Path: w.Path, RawQuery: "mode=rw"}
	db, err := sql.Open("sqlite", where.String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run := func(statement string) {
		t.Helper()
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	run("BEGIN IMMEDIATE")
	return func() {
		t.Helper()
		run("ROLLBACK")
		if err := errors.Join(conn.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	}
}
