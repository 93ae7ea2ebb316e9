package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// allocate returns the nameplate, and the mailbox if it is told.
func (s side) allocate(ctx context.Context) (nameplate, mailbox string, err error) {
	if s.wormhole != nil {
		said, err := s.wormhole.do(ctx, map[string]any{"type": "allocate"}, "allocated")
		return said.Nameplate, said.Mailbox, err
	}
	e, err := s.command(ctx, http.MethodPost, "/v1/nameplates", "")
	if err != nil {
		return "", "", err
	}
	return claimed(e)
}

func claimed(e *Event) (nameplate, mailbox string, err error) {
	var answer struct{ Nameplate, Mailbox string }
	if err := json.Unmarshal([]byte(e.Answer), &answer); err != nil || answer.Nameplate == "" {
		return "", "", fmt.Errorf("%s %s: %d %s: %w", e.Method, e.Path, e.Status, e.Code, errEnded)
	}
	return answer.Nameplate, answer.Mailbox, nil
}

func (s side) claim(ctx context.Context, nameplate string) (mailbox string, err error) {
	if s.wormhole != nil {
		said, err := s.wormhole.do(ctx, map[string]any{"type": "claim", "nameplate": nameplate}, "claimed")
		return said.Mailbox, err
	}
	e, err := s.command(ctx, http.MethodPut, "/v1/nameplates/"+nameplate, "")
	if err != nil {
		return "", err
	}
	_, mailbox, err = claimed(e)
	return mailbox, err
}

func (s side) open(ctx context.Context, mailbox string) error {
	if s.wormhole == nil {
		if s.keyed {
			if err := s.enter(ctx, mailbox); err != nil {
				return err
			}
		}
		e, err := s.command(ctx, http.MethodPut, "/v1/mailboxes/"+mailbox, "")
		if err == nil && e.Status != http.StatusOK {
			err = fmt.Errorf("%s: opening was answered %d %s: %w", s.client.label, e.Status, e.Code, errEnded)
		}
		return err
	}
	s.wormhole.mu.Lock()
	s.wormhole.mailbox = mailbox
	s.wormhole.mu.Unlock()
	s.wormhole.hangUp() // it is opened on the next connection
	_, err := s.wormhole.do(ctx, map[string]any{"type": "ping", "ping": 1}, "")
	return err
}

// move is one random thing that a side does.
func (r *room) move(ctx context.Context, s side) error {
	if s.wormhole != nil {
		return r.moveWormhole(ctx, s.wormhole)
	}
	messages := "/v1/mailboxes/" + r.mailbox + "/messages"
	c := s.client
	var err error
	choice := c.dice.below(20)
	if c.keyed {
		if c.dice.chance(50) {
			messages += "?open=true"
		}
		if choice >= 11 && choice <= 14 || choice >= 16 && choice <= 18 {
			choice = 0 // what it would do needs a session
		}
	}
	switch choice {
	case 0, 1, 2, 3, 4, 5, 6:
		r.w.messages.Add(1)
		_, err = c.command(ctx, http.MethodPost, messages, draft(r.body(c.label)))
	case 7, 8:
		bodies := make([]string, 2+c.dice.below(5))
		for i := range bodies {
			bodies[i] = draft(r.body(c.label))
		}
		r.w.messages.Add(int64(len(bodies)))
		err = c.burst(ctx, messages, bodies)
	case 9:
		_, err = c.query(ctx, "/v1/mailboxes/"+r.mailbox)
	case 10:
		_, err = c.query(ctx, fmt.Sprintf("/v1/mailboxes/%s/messages?after=%d&limit=%d", r.mailbox, 0, 1+c.dice.below(30)))
	case 11:
		_, err = c.query(ctx, "/v1/session")
	case 12:
		err = c.resume(ctx)
	case 13, 14:
		err = c.tab(ctx)
	case 15:
		_, err = c.command(ctx, http.MethodPut, "/v1/mailboxes/"+r.mailbox, "") // it is open already
	case 16:
		r.unnumbered(ctx, c, messages)
	case 17:
		c.acknowledge(ctx)
	case 18:
		r.change(c)
	default:
		err = pause(ctx, c.dice.between(0, 400*time.Millisecond))
	}
	return err
}

// unnumbered adds a message without a number: it is there once, or the answer does not say that it is.
func (r *room) unnumbered(ctx context.Context, c *client, messages string) {
	c.try(ctx, call{method: http.MethodPost, path: messages, seq: none, body: draft(r.body(c.label))})
}

// change has a client use another transport from now on.
func (r *room) change(c *client) {
	var others []string
	for _, t := range r.w.cfg.Transport {
		if t != Wormhole && t != Keyed {
			others = append(others, t)
		}
	}
	to := pick(c.dice, others)
	c.mu.Lock()
	c.transport = to
	c.mu.Unlock()
}

func (r *room) moveWormhole(ctx context.Context, c *caller) error {
	switch c.dice.below(10) {
	case 0:
		c.hangUp()
	case 1:
		_, err := c.do(ctx, map[string]any{"type": "list"}, "nameplates")
		return err
	case 2, 3:
		return pause(ctx, c.dice.between(0, 300*time.Millisecond))
	default:
		r.w.messages.Add(1)
		return c.add(ctx, func() string { return r.body(c.label) })
	}
	return nil
}

// part has both sides leave, each in its way; now and then one just goes, and what it held is pruned.
func (r *room) part(ctx context.Context) error {
	if r.plate.nameplate != "" {
		r.plate.until = r.h.now()
		r.w.hold(r.plate)
	}
	return r.both(func(s side) error {
		if s.wormhole != nil {
			return r.partWormhole(ctx, s.wormhole)
		}
		c := s.client
		if c.keyed {
			return r.partKeyed(ctx, c)
		}
		way := c.dice.below(4)
		if r.w.cfg.Life == 0 && way == 3 {
			way = 0
		}
		if r.plate.nameplate != "" && way < 2 {
			if _, err := c.command(ctx, http.MethodDelete, "/v1/nameplates/"+r.plate.nameplate, ""); err != nil {
				return err
			}
		}
		var err error
		switch way {
		case 0:
			if _, err = c.command(ctx, http.MethodDelete, "/v1/mailboxes/"+r.mailbox+"?mood=happy", ""); err == nil {
				_, err = c.command(ctx, http.MethodDelete, "/v1/session", "")
			}
		case 1, 2:
			_, err = c.command(ctx, http.MethodDelete, "/v1/session?mood=happy", "")
		}
		return err
	})
}

func (r *room) partWormhole(ctx context.Context, c *caller) error {
	if r.plate.nameplate != "" {
		if _, err := c.do(ctx, map[string]any{"type": "release", "nameplate": r.plate.nameplate}, "released"); err != nil {
			return err
		}
	}
	c.mu.Lock()
	c.mailbox = "" // it is not opened again
	c.mu.Unlock()
	_, err := c.do(ctx, map[string]any{"type": "close", "mailbox": r.mailbox, "mood": "happy"}, "closed")
	return err
}
