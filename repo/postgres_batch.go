package repo

import (
	"time"

	"github.com/lib/pq"

	"restante/rendezvous"
	"restante/session"
)

// An operation on many rows is one statement on PostgreSQL, so that their locks are held for a
// short time only. Each statement takes its locks in the order of the keys.

// sessionsBatch is Sessions in one statement.
func (t *tx) sessionsBatch(keys []session.Key) (_ []rendezvous.Session, err error) {
	defer annotate(&err, "loading %d sessions", len(keys))
	rows, err := queryAll[sessionRow](t, selectSession+` WHERE s.key = ANY (?::bytea[])`, byteaArray(keys))
	return mapSlice(rows, sessionRow.session), err
}

func byteaArray(keys []session.Key) pq.ByteaArray {
	list := make(pq.ByteaArray, len(keys))
	for i := range keys {
		list[i] = keys[i][:]
	}
	return list
}

// updateLastSeenBatch is UpdateLastSeen in one statement.
func (t *tx) updateLastSeenBatch(seen []session.Sighting) error {
	keys := make(pq.ByteaArray, len(seen))
	times, sweeps := make(pq.Int64Array, len(seen)), make(pq.Int64Array, len(seen))
	for i, s := range seen {
		keys[i], times[i], sweeps[i] = s.Key[:], s.Seen.UnixMilli(), s.SweepAt.UnixMilli()
	}
	return t.change(`
		WITH news AS (SELECT n.key, n.seen, n.sweep_at FROM unnest(?::bytea[], ?::bigint[], ?::bigint[]) AS n (key, seen, sweep_at)),
		locked AS (
			SELECT s.key, n.seen, n.sweep_at FROM sessions AS s JOIN news AS n ON n.key = s.key
			WHERE s.seen < n.seen AND s.ended IS NULL
			ORDER BY s.key
			FOR NO KEY UPDATE OF s)
		UPDATE sessions AS s SET seen = l.seen, sweep_at = l.sweep_at
		FROM locked AS l WHERE l.key = s.key`, keys, times, sweeps)
}

// socketsSeenBatch is SocketsSeen in one statement.
func (t *tx) socketsSeenBatch(mailboxes []rendezvous.MailboxKey, at time.Time) error {
	keys := make(pq.Int64Array, len(mailboxes))
	for i, k := range mailboxes {
		keys[i] = int64(k)
	}
	return t.change(`
		WITH locked AS (
			SELECT m.key FROM mailboxes AS m
			WHERE m.key = ANY (?::bigint[]) AND m.held < ?
			ORDER BY m.key
			FOR NO KEY UPDATE OF m)
		UPDATE mailboxes AS m SET held = ?
		FROM locked AS l WHERE l.key = m.key`, keys, toMillis(at), toMillis(at))
}

// acknowledgeBatch is Acknowledge in one statement.
func (t *tx) acknowledgeBatch(acks []session.Ack) error {
	keys := make(pq.ByteaArray, len(acks))
	epochs, upTo := make(pq.Int64Array, len(acks)), make(pq.Int64Array, len(acks))
	for i, a := range acks {
		keys[i], epochs[i], upTo[i] = a.Session[:], int64(a.Epoch), int64(a.UpTo)
	}
	return t.change(`
		WITH acks AS (SELECT a.session, a.epoch, a.up_to FROM unnest(?::bytea[], ?::bigint[], ?::bigint[]) AS a (session, epoch, up_to)),
		locked AS (
			SELECT o.session, a.up_to FROM outboxes AS o
			JOIN acks AS a ON a.session = o.session
			WHERE o.epoch = a.epoch AND o.kept < a.up_to AND o.next >= a.up_to
			ORDER BY o.session
			FOR NO KEY UPDATE OF o),
		gone AS (
			-- A run that is acknowledged in part stays whole.
			DELETE FROM outbox_entries AS e USING locked AS l
			WHERE e.session = l.session AND e.seq < l.up_to AND e.seq + e.count <= l.up_to
			RETURNING e.session, LENGTH(e.payload) AS size)
		UPDATE outboxes AS o
		SET kept = l.up_to,
		    frames = o.frames - (SELECT COUNT(g.size) FROM gone AS g WHERE g.session = l.session),
		    bytes = o.bytes - COALESCE((SELECT SUM(g.size) FROM gone AS g WHERE g.session = l.session), 0)
		FROM locked AS l WHERE l.session = o.session`, keys, epochs, upTo)
}

// appendRunLater appends a run to an outbox without waiting for whether the last run could be made longer.
func (t *tx) appendRunLater(k session.Key, m rendezvous.MailboxKey, first rendezvous.Position, count int64, seq session.Seq) error {
	if err := t.change(extendRun, count, digest(k), digest(k), m, first, seq); err != nil {
		return err
	}
	return t.change(`
		INSERT INTO outbox_entries (session, seq, count, mailbox, position)
		SELECT ?::bytea, ?::bigint, ?::bigint, ?::bigint, ?::bigint
		WHERE NOT EXISTS (
			SELECT 1 FROM outbox_entries AS e
			WHERE e.session = ? AND e.seq = (SELECT MAX(l.seq) FROM outbox_entries AS l WHERE l.session = ?) AND e.seq + e.count > ?)`,
		digest(k), seq, count, m, first, digest(k), digest(k), seq)
}
