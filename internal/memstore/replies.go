package memstore

import (
	"slices"
	"time"

	"restante/rendezvous"
)

// ReserveReply reserves a place for a reply.
func (t *tx) ReserveReply(id, fingerprint [32]byte, until time.Time) (before rendezvous.AddressBytes, reserved bool, err error) {
	if err := t.change(); err != nil {
		return before, false, err
	}
	r := &replyRow{made: made{t.id}, id: id, until: until}
	if had, found := t.replies.get(id); found {
		if had.until.After(t.now) {
			return before, false, nil
		}
		r.counts = had.counts
	}
	t.changed = true
	r.Fingerprint = fingerprint
	t.replies.put(t.id, r)
	return r.counts, true, nil
}

// RecordReply stores the outcome of a reply.
func (t *tx) RecordReply(id [32]byte, outcome []byte, counts rendezvous.AddressBytes) error {
	if err := t.change(); err != nil {
		return err
	}
	if had, found := t.replies.get(id); found {
		t.changed = true
		r := *had
		r.made, r.Outcome, r.counts = made{t.id}, outcome, counts
		t.replies.put(t.id, &r)
	}
	return nil
}

// KeyedReply loads a reply.
func (t *tx) KeyedReply(id [32]byte) (rendezvous.Reply, error) {
	r, found := t.replies.get(id)
	if !found {
		return rendezvous.Reply{}, rendezvous.ErrNotFound
	}
	return r.Reply, nil
}

// DeleteReplies forgets replies whose time is over.
func (t *tx) DeleteReplies(now time.Time, limit int) (counts []rendezvous.AddressBytes, _ error) {
	if err := t.change(); err != nil {
		return nil, err
	}
	var over []*replyRow
	for _, r := range t.replies.rows {
		if !r.until.After(now) {
			over = append(over, r)
		}
	}
	slices.SortStableFunc(over, func(a, b *replyRow) int { return a.until.Compare(b.until) })
	for _, r := range over[:min(len(over), limit)] {
		t.changed = true
		t.replies.remove(t.id, r.id)
		counts = append(counts, r.counts)
	}
	return counts, nil
}
