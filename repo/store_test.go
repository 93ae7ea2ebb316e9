package repo_test

import (
	"bytes"
	"context"
	"flag"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"restante/internal/leaks"
	"restante/rendezvous"
	"restante/repo"
	"restante/repo/pgtest"
	"restante/repo/repotest"
)

// defaultChecks is how many cases of each property are tried.
const defaultChecks = "40"

// TestMain is also the other process of TestOpen, and checks that no goroutine is left.
func TestMain(m *testing.M) {
	if path := os.Getenv("RESTANTE_HOLD"); path != "" {
		holdDatabase(path)
		return
	}
	must(flag.Set("rapid.checks", defaultChecks)) // unless the command line says otherwise
	os.Exit(leaks.Run(testMain{m}))
}

// testMain stops PostgreSQL after the tests.
type testMain struct{ *testing.M }

// Run runs the tests of the package, and then stops PostgreSQL.
func (m testMain) Run() int {
	defer pgtest.Stop()
	return m.M.Run()
}

func TestStore(t *testing.T) {
	t.Parallel()
	statements := new(sync.Map)
	t.Run("keeps every promise", func(t *testing.T) {
		repotest.Run(t, func(t *testing.T) rendezvous.Store {
			db := open(t, repo.Options{})
			repo.SetHook(db, func(query string) error {
				statements.Store(query, true)
				return nil
			})
			return db
		})
	})
	t.Run("runs every statement of its source meanwhile", func(t *testing.T) { wantAllStatementsRun(t, statements, sharedFile, 50) })
	t.Run("visits no whole table", func(t *testing.T) { wantNoScans(t, statements) })
}

// open opens a store in a directory of its own, which is closed when the test ends.
func open(tb testing.TB, o repo.Options) *repo.DB {
	tb.Helper()
	if o.URL == "" {
		o.URL = newFile(tb)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	_, measures := tb.(*testing.B)
	o.CompareRemembered = !measures
	db, err := repo.Open(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	if !measures && !strings.HasPrefix(o.URL, "postgres") {
		repo.StampEveryUpdate(db) // so that tests see which updates changed something
	}
	return db
}

// newFile returns the path of a new database with the schema.
func newFile(tb testing.TB) string {
	path := filepath.Join(tb.TempDir(), "restante.db")
	must(os.WriteFile(path, templateFile(), 0o600))
	return path
}

// templateFile is the content of a new database. Creating one takes longer than most tests.
var templateFile = sync.OnceValue(func() []byte {
	dir, err := os.MkdirTemp("", "restante")
	must(err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "restante.db")
	db, err := repo.Open(context.Background(), repo.Options{URL: path, Now: func() time.Time { return time.UnixMilli(0) }})
	must(err)
	must(db.Close())
	file, err := os.ReadFile(path)
	must(err)
	return file
})

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// holdDatabase opens a database and keeps it open until the standard input ends.
func holdDatabase(path string) {
	db, err := repo.Open(context.Background(), repo.Options{URL: path})
	must(err)
	_, _ = os.Stdout.WriteString("held\n")
	_, _ = io.Copy(new(bytes.Buffer), os.Stdin)
	must(db.Close())
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
