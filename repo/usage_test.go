package repo_test

import (
	"testing"
	"time"

	"restante/rendezvous"
	"restante/repo"
)

// Operators read the usage records; the store does not.
func TestUsageIsRecorded(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	waited := 1500 * time.Millisecond
	must(db.Update(t.Context(), func(tx rendezvous.Tx) error {
		m := rendezvous.NewMailbox("app", "x", time.Minute, tx.Now())
		m.ForNameplate = true
		m, err := tx.CreateMailbox(m)
		must(err)
		n := rendezvous.Nameplate{App: "app", ID: "7", Mailbox: m.Key}
		must(tx.CreateNameplate(n))
		must(tx.RetireNameplate(n, rendezvous.Usage{App: "app", Started: time.UnixMilli(1000), Total: time.Second, Result: rendezvous.ResultLonely}))
		must(tx.RetireMailbox(m, rendezvous.Usage{App: "app", Started: time.UnixMilli(2000), Waiting: &waited, Total: 3 * time.Second, Result: rendezvous.ResultHappy}))
		return tx.RecordClients([]rendezvous.ClientVersion{
			{App: "app", Connected: time.UnixMilli(3000), Implementation: "rust", Version: "1.0"},
			{App: "app", Connected: time.UnixMilli(4000)},
		})
	}))
	raw := repo.OpenRaw(t, repo.Path(t, db))
	for query, want := range map[string]int{
		"SELECT COUNT(*) FROM usage_nameplates": 1,
		"SELECT COUNT(*) FROM usage_mailboxes":  1,
		"SELECT COUNT(*) FROM client_versions":  2,
		"SELECT COUNT(*) FROM usage_nameplates WHERE (app, started, total, result) = ('app', 1000, 1000, 'lonely') AND waiting IS NULL":            1,
		"SELECT COUNT(*) FROM usage_mailboxes WHERE (app, for_nameplate, started, waiting, total, result) = ('app', 1, 2000, 1500, 3000, 'happy')": 1,
		"SELECT COUNT(*) FROM client_versions WHERE (app, side, connected, implementation, version) = ('app', '', 3000, 'rust', '1.0')":            1,
		"SELECT COUNT(*) FROM client_versions WHERE (app, side, connected) = ('app', '', 4000) AND implementation IS NULL AND version IS NULL":     1,
	} {
		var got int
		must(raw.QueryRow(query).Scan(&got))
		if got != want {
			t.Errorf("%d, not %d: %s", got, want, query)
		}
	}
}
