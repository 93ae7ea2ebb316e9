package repo

import (
	"time"

	"restante/rendezvous"
)

// dispatchRow is what a webhook is still to be told of a mailbox.
type dispatchRow struct {
	Mailbox   rendezvous.MailboxKey
	App       rendezvous.AppID
	ID        rendezvous.MailboxID
	Sent      rendezvous.Position
	Last      rendezvous.Position
	Reason    *rendezvous.RetiredReason
	Retired   *millis
	Since     millis
	Attempts  int
	Due       millis
	Sender    string
	Abandoned flag
}

const selectDispatch = `
	SELECT d.mailbox, d.app, d.id, d.sent, d.last, d.reason, d.retired, d.since, d.attempts, d.due, d.sender, d.abandoned
	FROM dispatches AS d`

func (r dispatchRow) dispatch() rendezvous.Dispatch {
	d := rendezvous.Dispatch{
		Mailbox: r.Mailbox, App: r.App, ID: r.ID, Sent: r.Sent, Last: r.Last, Since: r.Since.time(),
		Attempts: r.Attempts, Due: r.Due.time(), Sender: r.Sender, Abandoned: bool(r.Abandoned),
	}
	if r.Reason != nil && r.Retired != nil {
		d.Reason, d.Retired = *r.Reason, r.Retired.time()
	}
	return d
}

// retirement returns the columns that are NULL as long as the mailbox is not retired.
func retirement(d rendezvous.Dispatch) (reason *rendezvous.RetiredReason, retired *millis) {
	if d.Reason == "" {
		return nil, nil
	}
	return &d.Reason, millisOrNil(&d.Retired)
}

// QueueDispatch stores a dispatch. If there is one for the mailbox, only what is to be told changes.
func (t *tx) QueueDispatch(d rendezvous.Dispatch) (err error) {
	defer annotate(&err, "queueing the dispatch of mailbox %d", d.Mailbox)
	reason, retired := retirement(d)
	return t.change(`
		INSERT INTO dispatches (mailbox, app, id, sent, last, reason, retired, since, attempts, due, sender, abandoned)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, '', 0)
		ON CONFLICT (mailbox) DO UPDATE SET last = excluded.last, reason = excluded.reason, retired = excluded.retired`,
		d.Mailbox, d.App, d.ID, d.Sent, d.Last, reason, retired, toMillis(d.Since), toMillis(d.Due))
}

// dueDispatches are the dispatches of an app that can be tried at some time.
const dueDispatches = ` WHERE d.app = ? AND d.abandoned = 0 AND d.due <= ?`

// DispatchesDue reports whether there are dispatches to try.
func (t *tx) DispatchesDue(app rendezvous.AppID) (_ bool, err error) {
	defer annotate(&err, "looking for dispatches")
	found, err := queryAll[int](t, `SELECT 1 FROM dispatches AS d`+dueDispatches+` LIMIT 1`, app, toMillis(t.Now()))
	return len(found) > 0, err
}

// ClaimDispatches gives dispatches that are due to a sender. It reads nothing of them but their keys.
func (t *tx) ClaimDispatches(app rendezvous.AppID, sender string, until time.Time, limit int) (_ []rendezvous.MailboxKey, err error) {
	defer annotate(&err, "claiming dispatches")
	keys, err := queryAll[rendezvous.MailboxKey](t, `SELECT d.mailbox FROM dispatches AS d`+dueDispatches+` ORDER BY d.due LIMIT ?`+
		t.forUpdateSkipLocked("d"), app, toMillis(t.Now()), limit)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if err := t.changeRow(`UPDATE dispatches SET sender = ?, due = ? WHERE mailbox = ?`, sender, toMillis(until), k); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// Dispatch loads a dispatch, for this transaction alone.
func (t *tx) Dispatch(k rendezvous.MailboxKey) (_ rendezvous.Dispatch, err error) {
	defer annotate(&err, "loading the dispatch of mailbox %d", k)
	row, err := queryOne[dispatchRow](t, selectDispatch+` WHERE d.mailbox = ?`+t.forUpdate("d"), k)
	return row.dispatch(), err
}

// UpdateDispatch stores how far a dispatch is.
func (t *tx) UpdateDispatch(d rendezvous.Dispatch) (err error) {
	defer annotate(&err, "storing the dispatch of mailbox %d", d.Mailbox)
	return t.changeRow(`
		UPDATE dispatches SET sent = ?, since = ?, attempts = ?, due = ?, sender = ?, abandoned = ? WHERE mailbox = ?`,
		d.Sent, toMillis(d.Since), d.Attempts, toMillis(d.Due), d.Sender, flag(d.Abandoned), d.Mailbox)
}

// DeleteDispatch deletes a dispatch that is complete.
func (t *tx) DeleteDispatch(k rendezvous.MailboxKey) (err error) {
	defer annotate(&err, "deleting the dispatch of mailbox %d", k)
	return t.change(`DELETE FROM dispatches WHERE mailbox = ?`, k)
}

// DeleteDispatches deletes dispatches of which nothing was told since a time.
func (t *tx) DeleteDispatches(before time.Time, limit int) (_ int, err error) {
	defer annotate(&err, "deleting old dispatches")
	n, err := t.exec(`
		DELETE FROM dispatches WHERE mailbox IN (SELECT mailbox FROM dispatches WHERE since <= ? ORDER BY since LIMIT ?)`,
		toMillis(before), limit)
	return int(n), err
}

// ReviveDispatches makes dispatches due that are abandoned, or wait after a failure.
func (t *tx) ReviveDispatches(now time.Time) (err error) {
	defer annotate(&err, "trying abandoned dispatches again")
	return t.change(`UPDATE dispatches SET abandoned = 0, attempts = 0, due = ?, sender = '' WHERE abandoned = 1 OR (attempts > 0 AND sender = '')`, toMillis(now))
}

// DispatchCounts counts the dispatches.
func (t *tx) DispatchCounts() (_ rendezvous.DispatchCounts, err error) {
	defer annotate(&err, "counting dispatches")
	type row struct {
		Pending, Failing, Abandoned int64
		Oldest                      *millis
	}
	r, err := queryOne[row](t, `
		SELECT COUNT(*) AS pending, COUNT(CASE WHEN attempts > 0 THEN 1 END) AS failing,
		       COUNT(CASE WHEN abandoned = 1 THEN 1 END) AS abandoned, MIN(since) AS oldest
		FROM dispatches`)
	counts := rendezvous.DispatchCounts{Pending: r.Pending, Failing: r.Failing, Abandoned: r.Abandoned}
	if oldest := timeOrNil(r.Oldest); oldest != nil {
		counts.Oldest = *oldest
	}
	return counts, err
}
