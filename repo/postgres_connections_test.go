package repo_test

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"restante/rendezvous"
	"restante/repo"
	"restante/repo/pgtest"
)

// atOnce runs n transactions that are all open at the same time, and returns what fails.
func atOnce(n int, transact func(func(rendezvous.Tx) error) error) error {
	var together, open sync.WaitGroup
	errs := make([]error, n)
	open.Add(n)
	for i := range n {
		together.Go(func() {
			arrived := sync.OnceFunc(open.Done)
			defer arrived()
			errs[i] = transact(func(tx rendezvous.Tx) error {
				tx.Now() // which it asks the database for
				arrived()
				open.Wait()
				return nil
			})
		})
	}
	together.Wait()
	return errors.Join(errs...)
}

// databaseOf returns the name of the database in a URL.
func databaseOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	must(err)
	return strings.TrimPrefix(u.Path, "/")
}

// TestConnectionLimitOfTheDatabase has the database accept fewer connections than the pool may have: transactions wait for
// one of those that are open.
func TestConnectionLimitOfTheDatabase(t *testing.T) {
	t.Parallel()
	const limit = 4
	c := pgtest.Shared(t)
	limited, address := c.Role(t), c.Database(t)
	c.Exec(t, "postgres", "ALTER DATABASE "+databaseOf(t, address)+" OWNER TO "+limited)
	db := open(t, repo.Options{URL: strings.Replace(address, "user=postgres", "user="+limited, 1), Connections: 3 * limit})
	c.Exec(t, "postgres", "ALTER ROLE "+limited+" CONNECTION LIMIT "+strconv.Itoa(limit))
	update := func(f func(rendezvous.Tx) error) error { return db.Update(t.Context(), f) }
	must(atOnce(2, update))
	for range 4 * limit {
		if err := db.Probe(t.Context()); err != nil {
			t.Fatalf("one after the other: %v", err)
		}
	}
	var together sync.WaitGroup
	for range 4 * limit {
		together.Go(func() {
			if err := db.Probe(t.Context()); err != nil {
				t.Errorf("at once: %v", err)
			}
		})
	}
	together.Wait()
}

// TestConnectionsOfAReadOnlyTimeAreReplaced has a database be read-only for a while. Connections keep what was set when
// they were opened, so all that were opened meanwhile are replaced once one failed.
func TestConnectionsOfAReadOnlyTimeAreReplaced(t *testing.T) {
	t.Parallel()
	c, address := pgtest.Shared(t), newDatabase(t)
	db := open(t, repo.Options{URL: address, Connections: 3})
	update := func(f func(rendezvous.Tx) error) error { return db.Update(t.Context(), f) }
	view := func(f func(rendezvous.Tx) error) error { return db.View(t.Context(), f) }
	name := databaseOf(t, address)
	c.Exec(t, "postgres", "ALTER DATABASE "+name+" SET default_transaction_read_only = on")
	c.Exec(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+name+"'")
	must(atOnce(3, view))
	if err := db.Probe(t.Context()); !errors.Is(err, rendezvous.ErrUnavailable) {
		t.Errorf("a read-only database: %v, want ErrUnavailable", err)
	}
	must(atOnce(3, view))
	c.Exec(t, "postgres", "ALTER DATABASE "+name+" RESET default_transaction_read_only")
	if err := db.Update(t.Context(), createWithMessage("first", 10)); !errors.Is(err, rendezvous.ErrUnavailable) {
		t.Errorf("on a connection of before: %v, want ErrUnavailable", err)
	}
	if err := db.Probe(t.Context()); err != nil {
		t.Fatalf("it does not recover: %v", err)
	}
	if err := atOnce(3, update); err != nil {
		t.Errorf("a connection of before is used: %v", err)
	}
	wantWorking(t, db)
}
