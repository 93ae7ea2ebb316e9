package wormhole_test

import (
	"fmt"
	"slices"
)

// model is a model of what a wormhole server does for the clients of one app, in as
// few words as possible. Each side has one connection at a time.
type model struct {
	plates map[string]*modelNameplate
	boxes  map[string]*modelMailbox
}

type modelNameplate struct {
	box      *modelMailbox
	claimed  []string // sides, also those that released
	released []string
}

type modelMailbox struct {
	id     string
	sides  []string // all that ever entered: two at most
	inside []string
	log    []string
}

// modelClient is one client's connection in the model.
type modelClient struct {
	at                                   *model
	side                                 string
	allocated, claimed, released, closed bool
	plate, box                           string // the nameplate claimed; the mailbox opened, or tried
	follows                              *modelMailbox
	due                                  []string // messages
}

// enter lets a side in, unless two others were first.
func (b *modelMailbox) enter(side string) bool {
	if !slices.Contains(b.sides, side) {
		if len(b.sides) == 2 {
			return false
		}
		b.sides = append(b.sides, side)
	}
	if !slices.Contains(b.inside, side) {
		b.inside = append(b.inside, side)
	}
	return true
}

func without(list []string, one string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == one })
}

// claim is what a side gets for a nameplate: its mailbox, or a complaint. box names the one that is made, if one is.
func (h *model) claim(side, id, made string) (b *modelMailbox, complaint string) {
	p := h.plates[id]
	if p == nil {
		p = &modelNameplate{box: &modelMailbox{id: made}}
		h.plates[id], h.boxes[made] = p, p.box
	}
	switch {
	case slices.Contains(p.released, side):
		return nil, "reclaimed"
	case !slices.Contains(p.claimed, side) && len(p.claimed) == 2, !p.box.enter(side):
		return nil, "crowded"
	case !slices.Contains(p.claimed, side):
		p.claimed = append(p.claimed, side)
	}
	return p.box, ""
}

func (h *model) release(side, id string) {
	p := h.plates[id]
	if p == nil || !slices.Contains(p.claimed, side) || slices.Contains(p.released, side) {
		return
	}
	if p.released = append(p.released, side); len(p.released) == len(p.claimed) {
		delete(h.plates, id)
	}
}

func (h *model) close(side, id string) {
	b := h.boxes[id]
	if b == nil || !slices.Contains(b.inside, side) {
		return
	}
	if b.inside = without(b.inside, side); len(b.inside) > 0 {
		return
	}
	delete(h.boxes, id)
	for name, p := range h.plates {
		if p.box == b {
			delete(h.plates, name)
		}
	}
}

// waiting are the nameplates that wait for a partner.
func (h *model) waiting() []string {
	list := []string{}
	for id, p := range h.plates {
		if len(p.claimed) == 1 && len(p.released) == 0 {
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return list
}

// open is what a client hears when it opens a mailbox.
func (c *modelClient) open(id string) (complaint string) {
	if c.follows != nil {
		return "only one open per connection"
	}
	c.box = id
	b := c.at.boxes[id]
	if b == nil {
		b = &modelMailbox{id: id}
		c.at.boxes[id] = b
	}
	if !b.enter(c.side) {
		return "crowded"
	}
	c.follows = b
	c.due = append(c.due, b.log...)
	return ""
}

func (c *modelClient) add(all []*modelClient, body string) (complaint string) {
	if c.follows == nil {
		return "must open mailbox before adding"
	}
	message := fmt.Sprintf("%s: %s", c.side, body)
	c.follows.log = append(c.follows.log, message)
	for _, other := range all {
		if other.follows == c.follows {
			other.due = append(other.due, message)
		}
	}
	return ""
}
