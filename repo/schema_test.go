package repo_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"restante/rendezvous"
	"restante/repo"
)

func TestPragmas(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	for _, x := range []struct{ name, writing, reading string }{
		{"journal_mode", "wal", "wal"},
		{"synchronous", "2", "2"}, // FULL: an acknowledged commit is on the disk
		{"foreign_keys", "1", "0"},
		{"query_only", "0", "1"},
		{"busy_timeout", "1000", "5000"},
		{"application_id", "1382380404", "1382380404"}, // "Rest"
		{"wal_autocheckpoint", "1000", "1000"},
		{"journal_size_limit", "8388608", "-1"},
	} {
		if writing, reading := repo.Pragma(t, db, x.name); writing != x.writing || reading != x.reading {
			t.Errorf("%s: %s and %s, not %s and %s", x.name, writing, reading, x.writing, x.reading)
		}
	}
}

// Deleting a row looks for rows that refer to it: an index must find them.
func TestEveryForeignKeyIsIndexed(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	raw := repo.OpenRaw(t, repo.Path(t, db))
	rows, err := raw.Query(`
		SELECT m.name, GROUP_CONCAT(f."from", ' = ? AND ') || ' = ?'
		FROM sqlite_schema AS m, pragma_foreign_key_list(m.name) AS f
		WHERE m.type = 'table'
		GROUP BY m.name, f.id`)
	must(err)
	defer rows.Close()
	found := 0
	for ; rows.Next(); found++ {
		var table, where string
		must(rows.Scan(&table, &where))
		plan := repo.SQLitePlan(t, db, "SELECT 1 FROM "+table+" WHERE "+where)
		if slices.ContainsFunc(plan, func(step string) bool { return strings.HasPrefix(step, "SCAN") }) {
			t.Errorf("%s by %s: %v", table, where, plan)
		}
	}
	must(rows.Err())
	if found < 8 {
		t.Errorf("only %d foreign keys were found", found)
	}
}

// The schema refuses rows that the Go types cannot express.
func TestSchemaRefusesInvalidRows(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	raw := repo.OpenRaw(t, repo.Path(t, db))
	for what, statement := range map[string]string{
		"a side that closed without a mood": "INSERT INTO mailbox_sides (mailbox, app, side, entered, closed) VALUES (1, 'a', 's', 0, 1)",
		"a mood of a side that is in":       "INSERT INTO mailbox_sides (mailbox, app, side, entered, mood) VALUES (1, 'a', 's', 0, 'happy')",
		"an unknown mood":                   "INSERT INTO mailbox_sides (mailbox, app, side, entered, closed, mood) VALUES (1, 'a', 's', 0, 1, 'glad')",
		"a session that ended for nothing":  "INSERT INTO sessions VALUES (x'00', 'a', 's', '', 0, 1, 0, 0, 0, 0, 1, NULL, 0, NULL, NULL, NULL, NULL, NULL)",
		"a frame kept that never was":       "INSERT INTO outboxes (session, kept, next, bytes) VALUES (x'00', 2, 1, 0)",
		"a run with a frame":                "INSERT INTO outbox_entries VALUES (x'00', 0, 1, 1, 1, x'00')",
		"an entry with neither":             "INSERT INTO outbox_entries VALUES (x'00', 0, 1, NULL, NULL, NULL)",
		"a stored frame that counts twice":  "INSERT INTO outbox_entries VALUES (x'00', 0, 2, NULL, NULL, x'00')",
		"position 0":                        "INSERT INTO messages VALUES (1, 0, 's', 'p', x'', NULL, 0, NULL, NULL, NULL, NULL, NULL)",
		"two last modifications":            "INSERT INTO modified (one, updated) VALUES (2, 0)",
	} {
		if _, err := raw.Exec(statement); err == nil || !strings.Contains(err.Error(), "CHECK") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestMigratingAgainChangesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "restante.db")
	db := open(t, repo.Options{URL: path})
	must(db.Update(t.Context(), func(tx rendezvous.Tx) error { return createMailbox(tx, "x") }))
	before := repo.Dump(t, db)
	for range 3 {
		must(db.Close())
		db = open(t, repo.Options{URL: path})
	}
	if after := repo.Dump(t, db); after != before {
		t.Errorf("%s\nand before:\n%s", after, before)
	}
}
