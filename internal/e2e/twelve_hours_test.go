package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"restante/internal/e2e"
)

// operatorSees is all that tells an operator how pruning goes: the metrics, the status on the command line and as a
// page, and the graph of Munin.
type operatorSees struct{ metrics, status, page, munin string }

func look(t *testing.T, s *e2e.Server, admin string) (seen operatorSees) {
	t.Helper()
	seen.metrics = string(e2e.Ask(t, http.MethodGet, "http://"+admin+"/metrics", nil).Body)
	seen.page = string(e2e.Ask(t, http.MethodGet, "http://"+admin+"/status", nil).Body)
	env := []string{"RESTANTE_URL=http://" + admin, "RESTANTE_DATABASE=" + s.Database}
	seen.status, _, _ = e2e.Run(t, env, "status")
	seen.munin, _, _ = e2e.Run(t, env, "munin", "staleness")
	return seen
}

// each returns what of it fits its pattern, in a fixed order.
func (o operatorSees) each(patterns operatorSees) (fits [4]bool) {
	for i, pair := range [][2]string{{patterns.metrics, o.metrics}, {patterns.status, o.status}, {patterns.page, o.page}, {patterns.munin, o.munin}} {
		fits[i] = regexp.MustCompile(pair[0]).MatchString(pair[1])
	}
	return fits
}

// TestTwelveHours replays the night in which a server did not prune for twelve hours, and nothing told of it. Pruning
// fails for one mailbox, whose row is poisoned, and then for the list of what is stale. Everything that an operator looks
// at shows it within an interval, and what it is. Everything else is pruned, and reported.
func TestTwelveHours(t *testing.T) {
	t.Parallel()
	admin := e2e.FreeAddress(t)
	s := e2e.NewServer(t, "--admin-listen="+admin, "--boot-grace=0s", "--prune-interval=1s", "--mailbox-ttl=1s")
	s.Start()
	s.WaitReady()
	asOneSide(t, s, "a", http.MethodPut, "/v1/mailboxes/poisoned")
	database, exec := e2e.OpenDatabase(t, s)
	ended := func() (n int) {
		t.Helper()
		if err := database.QueryRowContext(context.WithoutCancel(t.Context()), "SELECT COUNT(*) FROM usage_mailboxes").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	shows := func(what string, patterns operatorSees) {
		t.Helper()
		var seen operatorSees
		var fits [4]bool
		e2e.Eventually(t, what, func() bool {
			seen = look(t, s, admin)
			fits = seen.each(patterns)
			return fits == [4]bool{true, true, true, true} || s.Exited()
		})
		if fits != [4]bool{true, true, true, true} {
			t.Errorf("%s: %v of %+v", what, fits, seen)
		}
	}
	good := operatorSees{`(?m)^restante_prune_failing 0$`, `: ready\n`, `all is well`, `failing.value 0\n`}

	exec("UPDATE mailboxes SET created = 'poison' WHERE id = 'poisoned'")
	const row = `mailbox +\d+`
	shows("one mailbox cannot be pruned", operatorSees{
		`(?m)^restante_prune_failing 1$`, `1 things? cannot be pruned(?s:.*)` + row + `.*fault: `,
		`What could not be pruned(?s:.*)<td>mailbox<td>\d+<td>(?s:.*)<td>fault: `, `failing.value 1\nfailing.extinfo ` + row + `.*: fault, `,
	})
	before := ended()
	for i := range 3 {
		asOneSide(t, s, "a", http.MethodPut, fmt.Sprint("/v1/mailboxes/other-", i))
	}
	e2e.Eventually(t, "everything else is pruned and reported", func() bool { return ended() == before+3 })
	exec("UPDATE mailboxes SET created = 0 WHERE id = 'poisoned'")
	shows("it could be pruned at last", good)
	if n := ended(); n != before+4 {
		t.Errorf("%d mailboxes are reported, want %d", n, before+4)
	}

	exec("ALTER TABLE sessions RENAME COLUMN sweep_at TO poisoned")
	shows("what is stale cannot be listed", operatorSees{
		`(?m)^restante_prune_failing 1$`, `1 things? cannot be pruned(?s:.*)list +session +fault: `,
		`<td>list<td>session<td>(?s:.*)<td>fault: `, `failing.value 1\nfailing.extinfo the list of what is stale \(session\): fault, `,
	})
	before = ended()
	asOneSide(t, s, "a", http.MethodPut, "/v1/mailboxes/another")
	e2e.Eventually(t, "mailboxes are pruned and reported", func() bool { return ended() == before+1 })
	exec("ALTER TABLE sessions RENAME COLUMN poisoned TO sweep_at")
	shows("it can be listed again", good)
	if runs := regexp.MustCompile(`(\d+) of (\d+) runs`).FindString(look(t, s, admin).status); runs == "" || strings.HasPrefix(runs, "0 ") {
		t.Errorf("the runs are %q", runs)
	}
}
