package simulation

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"restante/rendezvous"
	"restante/session"
)

// client is a client that keeps to the protocol, or a tab that has the state of an older one.
type client struct {
	h        *history
	number   int
	is       *sess // nil before its first session
	epoch    session.Epoch
	next     session.Seq // the next frame that it wants
	cmds     []*command  // by number
	answered int         // the commands below it are answered
	at       *server
	poll     *rendezvous.Poll
	pollAck  session.Seq
	ready    bool // its poll may have an answer
	asleep   bool
	shaken   bool // its last handshake was answered
	tab      bool
}

// code returns the code of a failure, or "".
func code(err error) rendezvous.Code {
	if failure, is := errors.AsType[*rendezvous.Failure](err); is {
		return failure.Code
	}
	if err != nil {
		return rendezvous.Code("not a failure: " + err.Error())
	}
	return ""
}

// lost reports whether a request or a reply gets lost on its way.
func (h *history) lost(oneIn int) bool {
	if h.draw(oneIn) > 0 {
		return false
	}
	h.report.Dropped++
	return true
}

// act does one thing.
func (c *client) act() {
	h := c.h
	c.at = h.servers[0]
	if len(h.servers) > 1 {
		c.at = h.servers[h.draw(2)]
	}
	switch {
	case c.is == nil || c.is.ended:
		c.begin()
		return
	case !c.shaken:
		c.resume()
		return
	}
	switch n := h.draw(100); {
	case n < 42:
		c.command()
	case n < 50:
		c.repeat()
	case n < 84:
		c.receive()
	case n < 90:
		c.acknowledge()
	case n < 93:
		c.resume()
	case n < 94:
		if h.draw(4) == 0 {
			c.begin()
		}
	case n < 95:
		c.openTab()
	case n < 97:
		c.hangUp()
	default:
		c.look()
	}
}

// newSess returns a session of a side, with an id from the seed.
func (h *history) newSess(side rendezvous.Side) *sess {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], h.rng.Uint64())
	binary.BigEndian.PutUint64(b[8:], h.rng.Uint64())
	id, err := session.ParseID(hex.EncodeToString(b[:]))
	if err != nil {
		panic(err)
	}
	s := &sess{id: id, key: id.Key(), side: side}
	h.model.sessions[s.key] = s
	return s
}

// begin begins a session: as the same side, if that can be taken over, or as another one.
func (c *client) begin() {
	h := c.h
	c.hangUp()
	before := c.is
	shake := rendezvous.Handshake{App: app}
	side := rendezvous.Side("side" + hex.EncodeToString([]byte{byte(h.lastID >> 8), byte(h.lastID)})) // #nosec G115 -- the low bits
	h.lastID++
	if before != nil && h.draw(4) > 0 {
		side = before.side
		shake.Replaces = &before.id
	}
	s := h.newSess(side)
	if before != nil {
		before.mayEnd = before.mayEnd || shake.Replaces != nil
	}
	*c = client{h: h, number: c.number, is: s, at: c.at}
	shake.ID, shake.Side = s.id, s.side
	c.shake(s, shake)
}

// resume begins a new epoch of the session.
func (c *client) resume() {
	c.hangUp()
	c.shaken = false // until it is answered: it may have been accepted
	c.shake(c.is, rendezvous.Handshake{ID: c.is.id, App: app, Side: c.is.side, NextExpected: c.next, NextSent: session.Seq(c.answered), Epoch: c.epoch})
}

// shake sends a handshake, which may get lost, come late, or come twice.
func (c *client) shake(s *sess, shake rendezvous.Handshake) {
	h, server := c.h, c.at
	e := h.step("handshake", c.number, int64(shake.NextExpected))
	if h.lost(30) {
		return
	}
	if h.draw(30) == 0 {
		h.late = append(h.late, late{c.number, func() {
			if w, err := server.Handshake(background, shake); err == nil {
				h.shaken(s, w)
			}
		}})
	}
	began := h.now
	w, err := server.Handshake(background, shake)
	e.code = code(err)
	h.mix(uint64(len(e.code)))
	switch e.code {
	case "":
		h.shaken(s, w)
	case rendezvous.StorageUnavailable:
		return
	case rendezvous.SessionStateMismatch, rendezvous.SideTaken:
		c.refused(s, e.code, began)
		return
	default:
		h.fail("client %d: its handshake is refused: %v", c.number, err)
		return
	}
	if h.lost(15) {
		return
	}
	h.told(s, w.Wanted, c)
	if s == c.is {
		if w.Kept > c.next || int64(w.Wanted) > int64(len(c.cmds)) && !c.tab && !c.is.shared() {
			h.fail("client %d: the server keeps frames from %d and wants command %d; it has processed %d and sent %d", c.number, w.Kept, w.Wanted, c.next, len(c.cmds))
		}
		c.epoch, c.shaken = w.Epoch, true
		if w.Resumed {
			h.report.Resumed++
		}
	}
}

// shaken records that the server accepted a handshake.
func (h *history) shaken(s *sess, w rendezvous.HandshakeReply) {
	if s.ended {
		return // a session that did nothing is forgotten, and its id can begin another one
	}
	if w.Epoch <= s.epoch && s.epoch > 0 {
		h.fail("epoch %d of session %v comes after %d", w.Epoch, s.id, s.epoch)
	}
	s.epoch = w.Epoch
	h.model.touch(s, h.now)
}

// refused gives up a session that its server does not resume. That is right only if it has ended, or if this is an
// older tab.
func (c *client) refused(s *sess, why rendezvous.Code, _ time.Time) {
	h := c.h
	if s.begun && !s.ended && !s.mayEnd && !h.mayHaveExpired(s) && !s.shared() {
		h.fail("client %d: its live session is refused: %s", c.number, why)
	}
	c.is = nil // it begins anew, as another side
}

// shared reports whether several tabs had the session.
func (s *sess) shared() bool { return s.tabs }

// mayHaveExpired reports whether a session has been silent for long enough.
func (h *history) mayHaveExpired(s *sess) bool {
	return s.lapsed && h.replicas > 1 || !h.now.Before(s.contact.Add(silence+grace))
}

// openTab copies a client's state, as a second tab does.
func (c *client) openTab() {
	h := c.h
	if h.draw(3) > 0 || len(h.clients) > 5 {
		return
	}
	h.step("tab", c.number, 0)
	c.is.tabs = true
	tab := *c
	tab.number, tab.tab, tab.poll, tab.ready = len(h.clients), true, nil, false
	tab.cmds = slices.Clone(c.cmds)
	h.clients = append(h.clients, &tab)
}

// hangUp ends the poll that is held, as a connection that breaks.
func (c *client) hangUp() {
	if c.poll != nil {
		c.poll.Close()
		c.poll = nil
	}
	c.ready = false
}

// stop is what a client does that another one has displaced: it comes back, as a page that is loaded again.
func (c *client) stop() {
	c.hangUp()
	c.shaken = false
	if c.tab {
		c.is = nil
	}
}
