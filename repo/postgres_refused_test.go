package repo_test

import (
	"errors"
	"strings"
	"testing"

	"restante/rendezvous"
	"restante/repo"
	"restante/repo/pgtest"
)

// TestWhatTheDatabaseRefusesMakesItUnavailable takes a right or a table from a server that runs. A probe, which does not
// need it, tells that the storage is unavailable until it is given back.
func TestWhatTheDatabaseRefusesMakesItUnavailable(t *testing.T) {
	t.Parallel()
	c := pgtest.Shared(t)
	clerk := c.Role(t)
	for name, x := range map[string]struct{ take, give, says string }{
		"a right":  {"REVOKE INSERT ON messages FROM " + clerk, "GRANT INSERT ON messages TO " + clerk, "42501"},
		"a schema": {"REVOKE USAGE ON SCHEMA public FROM PUBLIC", "GRANT USAGE ON SCHEMA public TO PUBLIC", "42P01"},
		"a table":  {"ALTER TABLE messages RENAME TO letters", "ALTER TABLE letters RENAME TO messages", "42P01"},
		"a column": {"ALTER TABLE messages RENAME body TO text", "ALTER TABLE messages RENAME text TO body", "42703"},
	} {
		for how, pooled := range map[string]bool{"": false, ", with a pooler": true} {
			t.Run(name+how, func(t *testing.T) {
				t.Parallel()
				address := newDatabase(t)
				exec := func(statement string) { c.Exec(t, databaseOf(t, address), statement) }
				exec("GRANT ALL ON ALL TABLES IN SCHEMA public TO " + clerk)
				db := open(t, repo.Options{URL: strings.Replace(address, "user=postgres", "user="+clerk, 1), Pooled: pooled})
				must(db.Update(t.Context(), createWithMessage("before", 10)))
				exec(x.take)
				for i, err := range []error{
					db.Update(t.Context(), createWithMessage("meanwhile", 10)), db.Probe(t.Context()), db.Probe(t.Context()),
				} {
					if !errors.Is(err, rendezvous.ErrUnavailable) || !strings.Contains(err.Error(), x.says) {
						t.Errorf("transaction %d: %v, want ErrUnavailable, and %s", i, err, x.says)
					}
				}
				exec(x.give)
				if err := db.Probe(t.Context()); err != nil {
					t.Errorf("a probe afterwards: %v", err)
				}
				wantWorking(t, db)
				must(db.Update(t.Context(), createWithMessage("after", 10)))
			})
		}
	}
}
