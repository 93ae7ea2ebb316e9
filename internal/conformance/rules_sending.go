package conformance

import (
	"bytes"
	"net/http"
	"strconv"
)

var sendingRules = []Rule{
	{ID: "sending/once", Text: "A command is done once; its reply says which one is wanted next.", check: func(t *trial) {
		c := t.begin()
		a := c.command(http.MethodPut, "/v1/mailboxes/"+random(), nil).ok(http.StatusOK)
		equal(t, "Ack", a.header.Get("Ack"), "1")
		equal(t, "Replayed", a.header.Get("Replayed"), "")
	}},
	{ID: "sending/replayed", Text: "A command that is sent again is not done again, and has the same reply.", check: func(t *trial) {
		c, mailbox := t.begin(), random()
		c.open(mailbox)
		first := c.numbered(1, http.MethodPost, "/v1/mailboxes/"+mailbox+"/messages", message("once")).ok(http.StatusCreated)
		again := c.numbered(1, http.MethodPost, "/v1/mailboxes/"+mailbox+"/messages", message("once")).ok(http.StatusCreated)
		equal(t, "Replayed", again.header.Get("Replayed"), "true")
		if !bytes.Equal(first.body, again.body) {
			t.failf("the replies are %s and %s", first.body, again.body)
		}
		equal(t, "the length of the log", len(c.log(mailbox)), 1)
	}},
	{ID: "sending/reused", Text: "A number that was used for another command is refused.", check: func(t *trial) {
		c, mailbox := t.begin(), random()
		c.open(mailbox)
		c.add(mailbox, "one")
		c.numbered(1, http.MethodPost, "/v1/mailboxes/"+mailbox+"/messages", message("two")).refused("SEQ_REUSED", "stop")
		c.numbered(1, http.MethodDelete, "/v1/mailboxes/"+mailbox, nil).refused("SEQ_REUSED", "stop")
		equal(t, "the length of the log", len(c.log(mailbox)), 1)
	}},
	{ID: "sending/gap", Text: "A command that is too early is not done, and the one that is wanted is named.", check: func(t *trial) {
		c, mailbox := t.begin(), random()
		p := c.numbered(1, http.MethodPut, "/v1/mailboxes/"+mailbox, nil).refused("SEQ_GAP", "retry")
		if p.ExpectedSeq == nil || *p.ExpectedSeq != 0 {
			t.failf("SEQ_GAP does not name command 0: %s", p.Detail)
		}
		c.open(mailbox)
		c.ask(http.MethodGet, "/v1/mailboxes/"+mailbox, nil).ok(http.StatusOK)
	}},
	{ID: "sending/refusal-recorded", Text: "A refusal of what a command asks for uses its number, and is given again.", check: func(t *trial) {
		c, mailbox := t.begin(), random()
		path := "/v1/mailboxes/" + mailbox + "/messages"
		c.numbered(0, http.MethodPost, path, message("x")).refused("NOT_OPEN", "stop")
		a := c.numbered(0, http.MethodPost, path, message("x"))
		a.refused("NOT_OPEN", "stop")
		equal(t, "Replayed", a.header.Get("Replayed"), "true")
		c.numbered(1, http.MethodPut, "/v1/mailboxes/"+mailbox, nil).ok(http.StatusOK)
	}},
	{ID: "sending/malformed", Text: "A malformed command does not use its number.", check: func(t *trial) {
		c, mailbox := t.begin(), random()
		c.open(mailbox)
		c.numbered(1, http.MethodPost, "/v1/mailboxes/"+mailbox+"/messages", map[string]any{"phase": "p"}).refused("INVALID_REQUEST", "stop")
		equal(t, "the position", c.add(mailbox, "good"), 1)
	}},
	{ID: "sending/without", Text: "Without a number a request is simply done, each time.", check: func(t *trial) {
		c, mailbox := t.begin(), random()
		c.open(mailbox)
		for range 2 {
			c.ask(http.MethodPost, "/v1/mailboxes/"+mailbox+"/messages", message("same")).ok(http.StatusCreated)
		}
		equal(t, "the length of the log", len(c.log(mailbox)), 2)
	}},
	{ID: "sending/list", Text: "A list of messages is one command.", check: func(t *trial) {
		c, mailbox := t.begin(), random()
		c.open(mailbox)
		a := c.command(http.MethodPost, "/v1/mailboxes/"+mailbox+"/messages", []any{message("one"), message("two")}).ok(http.StatusCreated)
		positions := decode[struct{ Positions []int64 }](a).Positions
		if len(positions) != 2 || positions[0] != 1 || positions[1] != 2 {
			t.failf("the positions are %v, want 1 and 2", positions)
		}
		equal(t, "Ack", a.header.Get("Ack"), "2")
	}},
	{ID: "sending/list-whole", Text: "A list of messages with one that is malformed adds none.", check: func(t *trial) {
		c, mailbox := t.begin(), random()
		c.open(mailbox)
		c.command(http.MethodPost, "/v1/mailboxes/"+mailbox+"/messages", []any{message("one"), map[string]any{"phase": "p"}}).refused("INVALID_REQUEST", "stop")
		equal(t, "the length of the log", len(c.log(mailbox)), 0)
	}},
	{ID: "sending/idempotency-key", Text: "A request with an Idempotency-Key is done once.", check: func(t *trial) {
		c, mailbox, key := t.begin(), random(), random()
		c.open(mailbox)
		path := "/v1/mailboxes/" + mailbox + "/messages"
		first := c.ask(http.MethodPost, path, message("once"), "Idempotency-Key", key).ok(http.StatusCreated)
		again := c.ask(http.MethodPost, path, message("once"), "Idempotency-Key", key).ok(http.StatusCreated)
		equal(t, "the second reply", string(again.body), string(first.body))
		equal(t, "the length of the log", len(c.log(mailbox)), 1)
		c.ask(http.MethodPost, path, message("other"), "Idempotency-Key", key).refused("IDEMPOTENCY_KEY_REUSED", "stop")
	}},
	{ID: "sending/end-again", Text: "The request that ended a session may be repeated.", check: func(t *trial) {
		c := t.begin()
		c.open(random()) // it did something
		c.ask(http.MethodDelete, "/v1/session", nil).ok(http.StatusNoContent)
		c.ask(http.MethodDelete, "/v1/session", nil).ok(http.StatusNoContent)
		p := c.ask(http.MethodGet, "/v1/session", nil).refused("SESSION_ENDED", "restart")
		if p.Reason != "deleted" || p.NextExpectedSeq == nil || *p.NextExpectedSeq != c.next {
			t.failf("SESSION_ENDED says %q, and not that %d commands were received", p.Reason, c.next)
		}
	}},
	{ID: "sending/many", Text: "Sixty commands one after the other are numbered without a gap.", check: func(t *trial) {
		c, mailbox := t.begin(), random()
		c.open(mailbox)
		for i := range int64(60) {
			equal(t, "the position", c.add(mailbox, strconv.FormatInt(i, 10)), i+1)
		}
	}},
}
