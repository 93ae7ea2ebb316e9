package presence

import "restante/session"

// A Decision numbers the handshakes of a client that relied on what it had acknowledged to this process.
type Decision int64

// Decide returns what [Table.Acked] does, for a handshake that relies on it. From then on nothing more is acknowledged
// in this epoch in memory alone, because the handshake may have begun another one already: see [Table.Contested].
func (t *Table) Decide(k session.Key, e session.Epoch, stored session.Seq) session.Seq {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.client(k)
	c.decided = max(c.decided, e)
	c.latest++
	if c.epoch == e {
		return max(stored, c.acked)
	}
	return stored
}

// Refuse takes back the latest [Table.Decide] of a client: its handshake is refused, so this epoch goes on. Who refuses
// must have locked the session, so that no other handshake decides.
func (t *Table) Refuse(k session.Key, e session.Epoch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.clients[k]; c != nil && c.decided == e && e > 0 { // else it was refused without a session to decide on
		c.decided = e - 1 // that of a handshake which is about to be committed together with this one
	}
}

// Contested reports whether a handshake that relied on what was acknowledged in this epoch may be under way. Then only
// the storage can say which came first, the handshake or another acknowledgement: [Table.Settle] records what it said.
func (t *Table) Contested(k session.Key, e session.Epoch) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.clients[k]
	return c != nil && e <= c.decided
}

// LatestDecision returns the latest [Table.Decide] of a client. Who asks must have locked the session, so that no
// other handshake decides.
func (t *Table) LatestDecision(k session.Key) Decision {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.clients[k]; c != nil {
		return c.latest
	}
	return 0
}

// Settle records an acknowledgement that is stored. It shows that no handshake up to the decision ended the epoch. It
// returns false, as [Table.Acknowledge] does, if more is known already.
func (t *Table) Settle(a session.Ack, upTo Decision) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.client(a.Session)
	if c.knowsBetter(a.Epoch, a.UpTo) {
		return false
	}
	c.epoch, c.acked = a.Epoch, a.UpTo
	delete(t.unsaved, a.Session)
	if c.latest == upTo {
		c.decided = 0
	}
	return true
}
