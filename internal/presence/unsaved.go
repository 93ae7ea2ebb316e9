package presence

import (
	"time"

	"restante/session"
)

// Sighting is a sign of life to write, with the session's grace.
type Sighting struct {
	session.Sighting
	Grace time.Duration
}

// TakeAcks returns the acknowledgements that have not been written, and counts them as written.
func (t *Table) TakeAcks() []session.Ack {
	t.mu.Lock()
	defer t.mu.Unlock()
	var acks []session.Ack
	for k := range t.unsaved {
		c := t.clients[k]
		acks = append(acks, session.Ack{Session: k, Epoch: c.epoch, UpTo: c.acked})
		delete(t.unsaved, k)
	}
	return acks
}

// RetakeAcks has acknowledgements that could not be written taken again, unless a later one is known since.
func (t *Table) RetakeAcks(acks []session.Ack) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range acks {
		if c := t.clients[a.Session]; c != nil && c.epoch == a.Epoch && c.acked == a.UpTo {
			t.unsaved[a.Session] = true
		}
	}
}

// TakeReturned returns the signs of life of the clients that came back after a long silence since
// the last call.
func (t *Table) TakeReturned() []Sighting {
	t.mu.Lock()
	defer t.mu.Unlock()
	sightings := make([]Sighting, 0, len(t.returned))
	for _, k := range t.returned {
		if c := t.clients[k]; c != nil && c.seen.After(c.stored) {
			sightings = append(sightings, Sighting{session.Sighting{Key: k, Seen: c.seen}, c.grace})
		}
	}
	t.returned = nil
	return sightings
}

// Newer returns the last sign of life of a client if it came so much later than the stored one. That a poll is held is
// none, because the moment at which it began says enough.
func (t *Table) Newer(k session.Key, stored time.Time, by time.Duration) (Sighting, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.clients[k]
	if c == nil || c.seen.Sub(stored) < by {
		return Sighting{}, false
	}
	return Sighting{session.Sighting{Key: k, Seen: c.seen}, c.grace}, true
}

// TakeSightings returns the signs of life that are newer than the stored ones, where the stored one
// is at least minAge old. It also forgets the clients whose sessions have expired.
func (t *Table) TakeSightings(now time.Time, minAge, silence time.Duration) []Sighting {
	var sightings []Sighting
	t.walk(func(k session.Key, c *client) {
		if c.polls > 0 {
			c.seen = now
		}
		gone := c.seen.Add(silence).Add(c.grace).Add(2 * MaxLag)
		switch {
		case c.seen.IsZero(): // a handshake was decided that was not accepted, unless it still is under way
			if c.polls == 0 && c.commands == 0 && !t.unsaved[k] && c.latest == c.swept {
				delete(t.clients, k)
			}
			c.swept = c.latest
		case c.seen.After(c.stored) && now.Sub(c.stored) >= minAge:
			sightings = append(sightings, Sighting{session.Sighting{Key: k, Seen: c.seen}, c.grace})
		case c.polls == 0 && c.commands == 0 && now.After(gone) && !t.unsaved[k]:
			delete(t.clients, k)
		}
	})
	return sightings
}
