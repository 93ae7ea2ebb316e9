package rendezvous_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/session"
)

// player is a client that follows the protocol of sessions.
type player struct {
	*client
	is   *modelSession
	log  []order        // its commands by number, also those that got lost on their way
	told []string       // what the server answered the first time, and so how many were done
	seen [][]byte       // the frames by number, as they came the first time
	ack  int            // the frames below it are processed
	held <-chan outcome // a receive that is under way
}

// answer is the answer to a command.
type answer struct {
	text     string // the result, or the refusal's code
	claimed  rendezvous.Claimed
	wanted   session.Seq
	replayed bool
}

func answered[R any](t testing.TB, a rendezvous.Answer[R], err error) answer {
	is := answer{text: string(code(t, err)), wanted: a.Wanted, replayed: a.Replayed}
	switch result := any(a.Result).(type) {
	case rendezvous.Claimed:
		is.claimed = result
	case rendezvous.MailboxView: // sides that came in the same millisecond are in no order
		slices.SortFunc(result.Sides, func(a, b rendezvous.SideView) int { return strings.Compare(string(a.Side), string(b.Side)) })
	}
	if err == nil {
		is.text = text(a.Result)
	}
	return is
}

func text(result any) string {
	document, err := json.Marshal(result)
	if err != nil {
		panic(err)
	}
	return string(document)
}

// arrive is command n of a client coming to the server.
func (h *history) arrive(c *player, n int) answer {
	o, seq := c.log[n], session.Seq(n)
	command := rendezvous.Command{Session: c.key, Seq: &seq, Fingerprint: sha256.Sum256([]byte(text(o)))}
	if ack := session.Seq(c.ack); h.draw("acknowledges", 2) == 0 {
		command.Ack = &ack
	}
	ctx := h.t.Context()
	switch o.Do {
	case "allocate":
		a, err := h.Allocate(ctx, command, o.TTL)
		return answered(h.t, a, err)
	case "claim":
		a, err := h.Claim(ctx, command, o.Nameplate, o.TTL)
		return answered(h.t, a, err)
	case "release":
		a, err := h.Release(ctx, command, o.Nameplate)
		return answered(h.t, a, err)
	case "open":
		a, err := h.Open(ctx, command, o.Mailbox, rendezvous.OpenRequest{After: o.After, TTL: o.TTL})
		return answered(h.t, a, err)
	case "add":
		a, err := h.Add(ctx, command, o.Mailbox, rendezvous.Draft{Phase: "p", Body: o.Body})
		return answered(h.t, a, err)
	case "close":
		a, err := h.Close(ctx, command, o.Mailbox, o.Mood)
		return answered(h.t, a, err)
	}
	var mood *rendezvous.Mood
	if o.Mood != "" {
		mood = &o.Mood
	}
	a, err := h.End(ctx, command, mood)
	return answered(h.t, a, err)
}

// send sends command n, and checks that it is answered as the model says: executed the first time and
// never again.
func (h *history) send(c *player, n int) {
	o, done := c.log[n], len(c.told)
	got := h.arrive(c, n)
	want := answer{claimed: got.claimed, wanted: session.Seq(done)}
	switch {
	case c.is.end == session.Deleted && o.Do == "end":
		want.text = text(struct{}{})
		h.model.leave(c.is, o.Mood) // which an end without a mood did not
	case c.is.end != "":
		want.text, want.wanted = c.gone(), 0
	case n > done:
		want.text = string(rendezvous.SeqGap)
	case n < done-session.Window:
		want.text, want.replayed = string(rendezvous.ReplyForgotten), true
	case n < done:
		want.text, want.replayed = c.told[n], true
	default:
		result, refusal := h.model.do(c.is, o, got.claimed)
		if want.text = string(refusal); refusal == "" {
			want.text = text(result)
		}
		if refusal == rendezvous.InvalidRequest {
			c.log = slices.Delete(c.log, n, n+1) // its number is free again
			break
		}
		c.told, c.is.used = append(c.told, want.text), true
		want.wanted++
		h.hear(got.claimed)
	}
	if got != want {
		h.t.Fatalf("%s sent %d, %+v: it was answered %+v, not %+v", c.side, n, o, got, want)
	}
	h.settle()
	if n > done {
		h.catchUp(c)
	}
}

// catchUp sends what the server still wants, in order.
func (h *history) catchUp(c *player) {
	for c.is.end == "" && len(c.told) < len(c.log) {
		h.send(c, len(c.told))
	}
}

// gone is what the client of an ended session is told.
func (c *player) gone() string {
	if c.is.used {
		return string(rendezvous.SessionEnded)
	}
	return string(rendezvous.SessionUnknown)
}

// poll receives what there is.
func (h *history) poll(c *player) {
	ack, none := session.Seq(c.ack), time.Duration(0)
	got, err := h.Receive(h.t.Context(), rendezvous.ReceiveRequest{Session: c.key, Ack: &ack, Epoch: &c.epoch, Wait: &none})
	h.received(c, outcome{got: got, err: err})
}

// received handles an answer, if it reaches the client.
func (h *history) received(c *player, o outcome) {
	if c.is.end != "" {
		if got := string(code(h.t, o.err)); got != c.gone() {
			h.t.Fatalf("%s ended, and its receive was answered %q", c.side, got)
		}
		return
	}
	h.must(o.err)
	if due := min(c.is.next-c.ack, h.Config.Limits.AnswerFrames); len(o.got.Frames) != due {
		h.t.Fatalf("%s was sent %d frames; %d are due", c.side, len(o.got.Frames), due)
	}
	if wanted := int(o.got.Wanted); wanted != len(c.told) && !(h.draining && wanted < len(c.told)) {
		h.t.Fatalf("%s is told that command %d is wanted, after %d", c.side, o.got.Wanted, len(c.told))
	}
	h.see(c, o.got)
	c.ack += h.draw("processed", len(o.got.Frames)+1) // or the answer was lost on its way back
}

// see checks that the frames from c.ack on are those that are due, or the same as before if the client
// has had them.
func (h *history) see(c *player, got rendezvous.Delivery) {
	for i, f := range frames(h.t, got) {
		n, due := c.ack+i, c.is.due[f.Mailbox]
		switch {
		case int(f.Seq) != n:
			h.t.Fatalf("%s was sent frame %d in place of %d", c.side, f.Seq, n)
		case n < len(c.seen):
			if !bytes.Equal(got.Frames[i], c.seen[n]) {
				h.t.Fatalf("%s was sent %s, and before %s", c.side, got.Frames[i], c.seen[n])
			}
			continue
		}
		if f.Seq = 0; len(due) == 0 || f != due[0] {
			h.t.Fatalf("%s was sent %+v; due is %+v", c.side, f, due)
		}
		c.seen, c.is.due[f.Mailbox] = append(c.seen, got.Frames[i]), due[1:]
	}
}

// begin begins a session, which replaces another if one is named.
func (h *history) begin(side rendezvous.Side, replaces *player) *player {
	c := &player{client: &client{w: h.world, id: newID(), app: app, side: side}}
	c.is = &modelSession{side: side, reads: map[*modelMailbox]bool{}, due: map[string][]frame{}}
	c.key = c.id.Key()
	shake := rendezvous.Handshake{ID: c.id, App: app, Side: side}
	if h.draw("with a long grace", 4) == 0 {
		shake.Grace, c.is.grace = ages, ages
	}
	if replaces != nil {
		shake.Replaces = &replaces.id
		c.is.used = replaces.is.end == "" || replaces.is.used && replaces.side == side
		replaces.is.over(session.Replaced)
	}
	welcome, err := h.Handshake(h.t.Context(), shake)
	h.must(err)
	c.epoch = welcome.Epoch
	h.model.sessions = append(h.model.sessions, c.is)
	return c
}

// startOver makes a client begin again: with or without replacing its session, as the same side or
// another.
func (h *history) startOver(c *player) {
	replaces, side := c, h.side()
	if h.draw("as the same side", 4) > 0 {
		side = c.side
	} else if h.draw("on its own", 2) > 0 {
		replaces = nil
	}
	if side == c.side && (c.is.end == "" || c.is.used) {
		_, err := h.Handshake(h.t.Context(), rendezvous.Handshake{ID: newID(), App: app, Side: side})
		h.same("a peer that would become "+string(side), code(h.t, err), rendezvous.SideTaken)
	}
	held := c.held
	next := h.begin(side, replaces)
	h.players[slices.Index(h.players, c)] = next
	if held != nil && replaces != nil { // it ends with the session
		h.received(c, <-held)
	}
}

// resume is a client that comes back, and sends again what it does not know to be executed.
func (h *history) resume(c *player) {
	again := h.draw("commands again", len(c.told)+1)
	welcome, err := h.Handshake(h.t.Context(), rendezvous.Handshake{ID: c.id, App: app, Side: c.side, NextExpected: session.Seq(c.ack), NextSent: session.Seq(len(c.told) - again)})
	switch {
	case c.is.end != "" && c.is.used:
		h.same("resuming what ended", code(h.t, err), rendezvous.SessionStateMismatch)
		return
	case c.is.end != "": // nothing is known of it: it begins anew
		c.is = &modelSession{side: c.side, reads: map[*modelMailbox]bool{}, due: map[string][]frame{}}
		h.model.sessions = append(h.model.sessions, c.is)
		c.log, c.epoch = nil, 0
	}
	h.must(err)
	c.epoch++
	h.same("the epoch", welcome.Epoch, c.epoch)
	h.same("the command wanted", int(welcome.Wanted), len(c.told))
	h.same("the first frame that comes again", int(welcome.Kept), c.ack)
	for n := len(c.told) - again; n < len(c.told); n++ {
		h.send(c, n)
	}
	h.catchUp(c)
}
