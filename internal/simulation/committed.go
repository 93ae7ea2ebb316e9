package simulation

import (
	"slices"
	"time"

	"restante/internal/memstore"
	"restante/rendezvous"
)

// committed tells the model what a commit changed, and checks what must always hold.
func (h *history) committed(now time.Time, changes []memstore.Change) {
	var of made
	var done *memstore.Change
	command := slices.ContainsFunc(changes, func(c memstore.Change) bool { return c.Kind == memstore.CommandDone })
	for i, c := range changes {
		switch c.Kind {
		case memstore.CommandDone:
			done = &changes[i]
		case memstore.MailboxMade:
			of.key, of.id = c.Mailbox, c.ID
			h.model.made[rendezvous.UsageTotal{Kind: rendezvous.KindMailbox}]++
		case memstore.NameplateMade:
			of.plate = c.Nameplate
			h.model.made[rendezvous.UsageTotal{Kind: rendezvous.KindNameplate}]++
		case memstore.MailboxStored, memstore.NameplateStored:
			if c.Sides > 2 {
				h.fail("%d sides have a mailbox or a nameplate", c.Sides)
			}
		case memstore.MessagesAdded:
			for _, m := range c.Messages {
				if h.model.bodies[m.Body] {
					h.fail("%s is added twice", m.Body)
				}
				h.model.bodies[m.Body] = true
			}
		case memstore.SessionEnded:
			if !command { // a session may begin after it, with the same id
				h.ended(h.model.sessions[c.Session])
			}
		case memstore.SessionSeen:
			h.model.sessions[c.Session].stored = c.Seen
		case memstore.MailboxRetired, memstore.NameplateRetired: // see below, and the usage at the end
		case memstore.SessionBegun:
			if s := h.model.sessions[c.Session]; s.ended { // it did nothing and was forgotten: this is another one
				h.model.sessions[c.Session] = &sess{id: s.id, key: s.key, side: s.side, mayEnd: true}
			}
			h.model.sessions[c.Session].begun = true
			h.model.touch(h.model.sessions[c.Session], now)
		}
	}
	if done != nil {
		s := h.model.sessions[done.Session]
		if h.acting == nil || h.acting.isDone || int(done.Seq) != len(s.done) {
			h.fail("command %d of session %v is done; %d are, and %v is acting", done.Seq, s.id, len(s.done), h.acting)
			return
		}
		h.report.Commands++
		h.model.do(s, h.acting, now, of)
	}
	if done == nil && h.acting != nil && h.acting.do == "end" && slices.ContainsFunc(changes, isDeparture) {
		h.model.leave(h.actor, h.acting.mood, now) // which an end without a mood did not
	}
	for _, c := range changes {
		if c.Kind == memstore.MailboxRetired {
			h.retired(c.Mailbox, now)
		}
		if c.Kind == memstore.SessionEnded && command {
			h.ended(h.model.sessions[c.Session])
		}
	}
}

// isDeparture reports whether a change is one of a side that leaves.
func isDeparture(c memstore.Change) bool {
	return slices.Contains([]memstore.ChangeKind{memstore.MailboxStored, memstore.MailboxRetired, memstore.NameplateStored, memstore.NameplateRetired}, c.Kind)
}

// retired checks that a mailbox was retired by its sides, or was stale.
func (h *history) retired(k rendezvous.MailboxKey, now time.Time) {
	for _, b := range h.model.boxes {
		if b.key != k {
			continue
		}
		last := b.updated
		for _, in := range b.sides {
			if in.state != "out" && in.contact.After(last) {
				last = in.contact
			}
		}
		if !h.pruning || now.Before(last.Add(b.ttl)) {
			h.fail("mailbox %d is pruned, which lives until %v", k, last.Add(b.ttl))
		}
		h.report.Pruned++
		h.model.retire(b, nil, rendezvous.RetiredPruned)
		return
	}
}

// ended checks that a session was ended by its client, or was silent for long enough.
func (h *history) ended(s *sess) {
	if !s.mayEnd {
		h.report.Expired++
		if !h.mayHaveExpired(s) {
			h.fail("session %v of %s ends, which was seen at %v", s.id, s.side, s.contact)
		}
	}
	h.model.end(s)
}
