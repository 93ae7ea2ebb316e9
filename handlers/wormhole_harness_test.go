package handlers_test

import (
	"database/sql"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"restante/rendezvous"
)

// relay is a world that wormhole clients reach, too.
type relay struct {
	*world
	db *sql.DB // the same file, opened a second time to look at it
}

// serve starts a relay. It has no boot grace: a test that is about it sets one.
func serve(t testing.TB, s setup) *relay {
	t.Helper()
	config := s.config
	s.config = func(c *rendezvous.Config) {
		c.BootGrace = 0
		if config != nil {
			config(c)
		}
	}
	r := &relay{world: start(t, s)}
	where := url.URL{Scheme: "file", OmitHost: true, Path: r.path, RawQuery: "_pragma=busy_timeout(5000)"}
	db, err := sql.Open("sqlite", where.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	r.db = db
	return r
}

// bubble runs a test of a relay in virtual time.
func bubble(t *testing.T, s setup, test func(t *testing.T, r *relay)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s.piped = true
		test(t, serve(t, s))
	})
}

// rows are what is stored: the columns of each row with a space between them, - where there is nothing; sorted.
func (r *relay) rows(t testing.TB, query string) []string {
	t.Helper()
	found, err := r.db.QueryContext(t.Context(), query)
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

// nothing is sure that nothing is left but what usage says.
func (r *relay) nothing(t testing.TB) {
	t.Helper()
	for _, table := range []string{"nameplates", "claims", "mailboxes", "mailbox_sides", "messages"} {
		expect(t, r.rows(t, `SELECT * FROM `+table))
	}
}

// exec changes what is stored behind the server's back.
func (r *relay) exec(t testing.TB, query string, args ...any) {
	t.Helper()
	if _, err := r.db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// expect compares rows with what they should be.
func expect(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("the rows are %q, want %q", got, want)
	}
}

// holds waits until a query finds these rows: some things are written a moment later.
func (r *relay) holds(t testing.TB, query string, want ...string) {
	t.Helper()
	var got []string
	if !eventually(t, func() bool { got = r.rows(t, query); return slices.Equal(got, want) }) {
		t.Errorf("%s:\n%s", query, cmp.Diff(want, got))
	}
}

// eventually tells whether something comes true.
func eventually(t testing.TB, is func() bool) bool {
	t.Helper()
	for late := time.After(patience); !is(); {
		select {
		case <-late:
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
	return true
}

// patience is how long anything may take before a test fails.
const patience = 30 * time.Second
