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
	c, address := pgtest.Shared(t), pgtest.Database(t)
	c.Exec(t, "postgres", "CREATE ROLE limited LOGIN")
	c.Exec(t, "postgres", "ALTER DATABASE "+databaseOf(t, address)+" OWNER TO limited")
	db := open(t, repo.Options{URL: strings.Replace(address, "user=postgres", "user=limited", 1), Connections: 3 * limit})
	c.Exec(t, "postgres", "ALTER ROLE limited CONNECTION LIMIT "+strconv.Itoa(limit))
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
