package repo

import (
	"time"

	"restante/rendezvous"
)

// recordMailbox stores a mailbox's usage record.
func (t *tx) recordMailbox(u rendezvous.Usage, forNameplate bool) error {
	return t.change(`
		INSERT INTO usage_mailboxes (app, for_nameplate, started, waiting, total, result)
		VALUES (?, ?, ?, ?, ?, ?)`,
		u.App, flag(forNameplate), toMillis(u.Started), waitingSpan(u), toSpan(u.Total), u.Result)
}

// recordNameplate stores a nameplate's usage record.
func (t *tx) recordNameplate(u rendezvous.Usage) error {
	return t.change(`
		INSERT INTO usage_nameplates (app, started, waiting, total, result)
		VALUES (?, ?, ?, ?, ?)`,
		u.App, toMillis(u.Started), waitingSpan(u), toSpan(u.Total), u.Result)
}

// waitingSpan returns the waiting time, NULL if the second side never came.
func waitingSpan(u rendezvous.Usage) *span {
	if u.Waiting == nil {
		return nil
	}
	s := toSpan(*u.Waiting)
	return &s
}

// RecordClients stores which client versions connected.
func (t *tx) RecordClients(clients []rendezvous.ClientVersion) (err error) {
	defer annotate(&err, "recording %d clients", len(clients))
	for _, c := range clients {
		if err := t.change(`
			INSERT INTO client_versions (app, side, connected, implementation, version)
			VALUES (?, ?, ?, ?, ?)`,
			c.App, "", toMillis(c.Connected), nullIfEmpty(c.Implementation), nullIfEmpty(c.Version)); err != nil {
			return err
		}
	}
	return nil
}

// DeleteStatistics deletes old usage records and client versions. Records are found by their start, which has an index.
func (t *tx) DeleteStatistics(before time.Time, limit int) (deleted int, err error) {
	defer annotate(&err, "deleting old statistics")
	at := toMillis(before)
	for _, d := range []struct {
		statement string
		arguments []any
	}{
		{`DELETE FROM usage_nameplates WHERE rowid IN (SELECT rowid FROM usage_nameplates WHERE started < ? AND started + total < ? AND counted = 1 ORDER BY started LIMIT ?)`, []any{at, at, limit}},
		{`DELETE FROM usage_mailboxes WHERE rowid IN (SELECT rowid FROM usage_mailboxes WHERE started < ? AND started + total < ? AND counted = 1 ORDER BY started LIMIT ?)`, []any{at, at, limit}},
		{`DELETE FROM client_versions WHERE rowid IN (SELECT rowid FROM client_versions WHERE connected < ? ORDER BY connected LIMIT ?)`, []any{at, limit}},
	} {
		n, err := t.exec(t.conn.dialect.byRow(d.statement), d.arguments...)
		if err != nil {
			return 0, err
		}
		deleted += int(n)
	}
	return deleted, nil
}

// statistics has, for each kind of statistics, what counts them up to a number, and what deletes the oldest.
var statistics = map[rendezvous.Kind]struct{ count, deleteOldest string }{
	rendezvous.KindNameplate: {
		`SELECT COUNT(*) FROM (SELECT 1 FROM usage_nameplates LIMIT ?) AS few`,
		`DELETE FROM usage_nameplates WHERE rowid IN (SELECT rowid FROM usage_nameplates WHERE counted = 1 ORDER BY started LIMIT ?)`,
	},
	rendezvous.KindMailbox: {
		`SELECT COUNT(*) FROM (SELECT 1 FROM usage_mailboxes LIMIT ?) AS few`,
		`DELETE FROM usage_mailboxes WHERE rowid IN (SELECT rowid FROM usage_mailboxes WHERE counted = 1 ORDER BY started LIMIT ?)`,
	},
	rendezvous.KindClient: {
		`SELECT COUNT(*) FROM (SELECT 1 FROM client_versions LIMIT ?) AS few`,
		`DELETE FROM client_versions WHERE rowid IN (SELECT rowid FROM client_versions ORDER BY connected LIMIT ?)`,
	},
}

// CountStatistics counts the records of a kind, up to atMost.
func (t *tx) CountStatistics(kind rendezvous.Kind, atMost int) (_ int, err error) {
	defer annotate(&err, "counting statistics of a %s", kind)
	return queryOne[int](t, statistics[kind].count, atMost)
}

// DeleteOldestStatistics deletes the records of a kind of what began first.
func (t *tx) DeleteOldestStatistics(kind rendezvous.Kind, limit int) (_ int, err error) {
	defer annotate(&err, "deleting the oldest statistics of a %s", kind)
	n, err := t.exec(t.conn.dialect.byRow(statistics[kind].deleteOldest), limit)
	return int(n), err
}

// nullIfEmpty returns NULL for an empty text.
func nullIfEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
