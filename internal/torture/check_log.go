package torture

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// entry is a message as a reader saw it.
type entry struct {
	Type     string `json:"type"`
	Reason   string `json:"reason"`
	Position int64  `json:"position"`
	Side     string `json:"side"`
	Phase    string `json:"phase"`
	Body     string `json:"body"`
}

// book is what is known of the log of a room's mailbox.
type book struct {
	at     map[int64]entry
	where  map[string]int64 // positions by body
	length int64            // as far as it was read at the end; none: it was not
}

// log holds that all readers see the same log, and that what was acknowledged is in it and was delivered.
func (c *checker) log(bySession map[string][]*Event) {
	b := &book{map[int64]entry{}, map[string]int64{}, none}
	sides := map[string]bool{}
	c.notices()
	for _, e := range c.events {
		c.read(b, e)
		c.sides(sides, e)
		if e.Kind == Note && e.Sent == "read" {
			b.length = e.Seq
		}
	}
	if len(sides) > 2 {
		c.report(ruleTwo, c.events[len(c.events)-1], "these sides are told of in one mailbox: %q", slices.Sorted(maps.Keys(sides)))
	}
	for _, e := range c.events {
		if e.Kind == Request && e.Status == 201 && isAdd(e) && b.length != none {
			c.kept(b, e)
		}
	}
	for _, own := range bySession {
		c.delivered(b, own)
	}
}

// notices holds that no client is told of a third side before one tried to get in.
func (c *checker) notices() {
	tried := slices.ContainsFunc(c.events, func(e *Event) bool {
		return e.Method == http.MethodPut && strings.HasSuffix(e.Session, intruder)
	})
	for _, e := range c.events {
		if e.Kind == Notice && !tried {
			c.report(ruleTwo, e, "a side was told of a third one, and there was none: %s", e.Answer)
		}
	}
}

// read enters what an event tells of the log.
func (c *checker) read(b *book, e *Event) {
	switch {
	case e.Kind == Frame:
		var m entry
		if json.Unmarshal([]byte(e.Answer), &m) == nil && m.Type == "message" {
			c.enter(b, e, m)
		}
		if m.Type == "retired" && m.Reason == "pruned" {
			c.report(ruleNotPruned, e, "a mailbox was pruned while clients used it: %s", e.Answer)
		}
	case e.Kind == Message:
		var m entry
		if json.Unmarshal([]byte(e.Answer), &m) == nil {
			m.Position = e.Seq
			c.enter(b, e, m)
		}
	case e.Kind == Request && e.Method == http.MethodGet && e.Status == 200 && strings.Contains(e.Path, "/messages"):
		var page struct{ Messages []entry }
		if json.Unmarshal([]byte(e.Answer), &page) != nil {
			return
		}
		for i, m := range page.Messages {
			if i > 0 && m.Position != page.Messages[i-1].Position+1 {
				c.report(ruleLog, e, "position %d follows %d in an answer", m.Position, page.Messages[i-1].Position)
			}
			c.enter(b, e, m)
		}
	}
}

func (c *checker) enter(b *book, e *Event, m entry) {
	m.Type = ""
	if before, known := b.at[m.Position]; known && before != m {
		c.report(ruleLog, e, "position %d is %s, and was %s for another reader", m.Position, short(m.Body), short(before.Body))
	}
	if at, known := b.where[m.Body]; known && at != m.Position {
		c.report(ruleOnce, e, "%s is at position %d and at %d", short(m.Body), at, m.Position)
	}
	b.at[m.Position], b.where[m.Body] = m, m.Position
}

// sides collects the sides that an answer about a mailbox tells of.
func (c *checker) sides(known map[string]bool, e *Event) {
	if e.Kind != Request || e.Status != 200 || !strings.HasPrefix(e.Path, "/v1/mailboxes/") || strings.Contains(e.Path, "/messages") {
		return
	}
	var mailbox struct{ Sides []struct{ Side string } }
	if json.Unmarshal([]byte(e.Answer), &mailbox) != nil {
		return
	}
	for _, s := range mailbox.Sides {
		known[s.Side] = true
	}
}

// isAdd tells whether a request adds a message.
func isAdd(e *Event) bool {
	path, _, _ := strings.Cut(e.Path, "?")
	return e.Kind == Request && e.Method == http.MethodPost && strings.HasSuffix(path, "/messages")
}

// kept holds that an acknowledged message is where its reply said.
func (c *checker) kept(b *book, e *Event) {
	var sent struct{ Body string }
	var reply struct{ Position int64 }
	if json.Unmarshal([]byte(e.Sent), &sent) != nil || json.Unmarshal([]byte(e.Answer), &reply) != nil {
		return
	}
	switch at, there := b.where[sent.Body]; {
	case !there:
		c.report(ruleKept, e, "%s was acknowledged at position %d and is not in the log of %d", short(sent.Body), reply.Position, b.length)
	case at != reply.Position:
		c.report(ruleOnce, e, "%s was acknowledged at position %d and is at %d", short(sent.Body), reply.Position, at)
	}
}

// delivered holds that a session that has received all there is has each message of others once, and in order.
func (c *checker) delivered(b *book, own []*Event) {
	frames := map[int64]*Event{}
	var drained *Event
	for _, e := range own {
		if e.Kind == Frame {
			frames[e.Seq] = e
		}
		if e.Kind == Note && e.Sent == "drained" {
			drained = e
		}
	}
	got := map[int64]bool{}
	last := int64(0)
	for _, seq := range slices.Sorted(maps.Keys(frames)) {
		var m entry
		if json.Unmarshal([]byte(frames[seq].Answer), &m) != nil || m.Type != "message" {
			continue
		}
		if m.Position <= last {
			c.report(ruleDelivered, frames[seq], "position %d came after %d", m.Position, last)
		}
		last = max(last, m.Position)
		got[m.Position] = true
	}
	if drained == nil || b.length == none {
		return
	}
	for seq := range drained.Seq {
		if frames[seq] == nil {
			c.report(ruleDelivered, drained, "frame %d of %d never came", seq, drained.Seq)
		}
	}
	for position := int64(1); position <= b.length; position++ {
		m, known := b.at[position]
		switch {
		case !known:
			c.report(ruleLog, drained, "position %d of %d was never read", position, b.length)
		case !got[position] && !strings.HasPrefix(m.Body, drained.Session+"-"):
			c.report(ruleDelivered, drained, "the message at position %d, %s, never came", position, short(m.Body))
		}
	}
}
