package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// latest is for how long a request that got no answer may still arrive: longer than anything is held, paused or locked.
const latest = 10 * time.Second

// enter has a client without a session enter a mailbox by reading its log. The read has no key, so a copy that comes late would
// enter once more: the client does not leave before that is over.
func (c *client) enter(ctx context.Context, mailbox string) error {
	if c.dice.chance(50) {
		e := c.try(ctx, call{method: http.MethodGet, path: "/v1/mailboxes/" + mailbox + "/messages?open=true", seq: none})
		if e.Status == 0 {
			c.mu.Lock()
			c.loosely = c.h.now() + latest
			c.mu.Unlock()
		}
	}
	c.mu.Lock()
	c.mailbox = mailbox
	c.mu.Unlock()
	_, err := c.command(ctx, http.MethodPut, "/v1/mailboxes/"+mailbox, "")
	if err == nil {
		c.listen()
	}
	return err
}

// readLog reads on in the log once, and waits for a message if there is none.
func (c *client) readLog(ctx context.Context) {
	c.mu.Lock()
	after, mailbox := c.read, c.mailbox
	c.mu.Unlock()
	path := fmt.Sprintf("/v1/mailboxes/%s/messages?after=%d&own=true&wait=%d", mailbox, after, c.dice.below(4))
	e := c.attempt(ctx, call{method: http.MethodGet, path: path, seq: none, ack: none, within: c.hurry() * 2})
	var page struct{ Messages []json.RawMessage }
	if e.Status != http.StatusOK || json.Unmarshal([]byte(e.Answer), &page) != nil {
		_ = pause(ctx, c.dice.between(5*time.Millisecond, 100*time.Millisecond))
		return
	}
	for _, raw := range page.Messages {
		after++
		m := &Event{
			Kind: Message, At: e.At, Done: e.Done, Session: c.label, Transport: Keyed, Path: path, Seq: after, Ack: none, Wanted: none,
			Answer: string(raw), Mailbox: mailbox,
		}
		var at struct{ Position int64 }
		if err := json.Unmarshal(raw, &at); err != nil || at.Position != after {
			m.Wrong = fmt.Sprintf("position %d came, want %d", at.Position, after)
		}
		c.h.add(m)
	}
	c.mu.Lock()
	c.read = after
	c.mu.Unlock()
}

// readUpTo waits until a client without a session has read a log of so many messages.
func (c *client) readUpTo(ctx context.Context, last int64) error {
	ctx, cancel := context.WithTimeout(ctx, c.w.cfg.Patience)
	defer cancel()
	for {
		c.mu.Lock()
		read := c.read
		c.mu.Unlock()
		if read >= last {
			return nil
		}
		if pause(ctx, 10*time.Millisecond) != nil {
			return fmt.Errorf("%s: stuck: has read %d messages of %d", c.label, read, last)
		}
	}
}

// partKeyed has a client without a session stop reading, and leave.
func (r *room) partKeyed(ctx context.Context, c *client) error {
	c.over()
	if err := pause(ctx, c.loosely-r.h.now()); err != nil {
		return err
	}
	if r.plate.nameplate != "" {
		if _, err := c.command(ctx, http.MethodDelete, "/v1/nameplates/"+r.plate.nameplate, ""); err != nil {
			return err
		}
	}
	_, err := c.command(ctx, http.MethodDelete, "/v1/mailboxes/"+r.mailbox+"?mood=happy", "")
	return err
}
