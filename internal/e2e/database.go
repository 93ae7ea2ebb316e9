package e2e

import (
	"slices"
	"testing"

	"github.com/jmoiron/sqlx"
	_ "modernc.org/sqlite" // the driver
)

// CheckNothingLeft holds that nothing is left in the database file of nameplates,
// mailboxes and all that hangs on them, and that it is sound. Of usage it has so many rows, all happy.
// It opens the file read-only, as another program would.
func CheckNothingLeft(t *testing.T, s *Server, usage map[string]int) {
	t.Helper()
	db, err := sqlx.Open("sqlite", "file:"+s.Database+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	count := func(query string) (n int) {
		t.Helper()
		if err := db.Get(&n, query); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		return n
	}
	for _, table := range []string{"nameplates", "claims", "mailboxes", "mailbox_sides", "messages", "subscriptions"} {
		query := "SELECT COUNT(*) FROM " + table
		if table == "messages" { // the log of a retired mailbox is deleted some seconds later
			query += " WHERE mailbox NOT IN (SELECT mailbox FROM retired_logs)"
		}
		if n := count(query); n != 0 {
			t.Errorf("%d rows are left in %s", n, table)
		}
	}
	for table, want := range usage {
		if n := count("SELECT COUNT(*) FROM " + table); n != want {
			t.Errorf("%d rows in %s, want %d", n, table, want)
		}
		if n := count("SELECT COUNT(*) FROM " + table + " WHERE result = 'happy' AND waiting >= 0 AND total >= waiting"); n != want {
			t.Errorf("%d happy rows in %s, want %d", n, table, want)
		}
	}
	var check string
	if err := db.Get(&check, "PRAGMA integrity_check"); err != nil || check != "ok" {
		t.Errorf("integrity_check: %s (%v)", check, err)
	}
}

// Column reads one column from a server's database, which it opens read-only.
func Column(t *testing.T, s *Server, query string) (rows []string) {
	t.Helper()
	db, err := sqlx.Open("sqlite", "file:"+s.Database+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Select(&rows, query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return rows
}

// CheckUsage holds how the lives went that are over, of the nameplates or of the mailboxes.
func CheckUsage(t *testing.T, s *Server, of string, want ...string) {
	t.Helper()
	if results := Column(t, s, "SELECT result FROM usage_"+of+" ORDER BY result"); !slices.Equal(results, want) {
		t.Errorf("%s went %v, want %v", of, results, want)
	}
}

// OpenDatabase opens a server's database beside it, on one connection, until the test ends. exec executes a statement,
// and waits up to a minute for its turn.
func OpenDatabase(t *testing.T, s *Server) (db *sqlx.DB, exec func(statement string)) {
	t.Helper()
	db, err := sqlx.Open("sqlite", "file:"+s.Database+"?_pragma=busy_timeout(60000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	return db, func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}
