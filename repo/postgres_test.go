package repo_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/repo"
	"restante/repo/pgtest"
	"restante/repo/repotest"
)

func TestPostgres(t *testing.T) {
	t.Parallel()
	statements := new(sync.Map)
	t.Run("keeps every promise", func(t *testing.T) {
		repotest.Run(t, func(t *testing.T) rendezvous.Store {
			db := openPostgres(t, repo.Options{})
			repo.StampEveryUpdate(db)
			repo.Watch(db, func(query string) error {
				statements.Store(query, true)
				return nil
			})
			return db
		})
	})
	t.Run("runs every statement of its source meanwhile", func(t *testing.T) { wantAllStatementsRun(t, statements, postgresFile, 6) })
	t.Run("visits no whole table", func(t *testing.T) { wantNoScansPostgres(t, statements) })
}

// openPostgres opens a store in a database of its own.
func openPostgres(tb testing.TB, o repo.Options) *repo.DB {
	tb.Helper()
	o.URL = newDatabase(tb)
	return open(tb, o)
}

// newDatabase returns the URL of a new database with the schema.
func newDatabase(tb testing.TB) string {
	tb.Helper()
	return pgtest.Shared(tb).Copy(tb, templateDatabase(tb))
}

// template is the database that newDatabase copies.
var template struct {
	sync.Mutex
	url string
}

func templateDatabase(tb testing.TB) string {
	tb.Helper()
	template.Lock()
	defer template.Unlock()
	if template.url == "" {
		c := pgtest.Shared(tb)
		c.Exec(tb, "postgres", "CREATE DATABASE fresh")
		db, err := repo.Open(context.Background(), repo.Options{URL: c.URL("fresh"), Now: func() time.Time { return time.UnixMilli(0) }})
		must(err)
		must(db.Close())
		template.url = c.URL("fresh")
	}
	return template.url
}

// TestReplicasMigrateConcurrently has several servers open an empty database at the same time.
func TestReplicasMigrateConcurrently(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	var together sync.WaitGroup
	for range 4 {
		together.Go(func() {
			db, err := repo.Open(t.Context(), repo.Options{URL: url})
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			if err := db.Probe(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	together.Wait()
}

// TestPostgresOpenErrors checks that errors of opening a database are helpful.
func TestPostgresOpenErrors(t *testing.T) {
	t.Parallel()
	c := pgtest.Shared(t)
	powerless := c.Role(t)
	for name, x := range map[string]struct{ url, problem string }{
		"no such database":  {c.URL("missing"), "there is no such database"},
		"no server":         {"postgres://user:secret@127.0.0.1:1/db", "it cannot be reached (connect: connection refused)"},
		"no TLS":            {"postgres://postgres:secret@" + c.Address() + "/postgres?sslmode=require", "it does not speak TLS"},
		"not a URL":         {"postgres://user:secret@%zz/", "this is not a URL"},
		"no such parameter": {"postgres://postgres@" + c.Address() + "/postgres?sslmode=disable&secret=1", "it cannot be prepared (unrecognized configuration parameter"},
		"Latin-1":           {c.Encoded(t, "LATIN1"), "its encoding is LATIN1; create it with: createdb --encoding=UTF8 --template=template0 NAME"},
		"a user without rights": {
			strings.Replace(c.Database(t), "user=postgres", "user="+powerless, 1), "this user may not create tables in it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := repo.Open(t.Context(), repo.Options{URL: x.url})
			if err == nil {
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), x.problem) {
				t.Errorf("%q, want %q", err, x.problem)
			}
			if strings.Contains(strings.ReplaceAll(err.Error(), `"secret"`, ""), "secret") {
				t.Errorf("%q tells a password", err)
			}
		})
	}
}

// TestPostgresEncoding checks that a database in an encoding that has fewer characters than UTF-8 is refused before
// anything is done in it, and that one without an encoding takes all of them.
func TestPostgresEncoding(t *testing.T) {
	t.Parallel()
	latin := repo.Options{URL: pgtest.Shared(t).Encoded(t, "LATIN1")}
	_, toRead := repo.OpenToRead(t.Context(), latin)
	_, toServe := repo.Open(t.Context(), latin)
	for _, err := range []error{toRead, toServe} {
		if err == nil || !strings.Contains(err.Error(), "its encoding is LATIN1") {
			t.Error(err)
		}
	}
	db := open(t, repo.Options{URL: pgtest.Shared(t).Encoded(t, "SQL_ASCII")})
	wantWorking(t, db)
	const id = "чат € 😀"
	must(db.Update(t.Context(), createWithMessage(id, 10)))
	must(db.View(t.Context(), func(tx rendezvous.Tx) error {
		m, err := tx.Mailbox("app", id)
		if m.ID != id {
			t.Errorf("a mailbox is stored as %q", m.ID)
		}
		return err
	}))
}

// TestConcurrentAllocations has 32 clients of one app on three replicas allocate nameplates and claim
// them for a partner: no nameplate is given out twice, and no lost transaction reaches a client.
func TestConcurrentAllocations(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	var replicas []*rendezvous.Service
	for range 3 {
		db := open(t, repo.Options{URL: url})
		replicas = append(replicas, &rendezvous.Service{Config: rendezvous.DefaultConfig(), Store: db, Log: slog.New(slog.DiscardHandler)})
	}
	var mu sync.Mutex
	taken := map[rendezvous.NameplateID]int{}
	var together sync.WaitGroup
	for i := range 32 {
		together.Go(func() {
			for round := range 4 {
				side := rendezvous.Side(fmt.Sprintf("%d-%d", i, round))
				got, err := replicas[(i+round)%3].AllocateFor(t.Context(), rendezvous.SideRef{App: "app", Side: side})
				if err != nil {
					t.Errorf("allocate: %v", err)
					return
				}
				mu.Lock()
				taken[got.Nameplate]++
				mu.Unlock()
				partner, err := replicas[(i+round+1)%3].ClaimFor(t.Context(), rendezvous.SideRef{App: "app", Side: "partner of " + side}, got.Nameplate)
				if err != nil || partner.Mailbox != got.Mailbox {
					t.Errorf("claim: %v, %v, want %v", partner, err, got)
				}
			}
		})
	}
	together.Wait()
	for id, n := range taken {
		if n > 1 {
			t.Errorf("%d clients got nameplate %s", n, id)
		}
	}
	if len(taken) != 32*4 {
		t.Errorf("%d nameplates, want %d", len(taken), 32*4)
	}
}
