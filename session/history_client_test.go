package session_test

import (
	"fmt"
	"maps"
	"slices"

	"restante/session"
)

// client does what a client that resumes must do: it claims what it has written down, and is in the
// state that it claims.
type client struct {
	*history
	memory, disk notes
	attached     bool
	epoch        session.Epoch
	waiting      map[int]message // the requests whose connection stands
}

// notes are what a client knows of its session.
type notes struct {
	key         session.Key
	replaces    *session.Key
	established bool                   // a handshake was accepted before
	frames      []string               // that the application saw
	from, next  session.Seq            // the first command that it could send again; the number of the next
	commands    map[session.Seq]string // those from from on
	replies     map[session.Seq]string
}

func (n notes) clone() notes {
	n.frames, n.commands, n.replies = slices.Clone(n.frames), maps.Clone(n.commands), maps.Clone(n.replies)
	return n
}

// unanswered returns the first command of which the reply is not known.
func (n notes) unanswered() session.Seq {
	for i := n.from; i < n.next; i++ {
		if _, is := n.replies[i]; !is {
			return i
		}
	}
	return n.next
}

// begin begins a session with a new id.
func (c *client) begin(replaces *session.Key) {
	c.memory = notes{key: c.key(), replaces: replaces, commands: map[session.Seq]string{}, replies: map[session.Seq]string{}}
	c.attached = false
	clear(c.waiting)
	c.write()
}

// anew gives the session up for a new one, which takes its side over: from this session, if it ever
// began, and otherwise from the one that it was to replace.
func (c *client) anew(began bool) {
	if !c.lost {
		c.prefix()
	}
	replaces := c.memory.replaces
	if began {
		replaces = new(c.memory.key)
	}
	c.begin(replaces)
}

func (c *client) write() { c.disk = c.memory.clone() }

// crash loses what is not written down.
func (c *client) crash() {
	c.tell("the client crashes")
	c.met["crash"]++
	c.memory = c.disk.clone()
	if c.forgetful && c.memory.unanswered() < c.memory.next {
		c.tell("and forgets commands %d to %d", c.memory.unanswered(), c.memory.next-1)
		c.memory.from = c.memory.next
	}
	c.attached = false
	clear(c.waiting)
}

// giveUp stops waiting for whatever was asked.
func (c *client) giveUp() {
	if len(c.waiting) > 0 {
		c.tell("the client gives up on %d requests", len(c.waiting))
		clear(c.waiting)
	}
}

// processed returns the first frame that the client has not processed for good.
func (c *client) processed() session.Seq {
	if c.hasty {
		return session.Seq(len(c.memory.frames))
	}
	return session.Seq(len(c.disk.frames))
}

// issue numbers commands, and writes them down before they are sent.
func (c *client) issue(n int) {
	if !c.memory.established {
		return
	}
	for range n {
		if c.memory.next >= min(c.memory.unanswered(), c.disk.unanswered())+session.Window {
			return
		}
		text := fmt.Sprintf("c%d", c.id())
		c.memory.commands[c.memory.next] = text
		c.memory.next++
		c.disk.next = c.memory.next
		c.disk.commands[c.memory.next-1] = text
		c.issued[c.memory.key] = append(c.issued[c.memory.key], text)
	}
}

// ask sends a request, unless the same is waiting.
func (c *client) ask(body any) {
	for _, m := range c.waiting {
		if same(m.body, body) {
			return
		}
	}
	m := message{id: c.id(), body: body}
	c.tell("the client sends %v", m)
	c.waiting[m.id] = m
	c.net = append(c.net, m)
}

// same reports whether one of two requests is enough.
func same(a, b any) bool {
	switch a := a.(type) {
	case hello:
		_, is := b.(hello)
		return is
	case poll:
		_, is := b.(poll)
		return is
	case command:
		b, is := b.(command)
		return is && a.n == b.n
	}
	return false
}

// act does what there is to do.
func (c *client) act() {
	if !c.attached {
		if !c.memory.established || c.processed() > 0 || c.memory.unanswered() > 0 {
			c.shake()
			return
		}
		// A client whose handshake was accepted before, and that has nothing to show for it, asks for
		// its session before it shakes hands. If the session is forgotten by now, a handshake would
		// begin another one with the same id. If that reply were lost, the next handshake would look
		// like a resumption.
		c.be(0, 0)
		c.attached, c.epoch = true, 0
	}
	c.ask(poll{c.memory.key, c.epoch, c.processed()})
	few := 1 + c.draw(4)
	for n := c.memory.unanswered(); n < c.memory.next && few > 0; n++ {
		if _, is := c.memory.replies[n]; !is {
			c.ask(command{c.memory.key, n, c.memory.commands[n], c.processed()})
			few--
		}
	}
}

// be puts the client in the state that it claims: frames that it has seen and not written down are to
// come again, and so are replies that overtook others.
func (c *client) be(nextExpected, nextSent session.Seq) {
	c.memory.frames = c.memory.frames[:nextExpected]
	maps.DeleteFunc(c.memory.replies, func(n session.Seq, _ string) bool { return n >= nextSent })
}

// shake sends a handshake.
func (c *client) shake() {
	claim := session.Hello{
		Key: c.memory.key, App: "app", Side: "side",
		NextExpected: c.processed(), NextSent: c.memory.unanswered(),
	}
	if !c.memory.established {
		claim.Replaces = c.memory.replaces
	}
	c.be(claim.NextExpected, claim.NextSent)
	c.ask(hello{claim})
}

// idle reports whether there is nothing left to wait for.
func (c *client) idle() bool {
	return c.attached && len(c.waiting) == 0 && c.memory.unanswered() == c.memory.next &&
		len(c.memory.frames) >= len(c.server.truth(c.memory.key).frames)
}

// receive handles the reply to a request whose connection stands, and ignores any other.
func (c *client) receive(m message) {
	asked, waits := c.waiting[m.id]
	if !waits {
		return
	}
	delete(c.waiting, m.id)
	c.tell("the client is answered %v", m)
	switch r := m.body.(type) {
	case welcome:
		if c.memory.established && !r.resumed {
			// The client asked for its session, and was given a new one with the same id.
			c.met["session lost"]++
			c.anew(true)
			return
		}
		c.attached, c.epoch = true, r.epoch
		c.memory.established, c.disk.established = true, true
		clear(c.waiting)
		c.prefix()
	case refused:
		switch {
		case r.Code == session.SideTaken && c.lost:
			c.stranded = true // it is not known any more which session it replaces
			return
		case r.Code != session.StateMismatch:
			c.violated("refused for good: %+v", r.Reject)
		case r.live && !c.lost && !c.hasty && !c.forgetful:
			c.violated("refused without need: %+v", r.Reject)
		}
		c.anew(c.memory.established || r.live || r.Ended != nil)
	case gone:
		c.met["session lost"]++
		if r.mismatch && !c.lost && !c.hasty && !c.forgetful {
			c.violated("refused without need: %v", asked)
		}
		c.anew(true)
	case outdated:
		c.attached = false
		clear(c.waiting)
		c.shake()
	case frames:
		for i, text := range r.texts {
			switch n, want := r.first+session.Seq(i), session.Seq(len(c.memory.frames)); {
			case n == want:
				c.met["frame"]++
				c.memory.frames = append(c.memory.frames, text)
			case n < want:
				c.met["frame again"]++
			default:
				c.violated("frame %d, where %d was expected", n, want)
				return
			}
		}
		c.prefix()
	case answer:
		n := asked.body.(command).n
		if want := replyTo(c.memory.commands[n]); r.text != want {
			c.violated("the reply to command %d is %q, want %q", n, r.text, want)
		}
		c.memory.replies[n] = r.text
	case gap:
		if r.expected < c.memory.unanswered() {
			// It has nothing to send again: another handshake will tell.
			c.attached = false
			clear(c.waiting)
			c.shake()
		}
	case failure:
		c.violated("%v: %s", asked, r)
	default:
		panic(fmt.Sprintf("unreachable: %T", r))
	}
}

func replyTo(text string) string { return "re:" + text }
