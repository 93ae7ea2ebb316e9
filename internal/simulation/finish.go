package simulation

import (
	"time"

	"restante/rendezvous"
)

// finish lets every client get what is due to it, and then lets everything become stale.
func (h *history) finish() {
	h.away, h.faulty, h.late = false, false, nil
	h.tellAll(0)
	h.advance(10 * time.Second)
	for _, c := range h.clients {
		c.catchUp()
	}
	for _, c := range h.clients {
		c.hangUp()
	}
	h.slow = true
	for range 4 {
		h.advance(ages)
	}
	if h.violation != "" {
		return
	}
	err := h.store.View(background, func(tx rendezvous.Tx) error {
		counts, err := tx.Counts()
		if err != nil {
			return err
		}
		left, err := tx.CountTombstones(9)
		if err != nil {
			return err
		}
		stored, err := tx.StoredBytes()
		if err != nil {
			return err
		}
		if counts != (rendezvous.Counts{}) || left > 0 || len(stored) > 0 {
			h.fail("in the end there are %+v, %d tombstones and %v", counts, left, stored)
		}
		totals, err := tx.UsageTotals()
		for _, kind := range []rendezvous.Kind{rendezvous.KindNameplate, rendezvous.KindMailbox} {
			var records int64
			for _, result := range rendezvous.Results {
				records += totals.Of(kind, result)
			}
			if made := h.model.made[rendezvous.UsageTotal{Kind: kind}]; records != made {
				h.fail("%d of kind %s were made, and %d usage records are stored", made, kind, records)
			}
		}
		return err
	})
	if err != nil {
		h.fail("the store cannot be read in the end: %v", err)
	}
	if len(h.model.boxes) > 0 || len(h.model.plates) > 0 {
		h.fail("in the end %d mailboxes and %d nameplates should be left", len(h.model.boxes), len(h.model.plates))
	}
}

// catchUp is a client that comes back, on a network without faults, and gets everything.
func (c *client) catchUp() {
	h := c.h
	for range 200 {
		if h.violation != "" || c.is == nil || c.is.ended || c.tab {
			return
		}
		c.at = h.servers[0]
		switch {
		case !c.shaken:
			c.resume()
		case c.answered < len(c.cmds):
			c.send(c.answered)
		case int64(c.next) < c.is.numbers && c.poll == nil:
			c.receive()
		case int64(c.next) < c.is.numbers:
			h.advance(silence)
		default:
			return
		}
		h.serve()
	}
	if h.violation == "" {
		h.fail("client %d does not get on: it has %d of %d frames, and %d of %d replies", c.number, c.next, c.is.numbers, c.answered, len(c.cmds))
	}
}
