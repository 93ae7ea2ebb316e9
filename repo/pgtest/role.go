package pgtest

import (
	"strconv"
	"testing"
)

// Role makes a user that may log in, and returns its name. It is dropped when the test ends, which fails while it owns
// anything: the test makes its databases later, and they are dropped before.
func (c *Cluster) Role(tb testing.TB) string {
	tb.Helper()
	name := "role" + strconv.FormatInt(c.roleCount.Add(1), 10)
	c.Exec(tb, "postgres", "CREATE ROLE "+name+" LOGIN")
	tb.Cleanup(func() {
		if c.process != nil {
			c.Exec(tb, "postgres", "DROP ROLE "+name)
		}
	})
	return name
}
