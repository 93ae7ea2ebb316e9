package memstore

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"restante/rendezvous"
)

func (t *tx) editNameplate(k nameplateKey) (*nameplateRow, error) {
	if err := t.change(); err != nil {
		return nil, err
	}
	r, found := t.nameplates.get(k)
	if !found {
		return nil, rendezvous.ErrNotFound
	}
	t.changed = true
	edited := *r
	edited.by = t.id
	t.nameplates.put(t.id, &edited)
	return &edited, nil
}

func (r *nameplateRow) value() rendezvous.Nameplate {
	n := r.Nameplate
	n.Claims = slices.Clone(n.Claims)
	return n
}

// Nameplate loads a nameplate.
func (t *tx) Nameplate(app rendezvous.AppID, id rendezvous.NameplateID) (rendezvous.Nameplate, error) {
	r, found := t.nameplates.get(nameplateKey{app, id})
	if !found {
		return rendezvous.Nameplate{}, rendezvous.ErrNotFound
	}
	return r.value(), nil
}

// CreateNameplate stores a new nameplate.
func (t *tx) CreateNameplate(n rendezvous.Nameplate) error {
	if err := t.change(); err != nil {
		return err
	}
	if _, found := t.nameplates.get(nameplateKey{n.App, n.ID}); found {
		return t.fail(errExists)
	}
	if _, found := t.mailboxes.get(n.Mailbox); !found {
		return t.fail(errNoSuch)
	}
	t.changed = true
	r := &nameplateRow{made{t.id}, n}
	r.Claims = nil
	r.putClaims(n.Claims)
	t.note(Change{Kind: NameplateMade, Nameplate: n.ID})
	t.nameplates.put(t.id, r)
	return nil
}

// putClaims adds and changes claims; it removes none. They are in the order in which they were made.
func (r *nameplateRow) putClaims(claims []rendezvous.Claim) {
	r.Claims = slices.Clone(r.Claims)
	for _, c := range claims {
		if i := slices.IndexFunc(r.Claims, func(p rendezvous.Claim) bool { return p.Side == c.Side }); i >= 0 {
			c.Address = r.Claims[i].Address
			r.Claims[i] = c
			continue
		}
		r.Claims = append(r.Claims, c)
	}
	slices.SortStableFunc(r.Claims, func(a, b rendezvous.Claim) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(string(a.Side), string(b.Side)))
	})
}

// UpdateNameplate stores a changed nameplate.
func (t *tx) UpdateNameplate(n rendezvous.Nameplate) error {
	r, err := t.editNameplate(nameplateKey{n.App, n.ID})
	if err != nil {
		return err
	}
	r.Mailbox, r.StaleAt, r.Crowded = n.Mailbox, n.StaleAt, n.Crowded
	r.putClaims(n.Claims)
	t.note(Change{Kind: NameplateStored, Nameplate: n.ID, Sides: len(r.Claims)})
	return nil
}

// holds reports whether a side has a claim that stands.
func (r *nameplateRow) holds(side rendezvous.Side) bool {
	return slices.ContainsFunc(r.Claims, func(c rendezvous.Claim) bool { return c.Side == side && c.Released == nil })
}

// NameplatesOf returns the nameplates that a side holds.
func (t *tx) NameplatesOf(app rendezvous.AppID, side rendezvous.Side) (list []rendezvous.Nameplate, _ error) {
	for _, r := range t.nameplates.rows {
		if r.App == app && r.holds(side) {
			list = append(list, r.value())
		}
	}
	return list, nil
}

// CountNameplatesOf counts those nameplates.
func (t *tx) CountNameplatesOf(app rendezvous.AppID, side rendezvous.Side) (n int, _ error) {
	for _, r := range t.nameplates.rows {
		if r.App == app && r.holds(side) {
			n++
		}
	}
	return n, nil
}

// CountClaimsFrom counts the claims from an address that stand.
func (t *tx) CountClaimsFrom(address string, atMost int) (n int, _ error) {
	for _, r := range t.nameplates.rows {
		for _, c := range r.Claims {
			if c.Released == nil && standsFor(address, c.Address) {
				n++
			}
		}
	}
	return min(n, atMost), nil
}

// NameplatesTo returns the nameplates that point to a mailbox.
func (t *tx) NameplatesTo(k rendezvous.MailboxKey) (list []rendezvous.Nameplate, _ error) {
	for _, r := range t.nameplates.rows {
		if r.Mailbox == k {
			list = append(list, r.value())
		}
	}
	return list, nil
}

// WaitingNameplates returns nameplates that wait for a partner.
func (t *tx) WaitingNameplates(app rendezvous.AppID, limit int) (ids []rendezvous.NameplateID, _ error) {
	for _, r := range t.nameplates.rows {
		if r.App == app && r.Waiting() && len(ids) < limit {
			ids = append(ids, r.ID)
		}
	}
	return ids, nil
}

// RestNumber keeps a number from being given out.
func (t *tx) RestNumber(app rendezvous.AppID, number int, until time.Time) error {
	if err := t.change(); err != nil {
		return err
	}
	t.changed = true
	t.rested.put(t.id, &restedRow{made{t.id}, restedKey{app, number}, until})
	return nil
}

// DeleteRested forgets numbers whose rest is over.
func (t *tx) DeleteRested(now time.Time, limit int) (int, error) {
	if err := t.change(); err != nil {
		return 0, err
	}
	var over []*restedRow
	for _, r := range t.rested.rows {
		if !r.until.After(now) {
			over = append(over, r)
		}
	}
	slices.SortStableFunc(over, func(a, b *restedRow) int { return a.until.Compare(b.until) })
	over = over[:min(len(over), limit)]
	for _, r := range over {
		t.changed = true
		t.rested.remove(t.id, r.restedKey)
	}
	return len(over), nil
}

// taken lists the numbers of an app that are nameplates, or rest, and that match.
func (t *tx) taken(app rendezvous.AppID, match func(int) bool) (numbers []int) {
	for _, r := range t.nameplates.rows {
		if number, is := r.ID.Number(); is && r.App == app && match(number) {
			numbers = append(numbers, number)
		}
	}
	for _, r := range t.rested.rows {
		if r.app == app && r.until.After(t.now) && match(r.number) {
			numbers = append(numbers, r.number)
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

// TakenNumbers returns the numbers from low to high that are taken.
func (t *tx) TakenNumbers(app rendezvous.AppID, low, high int) ([]int, error) {
	return t.taken(app, func(n int) bool { return low <= n && n <= high }), nil
}

// TakenOf returns those of the numbers that are taken.
func (t *tx) TakenOf(app rendezvous.AppID, numbers []int) ([]int, error) {
	return t.taken(app, func(n int) bool { return slices.Contains(numbers, n) }), nil
}

// RetireNameplate removes a nameplate.
func (t *tx) RetireNameplate(n rendezvous.Nameplate, u rendezvous.Usage) error {
	if err := t.change(); err != nil {
		return err
	}
	if !t.nameplates.remove(t.id, nameplateKey{n.App, n.ID}) {
		return rendezvous.ErrNotFound
	}
	t.changed = true
	t.note(Change{Kind: NameplateRetired, Nameplate: n.ID})
	t.records = append(t.records, record{Usage: u, kind: rendezvous.KindNameplate})
	return nil
}

// StaleNameplates lists nameplates that are due for pruning.
func (t *tx) StaleNameplates(now time.Time, after rendezvous.NameplateCursor, limit int) (due []rendezvous.NameplateCursor, _ error) {
	order := func(a, b rendezvous.NameplateCursor) int {
		return cmp.Or(a.StaleAt.Compare(b.StaleAt), cmp.Compare(a.App, b.App), cmp.Compare(a.ID, b.ID))
	}
	for _, r := range t.nameplates.rows {
		if c := (rendezvous.NameplateCursor{StaleAt: r.StaleAt, App: r.App, ID: r.ID}); !c.StaleAt.After(now) && order(c, after) > 0 {
			due = append(due, c)
		}
	}
	slices.SortFunc(due, order)
	return due[:min(len(due), limit)], nil
}
