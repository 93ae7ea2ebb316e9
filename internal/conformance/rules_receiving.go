package conformance

import (
	"fmt"
	"net/http"
	"time"
)

var receivingRules = []Rule{
	{ID: "receiving/heartbeat", Text: "A receive without frames is answered with an empty list, a heartbeat.", check: func(t *trial) {
		c := t.begin()
		a := c.ask(http.MethodGet, c.events("&wait=0"), nil).ok(http.StatusOK)
		equal(t, "frames", len(c.frames(a)), 0)
		if got := decode[received](a); !got.Heartbeat || got.NextWaitMs <= 0 {
			t.failf("the heartbeat is %s", a.body)
		}
	}},
	{ID: "receiving/held", Text: "A receive is held for as long as the client asks.", check: func(t *trial) {
		c := t.begin()
		for _, how := range []struct{ query, prefer string }{{"&wait=1", ""}, {"", "wait=1"}} {
			began := time.Now()
			c.ask(http.MethodGet, c.events(how.query), nil, "Prefer", how.prefer).ok(http.StatusOK)
			if took := time.Since(began); took < 900*time.Millisecond {
				t.failf("it is answered after %v, want a second", took)
			}
		}
	}},
	{ID: "receiving/woken", Text: "A receive that is held is answered when a message is added.", check: func(t *trial) {
		a, b, mailbox := t.pair()
		got := make(chan any, 1)
		go func() {
			defer func() { got <- recover() }()
			if f := a.receive(1)[0]; f.Body != "wake up" || f.Side != b.side || f.Position != 1 || f.Phase != "p" {
				t.failf("the frame is %s", f.raw)
			}
		}()
		b.add(mailbox, "wake up")
		if failed := <-got; failed != nil {
			panic(failed)
		}
	}},
	{ID: "receiving/again", Text: "The same ack gives the same frames, byte for byte.", check: func(t *trial) {
		a, b, mailbox := t.pair()
		b.add(mailbox, "one")
		b.add(mailbox, "two \u2028 <&> \U0001f600")
		first, again := a.look(), a.look()
		equal(t, "the number of frames", len(first), 2)
		for i := range first {
			equal(t, fmt.Sprintf("frame %d", i), again[i].raw, first[i].raw)
		}
		equal(t, "the body", first[1].Body, "two \u2028 <&> \U0001f600")
	}},
	{ID: "receiving/forgotten", Text: "Frames that are acknowledged do not come again.", check: func(t *trial) {
		a, b, mailbox := t.pair()
		b.add(mailbox, "one")
		a.receive(1)
		equal(t, "frames", len(a.look()), 0)
		a.ask(http.MethodPost, "/v1/session/ack", map[string]int64{"ack": a.wanted - 1}).ok(http.StatusOK) // less changes nothing
		equal(t, "frames", len(a.look()), 0)
	}},
	{ID: "receiving/own", Text: "A session is not sent what it did itself.", check: func(t *trial) {
		a, _, mailbox := t.pair()
		a.add(mailbox, "mine")
		equal(t, "frames", bodies(a.look()), "")
	}},
	{ID: "receiving/replay", Text: "Opening replays the log from a position on.", check: func(t *trial) {
		a, b, mailbox := t.begin(), t.begin(), random()
		a.open(mailbox)
		for _, body := range []string{"one", "two", "three"} {
			a.add(mailbox, body)
		}
		b.command(http.MethodPut, "/v1/mailboxes/"+mailbox+"?after=1", nil).ok(http.StatusOK)
		equal(t, "the replay", bodies(b.receive(2)), "message:two message:three ")
		b.open(mailbox) // is open already
		equal(t, "the replay of what is open", bodies(b.look()), "")
	}},
	{ID: "receiving/closed", Text: "The other side is told who closes, with the mood; the retirement is the last frame of a mailbox.", check: func(t *trial) {
		a, b, mailbox := t.pair()
		b.add(mailbox, "last words")
		b.command(http.MethodDelete, "/v1/mailboxes/"+mailbox+"?mood=scary", nil).ok(http.StatusNoContent)
		got := a.receive(2)
		equal(t, "the frames", bodies(got), "message:last words closed: ")
		equal(t, "the mood", got[1].Mood, "scary")
		c := t.begin()
		c.command(http.MethodPut, "/v1/mailboxes/"+mailbox, nil).refused("CROWDED", "stop")
	}},
	{ID: "receiving/ahead", Text: "An ack of frames that were never sent is refused.", check: func(t *trial) {
		c := t.begin()
		c.wanted = 7
		c.ask(http.MethodGet, c.events("&wait=0"), nil).refused("SESSION_STATE_MISMATCH", "restart")
		c.ask(http.MethodPost, "/v1/session/ack", map[string]int64{"ack": 7}).refused("SESSION_STATE_MISMATCH", "restart")
	}},
	{ID: "receiving/superseded", Text: "A receive of an older epoch is told to stop.", check: func(t *trial) {
		c := t.begin()
		old := c.events("&wait=0")
		c.resume()
		c.ask(http.MethodGet, old, nil).refused("SUPERSEDED", "stop")
		c.epoch += 5
		c.ask(http.MethodGet, c.events("&wait=0"), nil).refused("SESSION_STATE_MISMATCH", "restart")
	}},
	{ID: "receiving/one", Text: "Within an epoch the later receive wins, and the earlier is told to slow down.", check: func(t *trial) {
		c := t.begin()
		got := make(chan any, 1)
		go func() {
			defer func() { got <- recover() }()
			c.ask(http.MethodGet, c.events("&wait=20"), nil).refused("SUPERSEDED", "slow_down")
		}()
		for {
			c.ask(http.MethodGet, c.events("&wait=1"), nil) // either may be the later one
			select {
			case failed := <-got:
				if failed != nil {
					panic(failed)
				}
				return
			case <-t.ctx.Done():
				t.failf("both receives are held")
			default:
			}
		}
	}},
	{ID: "receiving/header", Text: "Any request may carry the client's ack as a header.", check: func(t *trial) {
		a, b, mailbox := t.pair()
		b.add(mailbox, "one")
		n := a.wanted
		a.receive(1)
		a.ask(http.MethodGet, "/v1/session", nil, "Ack", fmt.Sprint(a.wanted)).ok(http.StatusOK)
		a.wanted = n
		equal(t, "frames", len(a.framesFrom(a.wanted+1)), 0)
	}},
}

// framesFrom looks for frames and acknowledges nothing.
func (c *client) framesFrom(wanted int64) []frame {
	c.wanted = wanted
	return c.frames(c.ask(http.MethodGet, "/v1/session/events?wait=0", nil).ok(http.StatusOK))
}
