package repo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"modernc.org/sqlite"
	"pgregory.net/rapid"

	"restante/rendezvous"
)

// SetHook calls before with every statement of db, BEGIN and COMMIT included. If it returns an
// error, the statement fails with it and does not run. nil removes the hook.
func SetHook(db *DB, before func(query string) error) {
	if before == nil {
		db.hook.Store(nil)
		return
	}
	db.hook.Store(&hookFunc{before: before})
}

// Watch calls before with every statement of db, like SetHook. But statements are sent together as they are without it,
// so those before it may not have run yet.
func Watch(db *DB, before func(query string) error) {
	db.hook.Store(&hookFunc{before, true})
}

// ErrInterrupted is the error of EndTransaction.
var ErrInterrupted = errors.New("the database ended the transaction")

// EndTransaction makes SQLite end the writer's transaction, as it does by itself when the disk is
// full. Only a hook may call it, and only for a statement that writes.
func EndTransaction(db *DB) error {
	_, err := db.writer.(*sqliteWriter).conn.raw.ExecContext(context.Background(), "ROLLBACK")
	return errors.Join(ErrInterrupted, err)
}

// EndWriterTransaction commits the writer's transaction of SQLite, or rolls it back. Only a hook may call it.
func EndWriterTransaction(db *DB, commit bool) error {
	statement := "ROLLBACK"
	if commit {
		statement = "COMMIT"
	}
	_, err := db.writer.(*sqliteWriter).conn.raw.ExecContext(context.Background(), statement)
	return err
}

// SQLiteError returns an error of SQLite with a result code, for what no test can make it return.
func SQLiteError(code int) error {
	e := &sqlite.Error{}
	field := reflect.ValueOf(e).Elem().FieldByName("code")
	*(*int)(field.Addr().UnsafePointer()) = code
	return e
}

// StampEveryUpdate makes db store the time of each modification.
func StampEveryUpdate(db *DB) { setStampInterval(db, 0) }

// StampOnceInAWhile makes db store the time of a modification as it does by itself.
func StampOnceInAWhile(db *DB) { setStampInterval(db, stampInterval) }

func setStampInterval(db *DB, d time.Duration) {
	switch w := db.writer.(type) {
	case *postgresWriter:
		w.stampInterval = d
	case *sqliteWriter:
		w.stampInterval = d
	}
}

// SetLockPatience sets how long updates wait while another program has locked the database.
func SetLockPatience(db *DB, d time.Duration) { db.writer.(*sqliteWriter).lockPatience = d }

// SetBatchTime sets how long a batch takes in updates.
func SetBatchTime(db *DB, d time.Duration) { db.writer.(*sqliteWriter).batchTime = d }

// SetViewLimit sets how long a View may go on reading.
func SetViewLimit(db *DB, d time.Duration) { db.viewLimit = d }

// QueueLength returns how many Updates wait for the writer.
func QueueLength(db *DB) int { return len(db.writer.(*sqliteWriter).queue) }

// ExecOnWriter runs a statement on the connection that writes, in a transaction but without the hook.
func ExecOnWriter(tb testing.TB, db *DB, statement string) {
	tb.Helper()
	if err := db.writer.update(tb.Context(), func(t *tx) error {
		_, err := t.conn.raw.ExecContext(context.Background(), statement)
		return err
	}); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}

// Pragma returns a pragma's value on the connection that writes and on one that reads.
func Pragma(tb testing.TB, db *DB, name string) (writing, reading string) {
	tb.Helper()
	ask := func(into *string) func(*tx) error {
		return func(t *tx) error { return t.conn.raw.GetContext(context.Background(), into, "PRAGMA "+name) }
	}
	err := errors.Join(
		db.writer.update(tb.Context(), ask(&writing)),
		db.View(tb.Context(), func(t rendezvous.Tx) error { return ask(&reading)(t.(*tx)) }),
	)
	if err != nil {
		tb.Fatal(err)
	}
	return writing, reading
}

// ReadOnlyWrite tries to write on a connection that reads, without the store's own checks.
func ReadOnlyWrite(db *DB) error {
	return db.View(context.Background(), func(t rendezvous.Tx) error {
		_, err := t.(*tx).conn.exec("DELETE FROM modified")
		return err
	})
}

// Path returns the path of db's file.
func Path(tb testing.TB, db *DB) string {
	tb.Helper()
	var path string
	if err := db.engine.read.Get(&path, "SELECT file FROM pragma_database_list WHERE name = 'main'"); err != nil {
		tb.Fatal(err)
	}
	return path
}

// OpenRaw opens another connection to the file, with foreign keys off and without the store's
// rules.
func OpenRaw(tb testing.TB, path string) *sql.DB {
	tb.Helper()
	raw, err := sql.Open("sqlite", sqliteDSN(path, []string{"busy_timeout(5000)", "foreign_keys(0)"}))
	if err != nil {
		tb.Fatal(err)
	}
	raw.SetMaxOpenConns(1)
	tb.Cleanup(func() { _ = raw.Close() })
	return raw
}

// RawExec runs a statement without the store, with foreign keys off.
func RawExec(tb testing.TB, db *DB, statement string, args ...any) {
	tb.Helper()
	raw := OpenRaw(tb, Path(tb, db))
	defer raw.Close()
	if _, err := raw.Exec(statement, args...); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}

// Forget forgets what is remembered of the rows of a SQLite file.
func Forget(db *DB) { onWriter(db, (*remembered).forget) }

// onWriter calls f with what the connection that writes remembers.
func onWriter(db *DB, f func(*remembered)) {
	if err := db.writer.update(context.Background(), func(t *tx) error {
		f(t.conn.remembered)
		return nil
	}); err != nil {
		panic(err)
	}
}

// RememberNothing makes db read each row from its SQLite file and write each change at once.
func RememberNothing(db *DB) {
	if err := db.writer.update(context.Background(), func(t *tx) error {
		t.conn.remembered, db.writer.(*sqliteWriter).compare = nil, false
		return nil
	}); err != nil {
		panic(err)
	}
}

// RememberWrongly makes db take a mailbox for one that has so many messages.
func RememberWrongly(db *DB, k rendezvous.MailboxKey, last rendezvous.Position) {
	onWriter(db, func(r *remembered) {
		db.writer.(*sqliteWriter).compare = false
		r.changeMailbox(k, func(m *rendezvous.Mailbox) { m.Last = last })
	})
}

// RememberAtMost changes how many rows of a kind are remembered.
func RememberAtMost(db *DB, n int) { onWriter(db, func(r *remembered) { r.most = n }) }

// CountRemembered returns how many mailboxes are remembered.
func CountRemembered(db *DB) (n int) {
	onWriter(db, func(r *remembered) { n = len(r.mailboxes) })
	return n
}

// DeleteAll deletes everything that is stored.
func DeleteAll(db *DB) {
	if err := db.writer.update(context.Background(), func(t *tx) error {
		_, err := t.conn.raw.ExecContext(context.Background(), `
			PRAGMA defer_foreign_keys = 1;
			DELETE FROM nameplates;
			DELETE FROM mailboxes;
			DELETE FROM messages;
			DELETE FROM retired_logs;
			DELETE FROM sessions;
			DELETE FROM usage_nameplates;
			DELETE FROM usage_mailboxes;
			DELETE FROM sqlite_sequence;
			UPDATE modified SET updated = 0;`)
		t.conn.remembered.forget() // which sees only what goes through conn
		return err
	}); err != nil {
		panic(err)
	}
}

// Dump returns every row of every table, with the last modification's time and the next mailbox's
// key, in an order that depends only on the rows.
func Dump(tb rapid.TB, db *DB) string {
	tb.Helper()
	var dump strings.Builder
	must := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	tx, err := db.engine.read.BeginTxx(context.Background(), &sql.TxOptions{ReadOnly: true}) // one snapshot
	must(err)
	defer func() { _ = tx.Rollback() }()
	var tables []string
	must(tx.Select(&tables, `
		SELECT name FROM sqlite_schema
		WHERE type = 'table' AND name <> 'goose_db_version' -- which says when it was migrated
		ORDER BY name`))
	for _, table := range tables {
		fmt.Fprintf(&dump, "%s\n", table)
		rows, err := tx.Queryx("SELECT * FROM " + table)
		must(err)
		var lines []string
		for rows.Next() {
			values, err := rows.SliceScan()
			must(err)
			lines = append(lines, fmt.Sprintf("\t%q\n", values))
		}
		must(rows.Err())
		slices.Sort(lines)
		dump.WriteString(strings.Join(lines, ""))
	}
	return dump.String()
}

// SQLitePlan returns SQLite's plan of a statement.
func SQLitePlan(tb testing.TB, db *DB, statement string) []string {
	tb.Helper()
	var steps []struct {
		ID, Parent, NotUsed int
		Detail              string
	}
	args := make([]any, strings.Count(statement, "?"))
	if err := db.engine.read.Select(&steps, "EXPLAIN QUERY PLAN "+statement, args...); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
	plan := make([]string, len(steps))
	for i, s := range steps {
		plan[i] = s.Detail
	}
	return plan
}

// PostgresPlan returns PostgreSQL's plan of a statement for any arguments, with sequential scans
// disabled.
func PostgresPlan(tb testing.TB, db *DB, statement string) []string {
	tb.Helper()
	ctx := tb.Context()
	c, err := db.engine.read.Connx(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close()
	args := ""
	if n := strings.Count(statement, "?"); n > 0 {
		args = "(" + strings.Repeat(", NULL", n)[2:] + ")"
	}
	for _, before := range []string{"SET enable_seqscan = off", "SET plan_cache_mode = force_generic_plan", "PREPARE p AS " + c.Rebind(statement)} {
		if _, err := c.ExecContext(ctx, before); err != nil {
			tb.Fatalf("%s: %v", before, err)
		}
	}
	var plan []string
	if err := c.SelectContext(ctx, &plan, "EXPLAIN EXECUTE p"+args); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
	if _, err := c.ExecContext(ctx, "DEALLOCATE p"); err != nil {
		tb.Fatal(err)
	}
	return plan
}

// SQLiteOpenError returns the OpenError for err.
func SQLiteOpenError(err error) *OpenError {
	problem, _ := errors.AsType[*OpenError](sqliteOpenError("path", err))
	return problem
}

// MigrateTo brings an empty database to an older version of the schema, and returns a connection to it.
func MigrateTo(tb testing.TB, url string, version int64) *sql.DB {
	tb.Helper()
	driver, source, d := "sqlite", sqliteDSN(url, []string{"application_id(1382380404)", "journal_mode(WAL)", "foreign_keys(1)"}), newSQLiteDialect()
	if strings.HasPrefix(url, "postgres") {
		driver, source, d = "postgres", url, newPostgresDialect(false)
	} else if err := createFile(url); err != nil {
		tb.Fatal(err)
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		tb.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	tb.Cleanup(func() { _ = db.Close() })
	d.migrationLocker = nil // nothing else migrates it
	p, err := newMigrations(db, d)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := p.UpTo(tb.Context(), version); err != nil {
		tb.Fatal(err)
	}
	return db
}

// ExecWithoutConstraints runs a statement on a database, as if no table referred to another.
func ExecWithoutConstraints(tb testing.TB, url, statement string) {
	tb.Helper()
	if !strings.HasPrefix(url, "postgres") {
		raw := OpenRaw(tb, url)
		defer raw.Close()
		if _, err := raw.ExecContext(tb.Context(), statement); err != nil {
			tb.Fatalf("%s: %v", statement, err)
		}
		return
	}
	raw, err := sql.Open("postgres", url)
	if err != nil {
		tb.Fatal(err)
	}
	defer raw.Close()
	raw.SetMaxOpenConns(1)
	for _, s := range []string{"SET session_replication_role = replica", statement} {
		if _, err := raw.ExecContext(tb.Context(), s); err != nil {
			tb.Fatalf("%s: %v", s, err)
		}
	}
}

// StampNoUpdate keeps db from storing the time of modifications, except the first.
func StampNoUpdate(db *DB) { db.writer.(*postgresWriter).stampInterval = time.Hour }

// AbortTransaction has a statement fail in a transaction of PostgreSQL, without the transaction being told.
func AbortTransaction(t rendezvous.Tx) {
	_, _ = t.(*tx).conn.raw.ExecContext(context.Background(), "SELECT 1 / 0")
}

// Echo sends values to PostgreSQL as arguments of a statement, and returns what came back.
func Echo(db *DB, text string, bytes []byte, number int64) (backText string, backBytes []byte, backNumber int64, err error) {
	type row struct {
		Text   string
		Bytes  []byte
		Number int64
	}
	var back row
	err = db.writer.update(context.Background(), func(t *tx) (err error) {
		back, err = queryOne[row](t, `SELECT ?::text AS text, ?::bytea AS bytes, ?::bigint AS number`, text, bytes, number)
		return err
	})
	return back.Text, back.Bytes, back.Number, err
}
