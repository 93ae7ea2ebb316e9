package repo

import (
	"time"

	"restante/rendezvous"
)

// serverRow is a server and its last sign of life.
type serverRow struct {
	ID, Version           string
	Started, Seen, Pruned millis
	Skew                  span
}

func (r serverRow) server() rendezvous.Server {
	s := rendezvous.Server{ID: r.ID, Version: r.Version, Started: r.Started.time(), Seen: r.Seen.time(), Skew: r.Skew.duration()}
	if r.Pruned > 0 {
		s.Pruned = r.Pruned.time()
	}
	return s
}

// RecordServer stores a server, and forgets those that were not seen since a time.
func (t *tx) RecordServer(s rendezvous.Server, forget time.Time) (err error) {
	defer annotate(&err, "recording a server")
	var pruned millis
	if !s.Pruned.IsZero() {
		pruned = toMillis(s.Pruned)
	}
	if err := t.change(`
		INSERT INTO servers (id, version, started, seen, skew, pruned)
		VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET seen = excluded.seen, skew = excluded.skew, pruned = excluded.pruned`,
		s.ID, s.Version, toMillis(s.Started), toMillis(s.Seen), toSpan(s.Skew), pruned); err != nil {
		return err
	}
	return t.change(`DELETE FROM servers WHERE seen < ?`, toMillis(forget))
}

// Servers returns the servers that use the database, or did, the one that was seen last first.
func (t *tx) Servers(limit int) (_ []rendezvous.Server, err error) {
	defer annotate(&err, "listing servers")
	rows, err := queryAll[serverRow](t, `
		SELECT id, version, started, seen, skew, pruned
		FROM servers
		ORDER BY seen DESC
		LIMIT ?`, limit)
	return mapSlice(rows, serverRow.server), err
}
