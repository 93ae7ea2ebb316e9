package repo

import "restante/rendezvous"

// recordMailbox remembers how a mailbox's life went.
func (t *tx) recordMailbox(u rendezvous.Usage, forNameplate bool) error {
	_, err := t.exec(`
		INSERT INTO usage_mailboxes (app, for_nameplate, started, waiting, total, result)
		VALUES (?, ?, ?, ?, ?, ?)`,
		u.App, flag(forNameplate), toMillis(u.Started), waitingSpan(u), toSpan(u.Total), u.Result)
	return err
}

// recordNameplate remembers how a nameplate's life went.
func (t *tx) recordNameplate(u rendezvous.Usage) error {
	_, err := t.exec(`
		INSERT INTO usage_nameplates (app, started, waiting, total, result)
		VALUES (?, ?, ?, ?, ?)`,
		u.App, toMillis(u.Started), waitingSpan(u), toSpan(u.Total), u.Result)
	return err
}

// waited is NULL where the second side never came.
func waitingSpan(u rendezvous.Usage) *span {
	if u.Waiting == nil {
		return nil
	}
	s := toSpan(*u.Waiting)
	return &s
}

// RecordClients notes which clients came.
func (t *tx) RecordClients(clients []rendezvous.ClientVersion) (err error) {
	defer annotate(&err, "recording %d clients", len(clients))
	for _, c := range clients {
		if _, err := t.exec(`
			INSERT INTO client_versions (app, side, connected, implementation, version)
			VALUES (?, ?, ?, ?, ?)`,
			c.App, c.Side, toMillis(c.Connected), nullIfEmpty(c.Implementation), nullIfEmpty(c.Version)); err != nil {
			return err
		}
	}
	return nil
}

// orNull is a text, or nothing if it is empty.
func nullIfEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
