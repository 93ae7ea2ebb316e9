package simulation

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"restante/internal/presence"
	"restante/rendezvous"
	"restante/session"
)

// model is what the server should be. It learns what is committed, and when, and decides itself what that means.
type model struct {
	boxes     []*box // that live, in the order of their keys
	plates    []*plate
	sessions  map[session.Key]*sess
	made      rendezvous.UsageTotals // by kind
	bodies    map[string]bool
	knownIDs  []rendezvous.MailboxID
	knownNums []rendezvous.NameplateID
}

// sess is a session as it should be.
type sess struct {
	id      session.ID
	key     session.Key
	side    rendezvous.Side
	begun   bool // in the store
	ended   bool
	mayEnd  bool // it is being replaced, or its client has ended it
	used    bool
	done    []*command    // that are committed
	due     []event       // frames that its client has not seen yet
	numbers int64         // frames that are numbered
	seen    []uint64      // hashes of the frames that its client has seen
	ack     session.Seq   // the highest number that the server has told
	contact time.Time     // the last sign of life that certainly arrived
	stored  time.Time     // the sign of life that is stored
	epoch   session.Epoch // of the last handshake that was accepted
	// lapsed: it came back after its time. A server in its boot grace lets it in, and another one may not.
	lapsed bool
	tabs   bool // several tabs had it
}

// event is a frame as it should be.
type event struct {
	kind     string
	mailbox  rendezvous.MailboxID
	position int64
	side     rendezvous.Side
	body     string
	mood     string
	reason   string
}

// command is a command of a client, and what became of it when it was committed.
type command struct {
	id        uint64
	do        string
	nameplate rendezvous.NameplateID
	mailbox   rendezvous.MailboxID
	body      string
	mood      rendezvous.Mood
	after     int64
	ttl       time.Duration

	isDone   bool
	refusal  rendezvous.Code
	position int64 // of add; the last one of open
	claimed  rendezvous.Claimed
	at       time.Time
}

type box struct {
	key     rendezvous.MailboxKey
	id      rendezvous.MailboxID
	sides   []boxSide
	log     []event
	readers []*sess
	updated time.Time
	ttl     time.Duration
	retired bool
}

type boxSide struct {
	side    rendezvous.Side
	state   string // "in", "reading" or "out"
	contact time.Time
}

type plate struct {
	id     rendezvous.NameplateID
	box    *box
	claims []claim
}

type claim struct {
	side     rendezvous.Side
	released bool
}

func (m *model) box(id rendezvous.MailboxID) *box {
	for _, b := range m.boxes {
		if b.id == id {
			return b
		}
	}
	return nil
}

func (m *model) plate(id rendezvous.NameplateID) *plate {
	for _, p := range m.plates {
		if p.id == id {
			return p
		}
	}
	return nil
}

func (b *box) side(s rendezvous.Side) *boxSide {
	for i := range b.sides {
		if b.sides[i].side == s {
			return &b.sides[i]
		}
	}
	return nil
}

func (b *box) enter(s rendezvous.Side, ttl time.Duration, now time.Time) bool {
	switch in := b.side(s); {
	case in == nil && len(b.sides) == 2:
		return false
	case in == nil:
		b.sides = append(b.sides, boxSide{side: s, state: "in", contact: now})
		b.updated = now
	case in.state == "out":
		in.state = "in"
		b.updated = now
	}
	b.ttl = max(b.ttl, ttl)
	return true
}

// publish makes an event due for everyone who reads a mailbox, except the one that acts.
func (m *model) publish(b *box, actor *sess, e event) {
	e.mailbox = b.id
	for _, s := range b.readers {
		if s != actor {
			s.send(e)
		}
	}
}

func (s *sess) send(e event) {
	s.due = append(s.due, e)
	s.numbers++
}

// do executes a command. made is what only the server can choose.
func (m *model) do(s *sess, c *command, now time.Time, made made) {
	m.touch(s, now)
	c.isDone, c.at = true, now
	s.used = true
	s.done = append(s.done, c)
	b := m.box(c.mailbox)
	switch c.do {
	case "allocate", "claim":
		m.claim(s, c, now, made)
	case "open":
		if b == nil {
			b = m.newBox(made, 0, now)
		}
		if !b.enter(s.side, c.ttl, now) {
			c.refusal = rendezvous.Crowded
			return
		}
		if in := b.side(s.side); in.state == "in" {
			m.publish(b, s, event{kind: "opened", side: s.side})
			in.state = "reading"
			b.updated = now
		}
		if !slices.Contains(b.readers, s) {
			b.readers = append(b.readers, s)
			for _, e := range b.log[c.after:] {
				s.send(e)
			}
		}
		c.position = int64(len(b.log))
	case "add":
		if b == nil || b.side(s.side) == nil || b.side(s.side).state != "reading" {
			c.refusal = rendezvous.NotOpen
			return
		}
		e := event{kind: "message", mailbox: b.id, position: int64(len(b.log) + 1), side: s.side, body: c.body}
		b.log = append(b.log, e)
		b.updated = now
		m.publish(b, s, e)
		c.position = e.position
	case "release":
		m.release(s, c.nameplate)
	case "close":
		m.close(s, b, c.mood, now)
	case "end":
		s.mayEnd = true
		m.leave(s, c.mood, now)
	}
}

// leave releases and closes all that a session's side holds, if its client says how it felt.
func (m *model) leave(s *sess, mood rendezvous.Mood, now time.Time) {
	if mood == "" {
		return
	}
	for _, p := range slices.Clone(m.plates) {
		m.release(s, p.id)
	}
	for _, b := range slices.Clone(m.boxes) {
		m.close(s, b, mood, now)
	}
}

// made is what a transaction made.
type made struct {
	key   rendezvous.MailboxKey
	id    rendezvous.MailboxID
	plate rendezvous.NameplateID
}

func (m *model) newBox(of made, ttl time.Duration, now time.Time) *box {
	b := &box{key: of.key, id: of.id, ttl: max(ttl, mailboxTTL), updated: now}
	m.boxes = append(m.boxes, b)
	slices.SortFunc(m.boxes, func(a, b *box) int { return cmp.Compare(a.key, b.key) })
	return b
}

func (m *model) claim(s *sess, c *command, now time.Time, made made) {
	id := c.nameplate
	if c.do == "allocate" {
		id = made.plate
	}
	p := m.plate(id)
	if p == nil {
		b := m.newBox(made, c.ttl, now)
		b.enter(s.side, c.ttl, now)
		m.plates = append(m.plates, &plate{id: id, box: b, claims: []claim{{side: s.side}}})
		c.claimed = rendezvous.Claimed{Nameplate: id, Mailbox: b.id}
		m.hear(c.claimed)
		return
	}
	i := slices.IndexFunc(p.claims, func(c claim) bool { return c.side == s.side })
	switch {
	case i >= 0 && p.claims[i].released:
		c.refusal = rendezvous.Reclaimed
		return
	case i < 0 && len(p.claims) == 2:
		c.refusal = rendezvous.Crowded
		return
	case !p.box.enter(s.side, c.ttl, now):
		c.refusal = rendezvous.Crowded
		return
	case i < 0:
		p.claims = append(p.claims, claim{side: s.side})
	}
	c.claimed = rendezvous.Claimed{Nameplate: id, Mailbox: p.box.id}
}

// hear remembers an id, so that all clients use it.
func (m *model) hear(of rendezvous.Claimed) {
	m.knownIDs = append(m.knownIDs[max(0, len(m.knownIDs)-3):], of.Mailbox)
	m.knownNums = append(m.knownNums[max(0, len(m.knownNums)-3):], of.Nameplate)
}

func (m *model) release(s *sess, id rendezvous.NameplateID) {
	p := m.plate(id)
	if p == nil {
		return
	}
	stands := false
	for i := range p.claims {
		if p.claims[i].side == s.side {
			p.claims[i].released = true
		}
		stands = stands || !p.claims[i].released
	}
	if !stands {
		m.plates = slices.DeleteFunc(m.plates, func(q *plate) bool { return q == p })
	}
}

func (m *model) close(s *sess, b *box, mood rendezvous.Mood, now time.Time) {
	if b == nil {
		return
	}
	in := b.side(s.side)
	if in == nil || in.state == "out" {
		return
	}
	in.state = "out"
	b.updated = now
	m.publish(b, s, event{kind: "closed", side: s.side, mood: string(mood)})
	b.readers = slices.DeleteFunc(b.readers, func(r *sess) bool { return r.side == s.side })
	if b.empty() {
		m.retire(b, s, rendezvous.RetiredClosed)
	}
}

func (b *box) empty() bool {
	return !slices.ContainsFunc(b.sides, func(s boxSide) bool { return s.state != "out" })
}

func (m *model) retire(b *box, actor *sess, why rendezvous.RetiredReason) {
	m.publish(b, actor, event{kind: "retired", reason: string(why)})
	b.retired = true
	m.boxes = slices.DeleteFunc(m.boxes, func(c *box) bool { return c == b })
	m.plates = slices.DeleteFunc(m.plates, func(p *plate) bool { return p.box == b })
}

// end ends a session.
func (m *model) end(s *sess) {
	s.ended = true
	for _, b := range m.boxes {
		b.readers = slices.DeleteFunc(b.readers, func(r *sess) bool { return r == s })
	}
}

// touch records a sign of life. To end a session again succeeds, and is none.
func (m *model) touch(s *sess, now time.Time) {
	if s.ended {
		return
	}
	s.lapsed = s.lapsed || !s.contact.IsZero() && !now.Before(s.contact.Add(silence+grace))
	s.contact = now
	for _, b := range m.boxes {
		if in := b.side(s.side); in != nil && in.state != "out" {
			in.contact = now
		}
	}
}

// crash forgets the signs of life that a server which is killed may take with it: those that came after a silence for
// which the stored one does not stand any more, and of which unwritten says that they need not be stored yet.
func (m *model) crash(unwritten func(time.Time) bool) {
	for _, s := range m.sessions {
		known := s.stored.Add(presence.MaxLag)
		if s.ended || !s.contact.After(known) || !unwritten(s.contact) {
			continue
		}
		s.contact = known
		for _, b := range m.boxes {
			if in := b.side(s.side); in != nil && in.contact.After(known) {
				in.contact = known
			}
		}
	}
}

func (c *command) String() string {
	return c.do + " " + string(c.nameplate) + string(c.mailbox) + " " + c.body + string(c.mood) + " #" + strconv.FormatUint(c.id, 10)
}
