package repo

import (
	"time"

	"restante/rendezvous"
)

// Counts returns how many nameplates, mailboxes, messages and live sessions there are.
func (t *tx) Counts() (c rendezvous.Counts, err error) {
	defer annotate(&err, "counting what is stored")
	// In a statement each, because the time of a statement is limited.
	if c.Nameplates, err = queryOne[int64](t, `SELECT COUNT(*) FROM nameplates`); err != nil {
		return c, err
	}
	m, err := queryOne[struct{ Mailboxes, Messages int64 }](t, `
		SELECT COUNT(*) AS mailboxes,
		       -- Positions are dense and no message is deleted before its mailbox, so the rows need not be counted.
		       CAST(COALESCE(SUM(last_position), 0) AS BIGINT) AS messages
		FROM mailboxes`)
	if err != nil {
		return c, err
	}
	c.Mailboxes, c.Messages = m.Mailboxes, m.Messages
	c.Sessions, err = queryOne[int64](t, `SELECT COUNT(*) FROM sessions WHERE ended IS NULL`)
	return c, err
}

// Updated returns the time of the last committed modification.
func (t *tx) Updated() (_ time.Time, err error) {
	defer annotate(&err, "loading the time of the last modification")
	m, err := queryOne[millis](t, `SELECT updated FROM modified WHERE one = 1`)
	return m.time(), err
}

// StorageSize returns how much storage the database takes.
func (t *tx) StorageSize() (_ rendezvous.StorageSize, err error) {
	defer annotate(&err, "measuring the database")
	return t.conn.dialect.storageSize(t)
}

// FreeSpace gives back some of the space that is free.
func (t *tx) FreeSpace() (more bool, err error) {
	defer annotate(&err, "giving back space")
	if t.conn.dialect.freeSpace == nil {
		return false, nil
	}
	return t.conn.dialect.freeSpace(t)
}

// stampInterval is how far the stored time of the last modification may lag behind. If each transaction stored it, each
// would wait for that row on PostgreSQL, and write one more page on SQLite.
const stampInterval = time.Second

// stampDue reports whether the time of a modification is to be stored, after last was. The clock may have gone back.
func stampDue(now, last time.Time, interval time.Duration) bool {
	return now.Before(last) || !now.Before(last.Add(interval))
}

// stamp records the time of a modification. The stored time never goes back, though the clock may.
func (c *conn) stamp(now time.Time) error {
	return c.later(`UPDATE modified SET updated = ? WHERE one = 1 AND updated < ?`, toMillis(now), toMillis(now))
}

// probeSize is the number of bytes that a large request takes: a disk with less room is full.
const probeSize = 256 << 10

// probe writes [probeSize] bytes, or deletes them if fill is false.
func (t *tx) probe(fill bool) error {
	var room []byte
	if fill {
		room = make([]byte, probeSize)
	}
	err := t.change(`UPDATE modified SET room = ? WHERE one = 1`, room)
	t.changed = false
	return err
}
