package conformance

import "net/http"

var handshakeRules = []Rule{
	{ID: "handshake/begin", Text: "Two counters of 0 begin a session, with epoch 1.", check: func(t *trial) {
		w := decode[handshakeReply](t.shake(t.hello(random(), random())).ok(http.StatusCreated))
		equal(t, "epoch", w.Epoch, 1)
		equal(t, "resumed", w.Resumed, false)
		equal(t, "nextExpectedSeq", w.NextExpectedSeq, 0)
		equal(t, "nextSentSeq", w.NextSentSeq, 0)
		if w.NextWaitMs <= 0 || w.NextWaitMs > w.HeartbeatIntervalMs {
			t.failf("nextWaitMs is %d, and heartbeatIntervalMs %d", w.NextWaitMs, w.HeartbeatIntervalMs)
		}
	}},
	{ID: "handshake/minted", Text: "The server mints the session id and the side if they are left out.", check: func(t *trial) {
		w := decode[handshakeReply](t.shake(with(with(t.hello("", ""), "sessionId", nil), "side", nil)).ok(http.StatusCreated))
		other := decode[handshakeReply](t.shake(with(with(t.hello("", ""), "sessionId", nil), "side", nil)).ok(http.StatusCreated))
		if w.SessionID == other.SessionID || w.Side == other.Side {
			t.failf("two sessions have the id %s and %s, and the side %s and %s", w.SessionID, other.SessionID, w.Side, other.Side)
		}
	}},
	{ID: "handshake/again", Text: "A handshake whose reply was lost may be sent again.", check: func(t *trial) {
		hello := t.hello(random(), random())
		t.shake(hello).ok(http.StatusCreated)
		w := decode[handshakeReply](t.shake(hello).ok(http.StatusOK))
		equal(t, "resumed", w.Resumed, true)
		equal(t, "epoch", w.Epoch, 2)
	}},
	{ID: "handshake/resume", Text: "A session resumes in one round trip, with both counters, and acknowledges frames by it.", check: func(t *trial) {
		a, b, mailbox := t.pair()
		b.add(mailbox, "one")
		a.receive(1)
		w := a.resume()
		equal(t, "nextExpectedSeq", w.NextExpectedSeq, a.next)
		equal(t, "nextSentSeq", w.NextSentSeq, a.wanted)
		a.wanted--
		t.shake(with(t.hello(a.id, a.side), "expectedSessionState", counters(a.wanted, a.next))).refused("SESSION_STATE_MISMATCH", "restart")
	}},
	{ID: "handshake/client-ahead", Text: "A client that has sent commands which the server never saw is told to start over.", check: func(t *trial) {
		c := t.begin()
		t.shake(with(t.hello(c.id, c.side), "expectedSessionState", counters(0, 5))).refused("SESSION_STATE_MISMATCH", "restart")
	}},
	{ID: "handshake/frames-ahead", Text: "A client that expects frames beyond those ever sent is told to start over.", check: func(t *trial) {
		c := t.begin()
		t.shake(with(t.hello(c.id, c.side), "expectedSessionState", counters(5, 0))).refused("SESSION_STATE_MISMATCH", "restart")
	}},
	{ID: "handshake/unknown", Text: "A counter above 0 does not begin a session.", check: func(t *trial) {
		t.shake(with(t.hello(random(), random()), "expectedSessionState", counters(0, 1))).refused("SESSION_STATE_MISMATCH", "restart")
		t.shake(with(t.hello(random(), random()), "expectedSessionState", counters(1, 0))).refused("SESSION_STATE_MISMATCH", "restart")
	}},
	{ID: "handshake/identity", Text: "A session has one side, of one app.", check: func(t *trial) {
		c := t.begin()
		t.shake(t.hello(c.id, random())).refused("SESSION_IDENTITY_MISMATCH", "stop")
		t.shake(with(t.hello(c.id, c.side), "appId", t.app+"/other")).refused("SESSION_IDENTITY_MISMATCH", "stop")
	}},
	{ID: "handshake/side-taken", Text: "Another session cannot take a side that a session has.", check: func(t *trial) {
		c := t.begin()
		t.shake(t.hello(random(), c.side)).refused("SIDE_TAKEN", "stop")
	}},
	{ID: "handshake/replaces", Text: "A session may replace another: it takes the side over, and the other one is over.", check: func(t *trial) {
		c := t.begin()
		c.open(random()) // it did something
		w := decode[handshakeReply](t.shake(with(with(t.hello(random(), ""), "side", nil), "replaces", c.id)).ok(http.StatusCreated))
		equal(t, "the side of the new session", w.Side, c.side)
		p := c.ask(http.MethodGet, "/v1/session", nil).refused("SESSION_ENDED", "restart")
		equal(t, "the reason", p.Reason, "replaced")
	}},
	{ID: "handshake/replaces-itself", Text: "A session cannot replace itself.", check: func(t *trial) {
		id := random()
		t.shake(with(t.hello(id, random()), "replaces", id)).refused("MALFORMED_HANDSHAKE", "stop")
	}},
	{ID: "handshake/version", Text: "Another version of the protocol is refused as that.", check: func(t *trial) {
		t.shake(with(t.hello(random(), random()), "protocolVersion", "999")).refused("PROTOCOL_VERSION_MISMATCH", "stop")
	}},
	{ID: "handshake/malformed", Text: "A malformed handshake changes nothing.", check: func(t *trial) {
		hello := t.hello(random(), random())
		t.shake(with(hello, "expectedSessionState", nil)).refused("MALFORMED_HANDSHAKE", "stop")
		t.shake(with(hello, "expectedSessionState", counters(-1, 0))).refused("MALFORMED_HANDSHAKE", "stop")
		t.shake(hello).ok(http.StatusCreated)
	}},
}

// pair begins two sessions that have the same mailbox open, and have received what there is.
func (t *trial) pair() (a, b *client, mailbox string) {
	mailbox = random()
	a, b = t.begin(), t.begin()
	a.open(mailbox)
	b.open(mailbox)
	if f := a.receive(1)[0]; f.Type != "opened" || f.Side != b.side || f.Mailbox != mailbox {
		t.failf("the other side opens the mailbox, and the frame is %s", f.raw)
	}
	return a, b, mailbox
}
