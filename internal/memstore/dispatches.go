package memstore

import (
	"slices"
	"time"

	"restante/rendezvous"
)

// QueueDispatch stores a dispatch, or changes what is to be told.
func (t *tx) QueueDispatch(d rendezvous.Dispatch) error {
	if err := t.change(); err != nil {
		return err
	}
	t.changed = true
	if had, found := t.dispatches.get(d.Mailbox); found {
		last, reason, retired := d.Last, d.Reason, d.Retired
		d = had.Dispatch
		d.Last, d.Reason, d.Retired = last, reason, retired
	} else {
		d.Attempts, d.Sender, d.Abandoned = 0, "", false
	}
	t.dispatches.put(t.id, &dispatchRow{made{t.id}, d})
	return nil
}

func (t *tx) due(app rendezvous.AppID) (list []rendezvous.Dispatch) {
	for _, r := range t.dispatches.rows {
		if r.App == app && !r.Abandoned && !r.Due.After(t.now) {
			list = append(list, r.Dispatch)
		}
	}
	slices.SortStableFunc(list, func(a, b rendezvous.Dispatch) int { return a.Due.Compare(b.Due) })
	return list
}

// DispatchesDue reports whether there are dispatches to try.
func (t *tx) DispatchesDue(app rendezvous.AppID) (bool, error) { return len(t.due(app)) > 0, nil }

// ClaimDispatches gives dispatches that are due to a sender.
func (t *tx) ClaimDispatches(app rendezvous.AppID, sender string, until time.Time, limit int) (keys []rendezvous.MailboxKey, _ error) {
	list := t.due(app)
	for _, d := range list[:min(len(list), limit)] {
		d.Sender, d.Due = sender, until
		if err := t.UpdateDispatch(d); err != nil {
			return nil, err
		}
		keys = append(keys, d.Mailbox)
	}
	return keys, nil
}

// Dispatch loads a dispatch.
func (t *tx) Dispatch(k rendezvous.MailboxKey) (rendezvous.Dispatch, error) {
	r, found := t.dispatches.get(k)
	if !found {
		return rendezvous.Dispatch{}, rendezvous.ErrNotFound
	}
	return r.Dispatch, nil
}

// UpdateDispatch stores how far a dispatch is.
func (t *tx) UpdateDispatch(d rendezvous.Dispatch) error {
	if err := t.change(); err != nil {
		return err
	}
	had, found := t.dispatches.get(d.Mailbox)
	if !found {
		return rendezvous.ErrNotFound
	}
	t.changed = true
	d.Last, d.Reason, d.Retired = had.Last, had.Reason, had.Retired
	t.dispatches.put(t.id, &dispatchRow{made{t.id}, d})
	return nil
}

// DeleteDispatch deletes a dispatch, which may be complete.
func (t *tx) DeleteDispatch(k rendezvous.MailboxKey) error {
	if err := t.change(); err != nil {
		return err
	}
	t.changed = t.dispatches.remove(t.id, k) || t.changed
	return nil
}

// DeleteDispatches deletes old dispatches.
func (t *tx) DeleteDispatches(before time.Time, limit int) (n int, _ error) {
	if err := t.change(); err != nil {
		return 0, err
	}
	for _, r := range slices.Clone(t.dispatches.rows) {
		if !r.Since.After(before) && n < limit {
			t.changed = t.dispatches.remove(t.id, r.Mailbox) || t.changed
			n++
		}
	}
	return n, nil
}

// ReviveDispatches makes dispatches due that are abandoned, or wait after a failure.
func (t *tx) ReviveDispatches(now time.Time) error {
	if err := t.change(); err != nil {
		return err
	}
	for _, r := range slices.Clone(t.dispatches.rows) {
		if d := r.Dispatch; d.Abandoned || d.Attempts > 0 && d.Sender == "" {
			t.changed = true
			d.Abandoned, d.Attempts, d.Due, d.Sender = false, 0, now, ""
			t.dispatches.put(t.id, &dispatchRow{made{t.id}, d})
		}
	}
	return nil
}

// DispatchCounts counts the dispatches.
func (t *tx) DispatchCounts() (c rendezvous.DispatchCounts, _ error) {
	for _, r := range t.dispatches.rows {
		c.Pending++
		if r.Attempts > 0 {
			c.Failing++
		}
		if r.Abandoned {
			c.Abandoned++
		}
		if c.Oldest.IsZero() || r.Since.Before(c.Oldest) {
			c.Oldest = r.Since
		}
	}
	return c, nil
}
