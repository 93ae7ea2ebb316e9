package repo_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"restante/repo"
)

// faultDatabase is a database of which the rows are compared, and put back to what they were.
type faultDatabase interface {
	// open opens the store. keep keeps the rows as they are now, and restore puts them back.
	open(now func() time.Time) *repo.DB
	keep()
	restore()
	// exec runs a statement without the store, and without foreign keys.
	exec(statement string)
	// stored returns every row of every table. Random ids count as equal.
	stored() string
	// batches reports whether updates that come together share a transaction.
	batches() bool
	// every returns of how many statements one fails.
	every() int
}

var randomID = regexp.MustCompile(`[a-z2-7]{32}`) // mailboxes' ids

// rowsOf returns the rows of tables, given what selects them.
func rowsOf(tables []string, rows func(i int) *sqlx.Rows) string {
	var lines []string
	for i, table := range tables {
		found := rows(i)
		for found.Next() {
			values, err := found.SliceScan()
			must(err)
			for i, v := range values {
				if b, ok := v.([]byte); ok {
					values[i] = string(b)
				}
			}
			lines = append(lines, fmt.Sprintf("%s %#v", table, values))
		}
		must(found.Err())
	}
	slices.Sort(lines)
	return randomID.ReplaceAllString(strings.Join(lines, "\n"), "minted")
}

// sqliteFaults is a file, and a copy of it.
type sqliteFaults struct {
	t                  *testing.T
	path               string
	raw                *sqlx.DB
	tables             []string
	reading, restoring []*sqlx.Stmt
}

func newSQLiteFaults(t *testing.T) faultDatabase {
	t.Helper()
	return &sqliteFaults{t: t, path: newFile(t)}
}

func (d *sqliteFaults) batches() bool { return true }
func (d *sqliteFaults) every() int    { return 1 }

func (d *sqliteFaults) open(now func() time.Time) *repo.DB {
	db := open(d.t, repo.Options{URL: d.path, Now: now})
	d.raw = sqlx.NewDb(repo.OpenRaw(d.t, d.path), "sqlite")
	return db
}

func (d *sqliteFaults) exec(statement string) { d.raw.MustExec(statement) }

func (d *sqliteFaults) keep() {
	template := filepath.Join(filepath.Dir(d.path), "given.db")
	d.raw.MustExec("PRAGMA synchronous = OFF")
	d.raw.MustExec("VACUUM INTO ?", template)
	if _, err := os.Stat(template); err != nil {
		d.t.Fatal(err)
	}
	prepare := func(statement string) *sqlx.Stmt {
		s, err := d.raw.Preparex(statement)
		must(err)
		return s
	}
	d.raw.MustExec("ATTACH '" + template + "' AS given")
	must(d.raw.Select(&d.tables, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name = 'sqlite_sequence'")) // last, because the other tables change it
	d.restoring = append(d.restoring, prepare("BEGIN IMMEDIATE"))
	for _, name := range d.tables {
		d.restoring = append(d.restoring, prepare("DELETE FROM main."+name), prepare("INSERT INTO main."+name+" SELECT * FROM given."+name))
		d.reading = append(d.reading, prepare("SELECT * FROM main."+name))
	}
	d.restoring = append(d.restoring, prepare("COMMIT"))
}

func (d *sqliteFaults) restore() {
	for _, s := range d.restoring {
		s.MustExec()
	}
}

func (d *sqliteFaults) stored() string {
	return rowsOf(d.tables, func(i int) *sqlx.Rows {
		rows, err := d.reading[i].Queryx()
		must(err)
		return rows
	})
}

// postgresFaults is a database, and copies of its tables in another schema.
type postgresFaults struct {
	t         *testing.T
	url       string
	observer  *sqlx.DB
	tables    []string
	restoring string
}

func newPostgresFaults(t *testing.T) faultDatabase {
	t.Helper()
	d := &postgresFaults{t: t, url: newDatabase(t)}
	d.observer = sqlx.MustOpen("postgres", d.url)
	d.observer.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = d.observer.Close() })
	must(d.observer.Select(&d.tables, `
		SELECT table_name FROM information_schema.tables
		WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name NOT LIKE 'goose%'
		ORDER BY table_name`))
	return d
}

func (d *postgresFaults) batches() bool { return false }

// every returns 1 at night. PostgreSQL takes too long for all statements every day.
func (d *postgresFaults) every() int {
	if os.Getenv("RESTANTE_NIGHTLY") != "" {
		return 1
	}
	return 4
}

// open opens the store with one connection, so that an update comes after what goes on without its caller.
func (d *postgresFaults) open(now func() time.Time) *repo.DB {
	db := open(d.t, repo.Options{URL: d.url, Now: now, Connections: 1})
	repo.StampEveryUpdate(db)
	return db
}

func (d *postgresFaults) exec(statement string) {
	d.observer.MustExec("BEGIN; SET LOCAL session_replication_role = replica; " + statement + "; COMMIT")
}

func (d *postgresFaults) keep() {
	d.observer.MustExec("CREATE SCHEMA given")
	var statements []string
	for _, table := range d.tables {
		d.observer.MustExec("CREATE TABLE given." + table + " AS TABLE public." + table)
		statements = append(statements, "DELETE FROM public."+table, "INSERT INTO public."+table+" OVERRIDING SYSTEM VALUE SELECT * FROM given."+table)
	}
	var sequences []struct {
		Name  string
		Value int64
	}
	must(d.observer.Select(&sequences, "SELECT sequencename AS name, COALESCE(last_value, 0) AS value FROM pg_sequences WHERE schemaname = 'public'"))
	for _, s := range sequences {
		statements = append(statements, fmt.Sprintf("SELECT setval('public.%s', %d, %t)", s.Name, max(1, s.Value), s.Value > 0))
	}
	d.restoring = strings.Join(statements, "; ")
}

func (d *postgresFaults) restore() { d.exec(d.restoring) }

func (d *postgresFaults) stored() string {
	return rowsOf(d.tables, func(i int) *sqlx.Rows {
		rows, err := d.observer.Queryx("SELECT * FROM public." + d.tables[i])
		must(err)
		return rows
	})
}
