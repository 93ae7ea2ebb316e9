package repo

import (
	"fmt"
	"slices"
	"strings"

	"restante/rendezvous"
	"restante/session"
)

// flawRow is a flaw as it is found. What it is not about is NULL.
type flawRow struct {
	App       *rendezvous.AppID
	Mailbox   *rendezvous.MailboxKey
	Nameplate *rendezvous.NameplateID
	Session   *digest
}

// flawQueries find flaws.
var flawQueries = map[rendezvous.FlawKind]string{
	rendezvous.FlawMailboxSides: `
		SELECT m.key AS mailbox, m.app FROM mailboxes AS m
		WHERE NOT EXISTS (SELECT 1 FROM mailbox_sides AS s WHERE s.mailbox = m.key)
		ORDER BY m.key LIMIT ?`,
	rendezvous.FlawMailboxLog: `
		SELECT m.key AS mailbox, m.app FROM mailboxes AS m
		LEFT JOIN (SELECT mailbox, COUNT(*) AS messages, MAX(position) AS last FROM messages GROUP BY mailbox) AS l ON l.mailbox = m.key
		WHERE m.last_position <> COALESCE(l.messages, 0) OR m.last_position <> COALESCE(l.last, 0)
		ORDER BY m.key LIMIT ?`,
	rendezvous.FlawMailboxBytes: `
		SELECT m.key AS mailbox, m.app FROM mailboxes AS m
		LEFT JOIN (SELECT mailbox, SUM(LENGTH(body)) AS bytes FROM messages GROUP BY mailbox) AS l ON l.mailbox = m.key
		WHERE m.bytes <> COALESCE(l.bytes, 0)
		ORDER BY m.key LIMIT ?`,
	rendezvous.FlawNameplateMailbox: `
		SELECT n.app, n.id AS nameplate FROM nameplates AS n
		WHERE NOT EXISTS (SELECT 1 FROM mailboxes AS m WHERE m.key = n.mailbox)
		ORDER BY n.app, n.id LIMIT ?`,
	rendezvous.FlawNameplateClaims: `
		SELECT n.app, n.id AS nameplate FROM nameplates AS n
		WHERE NOT EXISTS (SELECT 1 FROM claims AS c WHERE c.app = n.app AND c.nameplate = n.id)
		ORDER BY n.app, n.id LIMIT ?`,
	rendezvous.FlawNameplateWaiting: `
		SELECT n.app, n.id AS nameplate FROM nameplates AS n
		JOIN (SELECT app, nameplate, COUNT(*) AS claimed, COUNT(released) AS released FROM claims GROUP BY app, nameplate) AS c
		     ON c.app = n.app AND c.nameplate = n.id
		WHERE n.waiting <> CASE WHEN c.claimed = 1 AND c.released = 0 THEN 1 ELSE 0 END
		ORDER BY n.app, n.id LIMIT ?`,
	rendezvous.FlawOutboxFrames: `
		SELECT o.session, s.app FROM outboxes AS o
		JOIN sessions AS s ON s.key = o.session
		LEFT JOIN (SELECT session, SUM(count) AS frames FROM outbox_entries GROUP BY session) AS e ON e.session = o.session
		WHERE s.ended IS NULL AND (
			o.next - o.kept > COALESCE(e.frames, 0)
			OR EXISTS (
				SELECT 1 FROM outbox_entries AS r
				WHERE r.session = o.session AND r.mailbox IS NOT NULL AND (
					r.count <> (SELECT COUNT(*) FROM messages AS m WHERE m.mailbox = r.mailbox AND m.position >= r.position AND m.position < r.position + r.count)
					OR NOT EXISTS (SELECT 1 FROM mailboxes AS b WHERE b.key = r.mailbox) AND NOT EXISTS (SELECT 1 FROM retired_logs AS l WHERE l.mailbox = r.mailbox))))
		ORDER BY o.session LIMIT ?`,
	rendezvous.FlawOutboxCounters: `
		SELECT o.session, s.app FROM outboxes AS o
		JOIN sessions AS s ON s.key = o.session
		LEFT JOIN (SELECT session, COUNT(payload) AS frames, SUM(LENGTH(payload)) AS bytes FROM outbox_entries GROUP BY session) AS e ON e.session = o.session
		WHERE o.frames <> COALESCE(e.frames, 0) OR o.bytes <> COALESCE(e.bytes, 0) OR o.live <> CASE WHEN s.ended IS NULL THEN 1 ELSE 0 END
		ORDER BY o.session LIMIT ?`,
	rendezvous.FlawSessionOutbox: `
		SELECT s.key AS session, s.app FROM sessions AS s
		WHERE NOT EXISTS (SELECT 1 FROM outboxes AS o WHERE o.session = s.key)
		ORDER BY s.key LIMIT ?`,
}

// usageMissing finds logs of mailboxes that were retired at a time or later, without a usage record that ended then. The
// start of a record may be rounded down.
const usageMissing = `
		SELECT r.mailbox FROM retired_logs AS r
		WHERE r.retired >= ? AND NOT EXISTS (SELECT 1 FROM usage_mailboxes AS u WHERE u.started + u.total <= r.retired AND u.started + u.total >= r.retired - CAST(? AS BIGINT))
		ORDER BY r.mailbox LIMIT ?`

// orphans are the rows of each table that belong to nothing.
var orphans = []struct{ table, where string }{
	{"mailbox_sides", `NOT EXISTS (SELECT 1 FROM mailboxes AS m WHERE m.key = mailbox_sides.mailbox)`},
	{"messages", `NOT EXISTS (SELECT 1 FROM mailboxes AS m WHERE m.key = messages.mailbox) AND NOT EXISTS (SELECT 1 FROM retired_logs AS l WHERE l.mailbox = messages.mailbox)`},
	{"stored_bytes", `NOT EXISTS (SELECT 1 FROM mailboxes AS m WHERE m.key = stored_bytes.mailbox) AND NOT EXISTS (SELECT 1 FROM retired_logs AS l WHERE l.mailbox = stored_bytes.mailbox)`},
	{"claims", `NOT EXISTS (SELECT 1 FROM nameplates AS n WHERE n.app = claims.app AND n.id = claims.nameplate)`},
	{"subscriptions", `NOT EXISTS (SELECT 1 FROM mailboxes AS m WHERE m.key = subscriptions.mailbox) OR NOT EXISTS (SELECT 1 FROM sessions AS s WHERE s.key = subscriptions.session)`},
	{"outboxes", `NOT EXISTS (SELECT 1 FROM sessions AS s WHERE s.key = outboxes.session)`},
	{"outbox_entries", `NOT EXISTS (SELECT 1 FROM sessions AS s WHERE s.key = outbox_entries.session)`},
	{"replies", `NOT EXISTS (SELECT 1 FROM sessions AS s WHERE s.key = replies.session)`},
}

// Flaws returns at most limit flaws of a kind.
func (t *tx) Flaws(kind rendezvous.FlawKind, usage rendezvous.UsageKeeping, limit int) (_ []rendezvous.Flaw, err error) {
	defer annotate(&err, "looking for flaws (%s)", kind)
	switch kind {
	case rendezvous.FlawFile:
		return t.damages(limit)
	case rendezvous.FlawOrphans:
		return t.orphans()
	case rendezvous.FlawUsage:
		many := usage.Records - usage.Records/8 // servers that prune at the same time delete a few more
		if count, err := t.CountStatistics(rendezvous.KindMailbox, many); err != nil || count >= many {
			return nil, err // any that is missing may have been deleted
		}
		kept := t.Now().Add(usage.Blur - usage.Retention)
		rows, err := queryAll[rendezvous.MailboxKey](t, usageMissing, toMillis(kept), toSpan(usage.Blur), limit)
		return mapSlice(rows, func(k rendezvous.MailboxKey) rendezvous.Flaw { return rendezvous.Flaw{Kind: kind, Mailbox: k} }), err
	default:
	}
	rows, err := queryAll[flawRow](t, flawQueries[kind], limit)
	return mapSlice(rows, func(r flawRow) rendezvous.Flaw {
		f := rendezvous.Flaw{Kind: kind}
		if r.App != nil {
			f.App = *r.App
		}
		if r.Mailbox != nil {
			f.Mailbox = *r.Mailbox
		}
		if r.Nameplate != nil {
			f.Nameplate = *r.Nameplate
		}
		if r.Session != nil {
			f.Session = session.Key(*r.Session)
		}
		return f
	}), err
}

// damages returns what SQLite says of a damaged file. PostgreSQL looks after its files itself.
func (t *tx) damages(limit int) (flaws []rendezvous.Flaw, err error) {
	if t.conn.dialect.concurrentWriters {
		return nil, nil
	}
	texts, err := queryAll[string](t, fmt.Sprintf(`PRAGMA integrity_check(%d)`, limit))
	if isSQLiteDamaged(err) { // so much that it gave up
		texts, err = append(texts, "it cannot be read to its end"), nil
	}
	for _, text := range texts {
		for line := range strings.SplitSeq(text, "\n") {
			if line != "ok" && !strings.HasPrefix(line, "***") { // the name of the database
				flaws = append(flaws, rendezvous.Flaw{Kind: rendezvous.FlawFile, Text: line})
			}
		}
	}
	return flaws, err
}

func (t *tx) orphans() (flaws []rendezvous.Flaw, err error) {
	for _, of := range orphans {
		rows, err := queryOne[int64](t, `SELECT COUNT(*) FROM `+of.table+` WHERE `+of.where)
		if err != nil {
			return nil, err
		}
		if rows > 0 {
			flaws = append(flaws, rendezvous.Flaw{Kind: rendezvous.FlawOrphans, Text: of.table, Rows: rows})
		}
	}
	return flaws, nil
}

// MendRows deletes rows that belong to nothing, or counts again what is counted wrongly.
func (t *tx) MendRows(f rendezvous.Flaw) (err error) {
	defer annotate(&err, "mending a flaw (%s)", f.Kind)
	switch f.Kind {
	case rendezvous.FlawOrphans:
		at := slices.IndexFunc(orphans, func(o struct{ table, where string }) bool { return o.table == f.Text })
		if at < 0 {
			return rendezvous.ErrNotFound
		}
		_, err = t.exec(`DELETE FROM ` + orphans[at].table + ` WHERE ` + orphans[at].where)
	case rendezvous.FlawSessionOutbox:
		_, err = t.exec(`DELETE FROM sessions WHERE key = ?`, digest(f.Session))
	case rendezvous.FlawMailboxBytes:
		_, err = t.exec(`UPDATE mailboxes SET bytes = COALESCE((SELECT SUM(LENGTH(body)) FROM messages WHERE mailbox = ?), 0) WHERE key = ?`, f.Mailbox, f.Mailbox)
	case rendezvous.FlawNameplateWaiting:
		_, err = t.exec(`
			UPDATE nameplates SET waiting = (
				SELECT CASE WHEN COUNT(*) = 1 AND COUNT(released) = 0 THEN 1 ELSE 0 END FROM claims WHERE app = ? AND nameplate = ?)
			WHERE app = ? AND id = ?`, f.App, f.Nameplate, f.App, f.Nameplate)
	case rendezvous.FlawOutboxCounters:
		_, err = t.exec(`
			UPDATE outboxes SET
				frames = (SELECT COUNT(payload) FROM outbox_entries WHERE session = ?),
				bytes = (SELECT COALESCE(SUM(LENGTH(payload)), 0) FROM outbox_entries WHERE session = ?),
				live = (SELECT CASE WHEN ended IS NULL THEN 1 ELSE 0 END FROM sessions WHERE key = ?)
			WHERE session = ?`, digest(f.Session), digest(f.Session), digest(f.Session), digest(f.Session))
	default:
		return fmt.Errorf("%s has no rows to mend", f.Kind)
	}
	return err
}
