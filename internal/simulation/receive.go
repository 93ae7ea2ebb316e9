package simulation

import (
	"hash/maphash"

	"restante/rendezvous"
	"restante/session"
)

// receive begins a poll, if there is none.
func (c *client) receive() {
	h := c.h
	if c.poll != nil {
		return
	}
	e := h.step("poll", c.number, int64(c.next))
	if h.lost(40) {
		return
	}
	s, ack, epoch, at := c.is, c.next, c.epoch, c.at
	request := rendezvous.ReceiveRequest{Session: s.key, Ack: &ack, Epoch: &epoch}
	if h.draw(40) == 0 { // it comes late, and its answer is lost
		h.late = append(h.late, late{c.number, func() {
			if p, err := at.StartPoll(background, request); err == nil {
				h.model.touch(s, h.now)
				p.Close()
			}
		}})
		return
	}
	p, err := c.at.StartPoll(background, request)
	if err != nil {
		e.code = code(err)
		c.notServed(err)
		return
	}
	h.model.touch(c.is, h.now)
	c.poll, c.pollAck, c.ready = p, c.next, false
	c.watch()
}

func (c *client) watch() {
	p := c.poll
	p.OnReady(func() {
		if c.poll == p {
			c.ready = true
		}
	})
	if p == c.poll && p.Answered() {
		c.ready = true
	}
}

// serve answers the polls that may be answered, and checks the others.
func (h *history) serve() {
	for again := true; again && h.violation == ""; {
		again = false
		for _, c := range h.clients {
			if c.poll != nil && c.ready {
				c.answer()
				again = true
			}
		}
	}
	for _, c := range h.clients {
		if c.poll == nil || len(h.servers) > 1 || h.away {
			continue
		}
		if c.is.ended || c.is.numbers > int64(c.pollAck) {
			h.fail("client %d is not woken: it asked from frame %d on, and there are %d; it ended: %v", c.number, c.pollAck, c.is.numbers, c.is.ended)
		}
	}
}

// answer lets the poll look again.
func (c *client) answer() {
	h := c.h
	e := h.step("answer", c.number, int64(c.pollAck))
	c.ready = false
	p := c.poll
	got, answered, err := p.Wait(background, 0)
	switch {
	case err != nil:
		c.hangUp()
		e.code = code(err)
		c.notServed(err)
		return
	case !answered:
		c.watch()
		return
	}
	h.model.touch(c.is, h.now)
	c.hangUp()
	e.n = int64(len(got.Frames))
	h.mix(uint64(len(got.Frames)))
	if h.lost(12) {
		return
	}
	h.told(c.is, got.Wanted, c)
	c.process(got)
	if h.violation == "" && !c.asleep && c.is != nil && !c.is.ended && (len(got.Frames) == 0 || h.draw(2) == 0) {
		c.receive() // as a client does that only answers
	}
}

// process checks the frames of an answer, and has processed some of them.
func (c *client) process(got rendezvous.Delivery) {
	h, s := c.h, c.is
	for i, raw := range got.Frames {
		n := int(c.pollAck) + i
		h.report.Frames++
		sum := maphash.Bytes(hashSeed, raw)
		if n < len(s.seen) {
			if s.seen[n] != sum {
				h.fail("client %d: frame %d is not what it was before: %s", c.number, n, raw)
			}
			continue
		}
		f := parseFrame(raw)
		if int(f.seq) != n || n != len(s.seen) {
			h.fail("client %d: it gets %s in place of frame %d; %d were seen", c.number, raw, n, len(s.seen))
			return
		}
		s.seen = append(s.seen, sum)
		if !s.take(f) {
			h.fail("client %d: it gets %s; due is %+v", c.number, raw, s.due)
			return
		}
	}
	if c.pollAck != c.next {
		return // an older answer
	}
	c.next += session.Seq(len(got.Frames))
	if len(got.Frames) > 0 && h.draw(8) == 0 {
		c.next -= session.Seq(h.draw(len(got.Frames) + 1)) // it processes only some of them
	}
}

// take takes the frame from what is due. Frames of one mailbox come in order.
func (s *sess) take(f frame) bool {
	for i, e := range s.due {
		if string(e.mailbox) != f.mailbox {
			continue
		}
		if e.kind != f.kind || f.kind == "message" && (e.position != f.position || e.body != f.body) ||
			f.kind != "retired" && string(e.side) != f.side || e.mood != f.mood || e.reason != f.reason {
			return false
		}
		if i == 0 {
			s.due = s.due[1:]
		} else {
			s.due = append(append([]event(nil), s.due[:i]...), s.due[i+1:]...)
		}
		return true
	}
	return false
}

// notServed handles the refusal of a poll, a query or a command.
func (c *client) notServed(err error) {
	h, s := c.h, c.is
	why := code(err)
	h.mix(uint64(len(why)))
	switch why {
	case rendezvous.StorageUnavailable, rendezvous.OutcomeUnknown:
	case rendezvous.Superseded:
		if !s.shared() && s.epoch == c.epoch && len(h.late) == 0 && !h.wasLate {
			h.fail("client %d is displaced, and there is no other", c.number)
		}
		c.stop()
	case rendezvous.SessionEnded, rendezvous.SessionUnknown:
		if !s.ended && !s.mayEnd && !h.mayHaveExpired(s) {
			h.fail("client %d: its session is gone: %v", c.number, err)
		}
		c.hangUp()
		c.is = nil
	case rendezvous.SessionStateMismatch:
		if !s.shared() {
			h.fail("client %d, which asks from frame %d on: %v", c.number, c.next, err)
		}
		c.stop()
	default:
		h.fail("client %d: %v", c.number, err)
	}
}

// told checks the next command that the server says it wants.
func (h *history) told(s *sess, wanted session.Seq, c *client) {
	if int(wanted) > len(s.done) {
		h.fail("client %d is told that command %d is wanted; %d are committed", c.number, wanted, len(s.done))
	}
	if wanted < s.ack {
		h.fail("client %d is told that command %d is wanted, after %d", c.number, wanted, s.ack)
	}
	s.ack = wanted
}

// acknowledge sends an acknowledgement alone.
func (c *client) acknowledge() {
	h := c.h
	e := h.step("ack", c.number, int64(c.next))
	if h.lost(20) {
		return
	}
	ack, epoch := c.next, c.epoch
	a, err := c.at.Acknowledge(background, rendezvous.Query{Session: c.is.key, Ack: &ack, Epoch: &epoch})
	if err != nil {
		e.code = code(err)
		c.notServed(err)
		return
	}
	h.model.touch(c.is, h.now)
	h.told(c.is, a.Wanted, c)
}

// look looks at the session.
func (c *client) look() {
	h := c.h
	e := h.step("look", c.number, 0)
	a, err := c.at.Session(background, rendezvous.Query{Session: c.is.key})
	if err != nil {
		e.code = code(err)
		c.notServed(err)
		return
	}
	h.model.touch(c.is, h.now)
	h.told(c.is, a.Wanted, c)
	if got := int64(a.Result.Session.Next); got != c.is.numbers {
		h.fail("client %d: %d frames are numbered, not %d", c.number, got, c.is.numbers)
	}
	boxes := 0
	for _, b := range h.model.boxes {
		if in := b.side(c.is.side); in != nil && in.state != "out" {
			boxes++
		}
	}
	if boxes != len(a.Result.Mailboxes) {
		h.fail("client %d is in mailboxes %v, not in %d", c.number, a.Result.Mailboxes, boxes)
	}
}
