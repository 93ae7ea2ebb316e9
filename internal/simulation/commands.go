package simulation

import (
	"encoding/binary"
	"strconv"

	"restante/rendezvous"
	"restante/session"
)

// kinds are what commands do, each as often as it stands here.
var kinds = [...]string{
	"add", "add", "add", "add", "add", "add", "add", "add", "add", "add", "add", "add", "open", "open", "open", "open", "claim", "claim", "allocate",
	"close", "close", "release", "end",
}

var moods = [...]rendezvous.Mood{rendezvous.Happy, rendezvous.Lonely, rendezvous.Scary, rendezvous.Errory}

// command sends a new command.
func (c *client) command() {
	h := c.h
	if len(c.cmds)-c.answered > 8 {
		c.repeat()
		return
	}
	h.lastID++
	cmd := &command{id: h.lastID, do: kinds[h.draw(len(kinds))]}
	if cmd.do == "end" && h.draw(3) > 0 {
		cmd.do = "add"
	}
	switch cmd.do {
	case "claim", "release":
		cmd.nameplate = h.model.knownNums[h.draw(len(h.model.knownNums))]
	case "add", "open", "close":
		cmd.mailbox = h.model.knownIDs[h.draw(len(h.model.knownIDs))]
		if cmd.do == "add" || h.draw(2) == 0 {
			for _, b := range h.model.boxes { // mostly one that it has
				if in := b.side(c.is.side); in != nil && in.state == "reading" && h.draw(2) == 0 {
					cmd.mailbox = b.id
				}
			}
		}
	}
	switch cmd.do {
	case "add":
		cmd.body = "body" + strconv.FormatUint(cmd.id, 10)
	case "close":
		cmd.mood = moods[h.draw(len(moods))]
	case "end":
		if h.draw(3) > 0 {
			cmd.mood = rendezvous.Happy
		}
	case "open":
		if b := h.model.box(cmd.mailbox); b != nil && h.draw(4) == 0 {
			cmd.after = int64(h.draw(len(b.log) + 1))
		}
		fallthrough
	case "claim", "allocate":
		if h.draw(20) == 0 {
			cmd.ttl = ages
		}
	}
	c.cmds = append(c.cmds, cmd)
	c.send(len(c.cmds) - 1)
}

// repeat sends a command again that is not answered, or, seldom, one that is.
func (c *client) repeat() {
	h := c.h
	switch {
	case len(c.cmds) == 0:
	case c.answered < len(c.cmds) && h.draw(6) > 0:
		c.send(c.answered)
	default:
		c.send(len(c.cmds) - 1 - h.draw(min(len(c.cmds), session.Window+8)))
	}
}

// send sends command n, which may get lost or come late.
func (c *client) send(n int) {
	h, cmd, s := c.h, c.cmds[n], c.is
	e := h.step(cmd.do, c.number, int64(n))
	e.more = cmd
	if h.lost(20) {
		return
	}
	if h.draw(30) == 0 {
		at := c.at
		h.late = append(h.late, late{c.number, func() {
			if r := h.execute(at, s, cmd, n, nil, nil); r.err == nil {
				h.model.touch(s, h.now)
			}
		}})
		if h.draw(2) == 0 {
			return
		}
	}
	var ack *session.Seq
	var epoch *session.Epoch
	if h.draw(2) == 0 {
		ack, epoch = new(c.next), new(c.epoch)
	}
	r := h.execute(c.at, s, cmd, n, ack, epoch)
	e.code = code(r.err)
	h.mix(uint64(len(e.code))<<8 ^ uint64(r.wanted)) // #nosec G115 -- any number will do
	c.check(cmd, n, r)
}

// reply is the reply to a command.
type reply struct {
	err      error
	wanted   session.Seq
	replayed bool
	position int64
	claimed  rendezvous.Claimed
}

func replied[R any](a rendezvous.Answer[R], err error) reply {
	r := reply{err: err, wanted: a.Wanted, replayed: a.Replayed}
	switch got := any(a.Result).(type) {
	case rendezvous.Claimed:
		r.claimed = got
	case rendezvous.Added:
		r.position = int64(got.Position)
	case rendezvous.MailboxView:
		r.position = int64(got.Last)
	}
	return r
}

// execute brings a command to a server.
func (h *history) execute(at *server, s *sess, cmd *command, n int, ack *session.Seq, epoch *session.Epoch) reply {
	h.acting, h.actor = cmd, s
	defer func() { h.acting, h.actor = nil, nil }()
	c := rendezvous.Command{Session: s.key, Seq: new(session.Seq(n)), Ack: ack, Epoch: epoch}
	binary.BigEndian.PutUint64(c.Fingerprint[:], cmd.id)
	switch cmd.do {
	case "allocate":
		return replied(at.Allocate(background, c, cmd.ttl))
	case "claim":
		return replied(at.Claim(background, c, cmd.nameplate, cmd.ttl))
	case "release":
		return replied(at.Release(background, c, cmd.nameplate))
	case "open":
		return replied(at.Open(background, c, cmd.mailbox, rendezvous.OpenRequest{After: rendezvous.Position(cmd.after), TTL: cmd.ttl}))
	case "add":
		return replied(at.Add(background, c, cmd.mailbox, rendezvous.Draft{Phase: "p", Body: cmd.body}))
	case "close":
		return replied(at.Close(background, c, cmd.mailbox, cmd.mood))
	}
	var mood *rendezvous.Mood
	if cmd.mood != "" {
		mood = &cmd.mood
	}
	return replied(at.End(background, c, mood))
}

// check compares a reply with what was committed, and learns from it, unless it is lost.
func (c *client) check(cmd *command, n int, r reply) {
	h, s := c.h, c.is
	why := code(r.err)
	mine := n < len(s.done) && s.done[n] == cmd
	switch {
	case why == rendezvous.StorageUnavailable:
		return
	case why == rendezvous.SessionEnded, why == rendezvous.SessionUnknown:
		c.notServed(r.err)
		return
	case why == rendezvous.SeqReused:
		if !s.shared() {
			h.fail("client %d: command %d, %v, is said to be another one", c.number, n, cmd)
		}
		c.hangUp()
		c.is = nil
		return
	case why == rendezvous.SessionStateMismatch:
		c.notServed(r.err)
		return
	case why == rendezvous.SeqGap:
		h.model.touch(s, h.now)
		if n <= len(s.done) {
			h.fail("client %d: command %d, %v, is refused for a gap; %d are committed", c.number, n, cmd, len(s.done))
		}
		return
	case why == rendezvous.InvalidRequest && cmd.do == "open" && !mine:
		h.model.touch(s, h.now)
		cmd.after = 0 // the mailbox was retired meanwhile; the number is free
		return
	case why == rendezvous.ReplyForgotten:
		h.model.touch(s, h.now)
		if n >= len(s.done)-session.Window {
			h.fail("client %d: the reply to command %d of %d is forgotten", c.number, n, len(s.done))
		}
		return
	}
	h.model.touch(s, h.now)
	if cmd.do == "end" && s.ended && why == "" {
		return // it begins another one
	}
	if !mine {
		h.fail("client %d: command %d, %v, is answered %q, and is not committed", c.number, n, cmd, why)
		return
	}
	if why != cmd.refusal || r.position != cmd.position || r.claimed != cmd.claimed {
		h.fail("client %d: command %d, %v, is answered %q %+v; committed was %q %d %v", c.number, n, cmd, why, r, cmd.refusal, cmd.position, cmd.claimed)
		return
	}
	if h.lost(12) {
		return
	}
	if why == "" {
		h.told(s, r.wanted, c)
	}
	for c.answered == n {
		c.answered++
	}
}
