package repo

import (
	"time"

	"github.com/jmoiron/sqlx"

	"restante/rendezvous"
)

// nameplateRow is a nameplate without its claims.
type nameplateRow struct {
	App     rendezvous.AppID
	ID      rendezvous.NameplateID
	Mailbox rendezvous.MailboxKey
	Created millis
	StaleAt millis `db:"stale_at"`
	Crowded flag
}

// selectNameplate selects nameplates; callers add a WHERE clause.
const selectNameplate = `
	SELECT n.app, n.id, n.mailbox, n.created, n.stale_at, n.crowded
	FROM nameplates AS n`

// Nameplate loads a nameplate with its claims, or returns ErrNotFound.
func (t *tx) Nameplate(app rendezvous.AppID, id rendezvous.NameplateID) (_ rendezvous.Nameplate, err error) {
	defer annotate(&err, "loading a nameplate")
	row, err := t.nameplateRow(app, id)
	if err != nil {
		return rendezvous.Nameplate{}, err
	}
	return t.withClaims(row)
}

// nameplateRow loads a nameplate without its claims. If locks are needed, it locks the nameplate before it
// reads it: also one that does not exist, so that no other transaction creates it meanwhile.
func (t *tx) nameplateRow(app rendezvous.AppID, id rendezvous.NameplateID) (nameplateRow, error) {
	if t.needsLocks() {
		return t.lockedNameplateRow(app, id)
	}
	return queryOne[nameplateRow](t, selectNameplate+` WHERE n.app = ? AND n.id = ?`, app, id)
}

// withClaims adds a nameplate's claims, oldest first.
func (t *tx) withClaims(row nameplateRow) (rendezvous.Nameplate, error) {
	n := rendezvous.Nameplate{
		App: row.App, ID: row.ID, Mailbox: row.Mailbox, Created: row.Created.time(),
		StaleAt: row.StaleAt.time(), Crowded: bool(row.Crowded),
	}
	type claimRow struct {
		Side     rendezvous.Side
		Address  string
		Since    millis
		Released *millis
	}
	err := queryEach(t, func(c claimRow) bool {
		n.Claims = append(n.Claims, rendezvous.Claim{Side: c.Side, Address: c.Address, Since: c.Since.time(), Released: timeOrNil(c.Released)})
		return true
	}, `
		SELECT side, address, since, released FROM claims
		WHERE app = ? AND nameplate = ?
		ORDER BY since, side`, row.App, row.ID)
	return n, err
}

// CreateNameplate stores a new nameplate with its claims.
func (t *tx) CreateNameplate(n rendezvous.Nameplate) (err error) {
	defer annotate(&err, "creating a nameplate")
	var number *int
	if i, ok := n.ID.Number(); ok {
		number = &i
	}
	if err = t.change(`
		INSERT INTO nameplates (app, id, number, mailbox, created, stale_at, crowded, waiting)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		n.App, n.ID, number, n.Mailbox, toMillis(n.Created), toMillis(n.StaleAt), flag(n.Crowded), flag(n.Waiting())); err != nil {
		return err
	}
	return t.putClaims(n)
}

// UpdateNameplate stores a changed nameplate with its claims.
func (t *tx) UpdateNameplate(n rendezvous.Nameplate) (err error) {
	defer annotate(&err, "updating a nameplate")
	if err = t.changeRow(`
		UPDATE nameplates SET mailbox = ?, stale_at = ?, crowded = ?, waiting = ?
		WHERE app = ? AND id = ?`,
		n.Mailbox, toMillis(n.StaleAt), flag(n.Crowded), flag(n.Waiting()), n.App, n.ID); err != nil {
		return err
	}
	return t.putClaims(n)
}

// putClaims adds and changes claims; it removes none.
func (t *tx) putClaims(n rendezvous.Nameplate) error {
	for _, c := range n.Claims {
		if err := t.change(`
			INSERT INTO claims (app, nameplate, side, address, since, released)
			VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (app, nameplate, side) DO UPDATE
			SET since = excluded.since, released = excluded.released`,
			n.App, n.ID, c.Side, c.Address, toMillis(c.Since), millisOrNil(c.Released)); err != nil {
			return err
		}
	}
	return nil
}

// NameplatesOf returns the nameplates that a side holds; its quota bounds their number.
func (t *tx) NameplatesOf(app rendezvous.AppID, side rendezvous.Side) (_ []rendezvous.Nameplate, err error) {
	defer annotate(&err, "listing a side's nameplates")
	rows, err := listLocked(t, app, side, nameplateRow.mailboxKey, selectNameplate+`
		-- Not a join: SQLite would start with all the nameplates of the app.
		WHERE n.app = ? AND n.id IN (SELECT nameplate FROM claims WHERE app = ? AND side = ? AND released IS NULL)
		ORDER BY n.id`, app, app, side)
	if err != nil {
		return nil, err
	}
	return t.allWithClaims(rows)
}

// CountNameplatesOf returns how many nameplates a side holds.
func (t *tx) CountNameplatesOf(app rendezvous.AppID, side rendezvous.Side) (_ int, err error) {
	defer annotate(&err, "counting a side's nameplates")
	return queryOne[int](t, `SELECT COUNT(*) FROM claims WHERE app = ? AND side = ? AND released IS NULL`, app, side)
}

// CountClaimsFrom counts the claims from an address, or from the network that it stands for, up to atMost.
func (t *tx) CountClaimsFrom(address string, atMost int) (_ int, err error) {
	defer annotate(&err, "counting the claims of an address")
	low, high := addressRange(address)
	return queryOne[int](t, `
		SELECT COUNT(*)
		FROM (SELECT 1 FROM claims WHERE address >= ? AND address < ? AND released IS NULL LIMIT ?) AS few`,
		low, high, atMost)
}

// addressRange returns the first id that an address stands for, and the first one after them: it stands for
// itself, or for a network whose addresses begin with it and a hyphen.
func addressRange(address string) (low, high string) { return address, address + "." }

// RestNumber keeps a number from being given out.
func (t *tx) RestNumber(app rendezvous.AppID, number int, until time.Time) (err error) {
	defer annotate(&err, "resting a number")
	return t.change(`
		INSERT INTO resting (app, number, until) VALUES (?, ?, ?)
		ON CONFLICT (app, number) DO UPDATE SET until = excluded.until`, app, number, toMillis(until))
}

// DeleteRested forgets numbers whose rest is over.
func (t *tx) DeleteRested(now time.Time, limit int) (_ int, err error) {
	defer annotate(&err, "forgetting the rested numbers")
	n, err := t.exec(`
		DELETE FROM resting
		WHERE (app, number) IN (SELECT app, number FROM resting WHERE until <= ? ORDER BY until LIMIT ?)`, toMillis(now), limit)
	return int(n), err
}

// NameplatesTo returns the nameplates that point to a mailbox.
func (t *tx) NameplatesTo(k rendezvous.MailboxKey) (_ []rendezvous.Nameplate, err error) {
	defer annotate(&err, "listing the nameplates of mailbox %d", k)
	rows, err := queryAll[nameplateRow](t, selectNameplate+`
		WHERE n.mailbox = ?
		ORDER BY n.app, n.id`, k)
	if err != nil {
		return nil, err
	}
	return t.allWithClaims(rows)
}

// allWithClaims adds the claims of several nameplates.
func (t *tx) allWithClaims(rows []nameplateRow) (_ []rendezvous.Nameplate, err error) {
	list := make([]rendezvous.Nameplate, len(rows))
	for i := 0; i < len(rows) && err == nil; i++ {
		list[i], err = t.withClaims(rows[i])
	}
	return list, err
}

func (r nameplateRow) mailboxKey() rendezvous.MailboxKey { return r.Mailbox }

// WaitingNameplates returns up to limit nameplates that wait for a partner.
func (t *tx) WaitingNameplates(app rendezvous.AppID, limit int) (_ []rendezvous.NameplateID, err error) {
	defer annotate(&err, "listing waiting nameplates")
	return queryAll[rendezvous.NameplateID](t, `
		SELECT id FROM nameplates
		WHERE app = ? AND waiting = 1
		ORDER BY id
		LIMIT ?`, app, limit)
}

// TakenNumbers returns the numbers from low to high that are nameplates.
func (t *tx) TakenNumbers(app rendezvous.AppID, low, high int) (_ []int, err error) {
	defer annotate(&err, "listing the nameplates from %d to %d", low, high)
	return queryAll[int](t, `
		SELECT number FROM nameplates
		WHERE app = ? AND number BETWEEN ? AND ?
		UNION
		SELECT number FROM resting
		WHERE app = ? AND number BETWEEN ? AND ? AND until > ?
		ORDER BY number`, app, low, high, app, low, high, toMillis(t.Now()))
}

// TakenOf returns those of the numbers that are nameplates.
func (t *tx) TakenOf(app rendezvous.AppID, numbers []int) (_ []int, err error) {
	defer annotate(&err, "checking whether %d nameplates are taken", len(numbers))
	query, args, err := sqlx.In(`
		SELECT number FROM nameplates WHERE app = ? AND number IN (?)
		UNION
		SELECT number FROM resting WHERE app = ? AND number IN (?) AND until > ?`,
		app, numbers, app, numbers, toMillis(t.Now()))
	if err != nil {
		return nil, err
	}
	return queryAll[int](t, query, args...)
}

// RetireNameplate deletes a nameplate with its claims and records its usage.
func (t *tx) RetireNameplate(n rendezvous.Nameplate, u rendezvous.Usage) (err error) {
	defer annotate(&err, "retiring a nameplate")
	if err = t.changeRow(`DELETE FROM nameplates WHERE app = ? AND id = ?`, n.App, n.ID); err != nil {
		return err
	}
	return t.recordNameplate(u)
}

// StaleNameplates returns up to limit nameplates that are due for pruning, after a cursor.
func (t *tx) StaleNameplates(now time.Time, after rendezvous.NameplateCursor, limit int) (_ []rendezvous.NameplateCursor, err error) {
	defer annotate(&err, "listing stale nameplates")
	type row struct {
		StaleAt millis `db:"stale_at"`
		App     rendezvous.AppID
		ID      rendezvous.NameplateID
	}
	rows, err := queryAll[row](t, `
		SELECT stale_at, app, id FROM nameplates
		WHERE stale_at <= ? AND (stale_at, app, id) > (?, ?, ?)
		ORDER BY stale_at, app, id
		LIMIT ?`, toMillis(now), toMillis(after.StaleAt), after.App, after.ID, limit)
	return mapSlice(rows, func(r row) rendezvous.NameplateCursor {
		return rendezvous.NameplateCursor{StaleAt: r.StaleAt.time(), App: r.App, ID: r.ID}
	}), err
}
