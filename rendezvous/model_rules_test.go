package rendezvous_test

import (
	"maps"
	"slices"
	"time"

	"restante/rendezvous"
	"restante/session"
)

// model is what the server should be: which side is in which mailbox, and what each session is to be
// sent.
type model struct {
	mailboxes  []*modelMailbox
	nameplates []*modelNameplate
	sessions   []*modelSession
	usage      struct{ nameplates, mailboxes []string } // their results
}

type modelMailbox struct {
	id      rendezvous.MailboxID
	sides   sides // at most two: "in", "reading" once it has opened, and its mood once it has closed
	log     []frame
	crowded bool
	ttl     time.Duration
}

type modelNameplate struct {
	id      rendezvous.NameplateID
	mailbox *modelMailbox
	sides   sides // at most two: "in", and "out" once it has released
	crowded bool
}

// sides are the sides that came, and their state.
type sides map[rendezvous.Side]string

type modelSession struct {
	side  rendezvous.Side
	grace time.Duration
	used  bool
	end   session.Reason         // "" while it lives
	reads map[*modelMailbox]bool // the mailboxes it is subscribed to
	due   map[string][]frame     // what it was not seen to be sent, by mailbox id: one incarnation after the other
	next  int                    // the number of its next frame
}

// order is a command without its number.
type order struct {
	Do        string
	Nameplate rendezvous.NameplateID
	Mailbox   rendezvous.MailboxID
	After     rendezvous.Position
	Body      string
	Mood      rendezvous.Mood
	TTL       time.Duration
}

// do executes a command and returns its answer. got is what only the server can choose.
func (m *model) do(s *modelSession, o order, got rendezvous.Claimed) (any, rendezvous.Code) {
	b, n := m.mailbox(o.Mailbox), m.nameplate(o.Nameplate)
	switch o.Do {
	case "allocate", "claim":
		return m.claim(s, o, got)
	case "open":
		if b == nil {
			b = &modelMailbox{id: o.Mailbox, sides: sides{}}
		}
		if int(o.After) > len(b.log) {
			return nil, rendezvous.InvalidRequest
		}
		if !b.enter(s.side, o.TTL) {
			return nil, rendezvous.Crowded
		}
		if !slices.Contains(m.mailboxes, b) {
			m.mailboxes = append(m.mailboxes, b)
		}
		if b.sides[s.side] == "in" {
			m.publish(b, s, frame{Type: "opened", Side: string(s.side)})
		}
		b.sides[s.side] = "reading"
		if !s.reads[b] {
			s.send(b, b.log[o.After:]...)
		}
		s.reads[b] = true
		return b.sight(), ""
	case "add":
		if b == nil || b.sides[s.side] != "reading" {
			return nil, rendezvous.NotOpen
		}
		f := frame{Type: "message", Position: rendezvous.Position(len(b.log) + 1), Side: string(s.side), Body: o.Body}
		b.log = append(b.log, f)
		m.publish(b, s, f)
		return rendezvous.Added{Position: f.Position, Received: time.UnixMilli(time.Now().UnixMilli()).UTC()}, ""
	case "release":
		m.release(s, n)
	case "close":
		m.close(s, b, o.Mood)
	case "end":
		m.leave(s, o.Mood)
		s.over(session.Deleted)
	}
	return struct{}{}, ""
}

func (m *model) claim(s *modelSession, o order, got rendezvous.Claimed) (any, rendezvous.Code) {
	if o.Do == "allocate" {
		if o.Nameplate = got.Nameplate; m.nameplate(o.Nameplate) != nil {
			return "a nameplate that is free", ""
		}
	}
	n := m.nameplate(o.Nameplate)
	if n == nil {
		b := &modelMailbox{id: got.Mailbox, sides: sides{}}
		n = &modelNameplate{id: o.Nameplate, mailbox: b, sides: sides{}}
		m.nameplates, m.mailboxes = append(m.nameplates, n), append(m.mailboxes, b)
	}
	if n.sides[s.side] == "out" {
		return nil, rendezvous.Reclaimed
	}
	if !n.mailbox.enter(s.side, o.TTL) {
		n.crowded = true
		return nil, rendezvous.Crowded
	}
	n.sides[s.side] = "in"
	return rendezvous.Claimed{Nameplate: n.id, Mailbox: n.mailbox.id}, ""
}

// leave releases and closes all that a side holds, if its client says how it felt.
func (m *model) leave(s *modelSession, mood rendezvous.Mood) {
	if mood == "" {
		return
	}
	for _, n := range slices.Clone(m.nameplates) {
		m.release(s, n)
	}
	for _, b := range slices.Clone(m.mailboxes) {
		m.close(s, b, mood)
	}
}

func (m *model) release(s *modelSession, n *modelNameplate) {
	if n == nil || n.sides[s.side] != "in" {
		return
	}
	n.sides[s.side] = "out"
	if !n.sides.any("in") {
		m.forget(n, false)
	}
}

func (m *model) close(s *modelSession, b *modelMailbox, mood rendezvous.Mood) {
	if b == nil || b.sides[s.side] != "in" && b.sides[s.side] != "reading" {
		return
	}
	b.sides[s.side] = string(mood)
	m.publish(b, s, frame{Type: "closed", Side: string(s.side), Mood: string(mood)})
	delete(s.reads, b)
	if !b.sides.any("in", "reading") {
		m.retire(b, rendezvous.RetiredClosed)
	}
}

// retire ends a mailbox, and its nameplate with it.
func (m *model) retire(b *modelMailbox, why rendezvous.RetiredReason) {
	m.publish(b, nil, frame{Type: "retired", Reason: string(why), Last: rendezvous.Position(len(b.log))})
	for _, n := range slices.Clone(m.nameplates) {
		if n.mailbox == b {
			m.forget(n, why == rendezvous.RetiredPruned)
		}
	}
	for _, s := range m.sessions {
		delete(s.reads, b)
	}
	m.mailboxes = slices.DeleteFunc(m.mailboxes, func(o *modelMailbox) bool { return o == b })
	m.usage.mailboxes = append(m.usage.mailboxes, b.sides.result(b.crowded, why == rendezvous.RetiredPruned))
}

func (m *model) forget(n *modelNameplate, pruned bool) {
	m.nameplates = slices.DeleteFunc(m.nameplates, func(o *modelNameplate) bool { return o == n })
	m.usage.nameplates = append(m.usage.nameplates, n.sides.result(n.crowded, pruned))
}

// silence is a long time in which only the clients that are awake receive.
func (m *model) silence(awake map[*modelSession]bool, took time.Duration) {
	held := map[rendezvous.Side]bool{}
	for _, s := range m.sessions {
		if !awake[s] && s.grace < took {
			s.over(session.Expired)
		}
		held[s.side] = held[s.side] || awake[s]
	}
	for _, b := range slices.Clone(m.mailboxes) {
		stays := b.ttl >= took
		for side, is := range b.sides {
			stays = stays || held[side] && (is == "in" || is == "reading")
		}
		if !stays {
			m.retire(b, rendezvous.RetiredPruned)
		}
	}
}

// publish sends a frame to the clients that read the mailbox, except the acting one.
func (m *model) publish(b *modelMailbox, by *modelSession, f frame) {
	for _, s := range m.sessions {
		if s != by && s.reads[b] {
			s.send(b, f)
		}
	}
}

func (s *modelSession) send(b *modelMailbox, log ...frame) {
	for _, f := range log {
		f.Mailbox = string(b.id)
		s.due[f.Mailbox] = append(s.due[f.Mailbox], f)
		s.next++
	}
}

func (s *modelSession) over(why session.Reason) {
	if s.end == "" {
		s.end = why
		clear(s.reads)
	}
}

func (b *modelMailbox) enter(s rendezvous.Side, ttl time.Duration) bool {
	is, known := b.sides[s]
	if !known && len(b.sides) == 2 {
		b.crowded = true
		return false
	}
	if is != "reading" {
		b.sides[s] = "in"
	}
	b.ttl = max(b.ttl, ttl)
	return true
}

func (b *modelMailbox) sight() rendezvous.MailboxView {
	v := rendezvous.MailboxView{Mailbox: b.id, Last: rendezvous.Position(len(b.log))}
	for _, s := range slices.Sorted(maps.Keys(b.sides)) {
		mood := rendezvous.Mood(b.sides[s])
		if mood == "in" || mood == "reading" {
			mood = ""
		}
		v.Sides = append(v.Sides, rendezvous.SideView{Side: s, Mood: mood})
	}
	return v
}

func (l sides) any(is ...string) bool {
	for _, one := range l {
		if slices.Contains(is, one) {
			return true
		}
	}
	return false
}

func (l sides) result(crowded, pruned bool) string {
	for _, r := range []struct {
		is     bool
		result rendezvous.Result
	}{
		{crowded, "crowded"},
		{pruned, "pruney"},
		{l.any("scary"), "scary"},
		{l.any("errory"), "errory"},
		{l.any("lonely") || len(l) == 1, "lonely"},
	} {
		if r.is {
			return string(r.result)
		}
	}
	return "happy"
}

func (m *model) mailbox(id rendezvous.MailboxID) *modelMailbox {
	for _, b := range m.mailboxes {
		if b.id == id {
			return b
		}
	}
	return nil
}

func (m *model) nameplate(id rendezvous.NameplateID) *modelNameplate {
	for _, n := range m.nameplates {
		if n.id == id {
			return n
		}
	}
	return nil
}

// holds returns the nameplates and mailboxes that a side is in.
func (m *model) holds(s rendezvous.Side) (nameplates []rendezvous.NameplateID, mailboxes []rendezvous.MailboxID) {
	for _, n := range m.nameplates {
		if n.sides[s] == "in" {
			nameplates = append(nameplates, n.id)
		}
	}
	for _, b := range m.mailboxes {
		if b.sides[s] == "in" || b.sides[s] == "reading" {
			mailboxes = append(mailboxes, b.id)
		}
	}
	return nameplates, mailboxes
}

func (m *model) counts() (c rendezvous.Counts) {
	c.Nameplates, c.Mailboxes = int64(len(m.nameplates)), int64(len(m.mailboxes))
	for _, b := range m.mailboxes {
		c.Messages += int64(len(b.log))
	}
	for _, s := range m.sessions {
		if s.end == "" {
			c.Sessions++
		}
	}
	return c
}
