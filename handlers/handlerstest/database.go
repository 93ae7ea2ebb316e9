package handlerstest

import (
	"database/sql"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restante/internal/testclient"
)

// DB returns the database, opened a second time, with one connection.
func (w *Server) DB() *sql.DB { return w.db() }

// openDatabase opens the database a second time, to look at it.
func (w *Server) openDatabase() *sql.DB {
	w.Helper()
	where := url.URL{Scheme: "file", OmitHost: true, Path: w.Path, RawQuery: "_pragma=busy_timeout(5000)"}
	db, err := sql.Open("sqlite", where.String())
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	return db
}

// Rows returns what is stored: the columns of each row with a space between them, - for NULL; sorted.
func (w *Server) Rows(t testing.TB, query string) []string {
	t.Helper()
	found, err := w.DB().QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	columns, _ := found.Columns()
	list := []string{}
	for found.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := found.Scan(into...); err != nil {
			t.Fatal(err)
		}
		row := make([]string, len(columns))
		for i, v := range values {
			if row[i] = fmt.Sprint(v); v == nil {
				row[i] = "-"
			}
		}
		list = append(list, strings.Join(row, " "))
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// WantEmpty fails if anything is stored but sessions and usage.
func (w *Server) WantEmpty(t testing.TB) {
	t.Helper()
	for _, table := range []string{"nameplates", "claims", "mailboxes", "mailbox_sides", "messages"} {
		EqualRows(t, w.Rows(t, `SELECT * FROM `+table))
	}
}

// Exec changes what is stored behind the server's back.
func (w *Server) Exec(t testing.TB, query string, args ...any) {
	t.Helper()
	if _, err := w.DB().ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// EqualRows fails if rows are not what they should be.
func EqualRows(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("the rows are %q, want %q", got, want)
	}
}

// WantRows waits until a query finds these rows. Some things are written a moment later.
func (w *Server) WantRows(t testing.TB, query string, want ...string) {
	t.Helper()
	var got []string
	if !Eventually(t, func() bool { got = w.Rows(t, query); return slices.Equal(got, want) }) {
		t.Errorf("%s:\n%s", query, cmp.Diff(want, got))
	}
}

// Eventually reports whether something comes true in time.
func Eventually(t testing.TB, is func() bool) bool {
	t.Helper()
	for late := time.After(testclient.Limit); !is(); {
		select {
		case <-late:
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
	return true
}
