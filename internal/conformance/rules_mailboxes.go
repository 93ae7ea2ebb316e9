package conformance

import "net/http"

var mailboxRules = []Rule{
	{ID: "mailboxes/log", Text: "Both sides read the same log, whose positions are dense and begin at 1.", check: func(t *trial) {
		a, b, mailbox := t.pair()
		for _, c := range []*client{a, b, a, b} {
			c.add(mailbox, "from "+c.side)
		}
		one, two := a.log(mailbox), b.log(mailbox)
		equal(t, "the length of the log", len(one), 4)
		for i := range one {
			equal(t, "the position", one[i].Position, int64(i+1))
			equal(t, "an entry", two[i], one[i])
		}
	}},
	{ID: "mailboxes/pages", Text: "The log is read in pages.", check: func(t *trial) {
		c, mailbox := t.begin(), random()
		c.open(mailbox)
		for _, body := range []string{"one", "two", "three"} {
			c.add(mailbox, body)
		}
		page := decode[struct {
			Messages     []logEntry
			LastPosition int64
		}](c.ask(http.MethodGet, "/v1/mailboxes/"+mailbox+"/messages?after=1&limit=1", nil).ok(http.StatusOK))
		if len(page.Messages) != 1 || page.Messages[0].Body != "two" || page.LastPosition != 3 {
			t.failf("the page after 1 is %+v", page)
		}
	}},
	{ID: "mailboxes/crowded", Text: "A mailbox has at most two sides; the third does not lock the others out.", check: func(t *trial) {
		a, b, mailbox := t.pair()
		c := t.begin()
		c.command(http.MethodPut, "/v1/mailboxes/"+mailbox, nil).refused("CROWDED", "stop")
		a.add(mailbox, "still here")
		equal(t, "the other side's frames", bodies(b.receive(1)), "message:still here ")
	}},
	{ID: "mailboxes/hidden", Text: "A mailbox is hidden from a side that is not in it.", check: func(t *trial) {
		a, c, mailbox := t.begin(), t.begin(), random()
		a.open(mailbox)
		for _, id := range []string{mailbox, random()} {
			c.ask(http.MethodGet, "/v1/mailboxes/"+id, nil).refused("NOT_FOUND", "stop")
			c.ask(http.MethodGet, "/v1/mailboxes/"+id+"/messages", nil).refused("NOT_FOUND", "stop")
		}
	}},
	{ID: "mailboxes/not-open", Text: "Adding needs an open mailbox.", check: func(t *trial) {
		c := t.begin()
		c.command(http.MethodPost, "/v1/mailboxes/"+random()+"/messages", message("x")).refused("NOT_OPEN", "stop")
	}},
	{ID: "mailboxes/after", Text: "Opening after a position that does not exist is refused.", check: func(t *trial) {
		c := t.begin()
		c.command(http.MethodPut, "/v1/mailboxes/"+random()+"?after=1", nil).refused("INVALID_REQUEST", "stop")
	}},
	{ID: "mailboxes/retired", Text: "A mailbox that all sides closed is gone: opened again, it is another one.", check: func(t *trial) {
		a, b, mailbox := t.pair()
		a.add(mailbox, "old")
		b.receive(1)
		for _, c := range []*client{a, b} {
			c.command(http.MethodDelete, "/v1/mailboxes/"+mailbox+"?mood=happy", nil).ok(http.StatusNoContent)
		}
		c := t.begin()
		opened := decode[struct{ LastPosition int64 }](c.open(mailbox))
		equal(t, "lastPosition", opened.LastPosition, 0)
	}},
	{ID: "mailboxes/close-nothing", Text: "Closing is answered 204 also when there was nothing to close.", check: func(t *trial) {
		c := t.begin()
		c.command(http.MethodDelete, "/v1/mailboxes/"+random(), nil).ok(http.StatusNoContent)
	}},
	{ID: "mailboxes/reopened", Text: "A side that closed a mailbox may enter it again.", check: func(t *trial) {
		a, b, mailbox := t.pair()
		a.add(mailbox, "one")
		a.command(http.MethodDelete, "/v1/mailboxes/"+mailbox, nil).ok(http.StatusNoContent)
		a.open(mailbox)
		equal(t, "the replay", bodies(a.receive(1)), "message:one ")
		equal(t, "the other side's frames", bodies(b.receive(3)), "message:one closed: opened: ")
	}},
	{ID: "mailboxes/end", Text: "Ending a session with a mood closes all that its side has open.", check: func(t *trial) {
		a, b, mailbox := t.pair()
		b.ask(http.MethodDelete, "/v1/session?mood=lonely", nil).ok(http.StatusNoContent)
		f := a.receive(1)[0]
		if f.Type != "closed" || f.Mood != "lonely" || f.Mailbox != mailbox {
			t.failf("the frame is %s", f.raw)
		}
	}},
}
