package repo

import (
	"time"

	"restante/rendezvous"
)

// Counts are how many of everything there are; of the sessions, those that have
// not ended.
func (t *tx) Counts() (_ rendezvous.Counts, err error) {
	defer annotate(&err, "counting everything")
	c, err := queryOne[struct{ Nameplates, Mailboxes, Messages, Sessions int64 }](t, `
		SELECT (SELECT COUNT(*) FROM nameplates) AS nameplates,
		       (SELECT COUNT(*) FROM mailboxes) AS mailboxes,
		       -- Positions are dense and no message goes before its mailbox: no need to visit them all.
		       (SELECT CAST(COALESCE(SUM(last_position), 0) AS BIGINT) FROM mailboxes) AS messages,
		       (SELECT COUNT(*) FROM sessions WHERE ended IS NULL) AS sessions`)
	return rendezvous.Counts(c), err
}

// Updated is the time of the last committed modification.
func (t *tx) Updated() (_ time.Time, err error) {
	defer annotate(&err, "loading the time of the last modification")
	m, err := queryOne[millis](t, `SELECT updated FROM modified WHERE one = 1`)
	return m.time(), err
}

// stamp notes that something was modified; it never goes back, though the clock may.
func (c *conn) stamp(now time.Time) error {
	_, err := c.exec(`UPDATE modified SET updated = ? WHERE one = 1 AND updated < ?`, toMillis(now), toMillis(now))
	return err
}

// probeSize is as much as a large request takes: a disk that has room for less is full.
const probeSize = 256 << 10

// probe writes something that takes room, or makes the room free again.
func (t *tx) probe(takes bool) error {
	var room []byte
	if takes {
		room = make([]byte, probeSize)
	}
	_, err := t.exec(`UPDATE modified SET room = ? WHERE one = 1`, room)
	t.changed = false
	return err
}
