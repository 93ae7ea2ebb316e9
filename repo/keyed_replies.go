package repo

import (
	"errors"
	"time"

	"restante/rendezvous"
)

// ReserveReply stores a reply whose outcome is not known yet, unless there is one. What the one before counted stays in the
// row until [tx.RecordReply].
func (t *tx) ReserveReply(id, fingerprint [32]byte, until time.Time) (before rendezvous.AddressBytes, reserved bool, err error) {
	defer annotate(&err, "reserving a reply")
	row, err := queryReturning[addressBytesRow](t, `
		INSERT INTO keyed_replies (id, fingerprint, outcome, until) VALUES (?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET fingerprint = excluded.fingerprint, outcome = excluded.outcome, until = excluded.until
		WHERE keyed_replies.until <= ?
		RETURNING address, size AS bytes`,
		digest(id), digest(fingerprint), []byte{}, toMillis(until), toMillis(t.Now()))
	if errors.Is(err, rendezvous.ErrNotFound) {
		return rendezvous.AddressBytes{}, false, nil
	}
	return row.value(), err == nil, err
}

// RecordReply stores the outcome of a reply that was reserved, and how much it counts for which address.
func (t *tx) RecordReply(id [32]byte, outcome []byte, counts rendezvous.AddressBytes) (err error) {
	defer annotate(&err, "recording a reply")
	return t.change(`UPDATE keyed_replies SET outcome = ?, address = ?, size = ? WHERE id = ?`,
		nonNil(outcome), counts.Address, counts.Bytes, digest(id))
}

// KeyedReply loads a reply that was recorded under an idempotency key.
func (t *tx) KeyedReply(id [32]byte) (_ rendezvous.Reply, err error) {
	defer annotate(&err, "loading a recorded reply")
	type row struct {
		Fingerprint digest
		Outcome     []byte
	}
	r, err := queryOne[row](t, `SELECT fingerprint, outcome FROM keyed_replies WHERE id = ?`, digest(id))
	return rendezvous.Reply{Fingerprint: r.Fingerprint, Outcome: r.Outcome}, err
}

// DeleteReplies forgets replies whose time is over, and returns what each counted.
func (t *tx) DeleteReplies(now time.Time, limit int) (_ []rendezvous.AddressBytes, err error) {
	defer annotate(&err, "forgetting recorded replies")
	rows, err := queryAllReturning[addressBytesRow](t, `
		DELETE FROM keyed_replies
		WHERE id IN (SELECT id FROM keyed_replies WHERE until <= ? ORDER BY until LIMIT ?)
		RETURNING address, size AS bytes`, toMillis(now), limit)
	return mapSlice(rows, addressBytesRow.value), err
}
