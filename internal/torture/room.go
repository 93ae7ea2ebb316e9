package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// room is one conversation: two sides that meet, talk and part, and sometimes a third that is refused.
type room struct {
	w       *world
	h       *history
	name    string
	app     string
	dice    *dice
	sides   [2]side
	mailbox string
	plate   plate
	third   *client
}

// side is one of the two: a session or a wormhole client.
type side struct {
	*client
	wormhole *caller
}

func (s side) label() string {
	if s.wormhole != nil {
		return s.wormhole.label
	}
	return s.client.label
}

func newRoom(w *world, number int, also func(*history)) *room {
	r := &room{w: w, name: fmt.Sprintf("r%d", number), h: &history{clock: w.clock}, dice: newDice(w.cfg.Seed, fmt.Sprintf("room %d", number))}
	also(r.h)
	r.app = fmt.Sprintf("nemesis.example/%s/%d", w.nonce, r.dice.below(2))
	for i, name := range []string{"a", "b"} {
		d := newDice(w.cfg.Seed, r.name+name)
		label := r.name + name
		transport := pick(r.dice, w.cfg.Transport)
		if transport == Keyed && w.cfg.Life > 0 {
			transport = Poll // no session keeps the mailbox of two keyed sides through an outage
		}
		if transport == Wormhole {
			r.sides[i].wormhole = newCaller(w, r.h, label, r.app, d)
		} else {
			r.sides[i].client = newClient(w, r.h, label, r.app, transport, d)
		}
	}
	return r
}

// run plays the conversation to its end. What it returns is why it could not.
func (r *room) run(ctx context.Context, ending <-chan struct{}) error {
	for _, s := range r.sides {
		transport := Wormhole
		if s.wormhole == nil {
			if transport = s.way(); !s.keyed {
				r.w.sessions.Add(1)
			}
		}
		r.w.use(transport, 1)
		defer r.w.use(transport, -1)
	}
	defer func() {
		for _, s := range r.sides {
			if s.wormhole != nil {
				s.wormhole.hangUp()
			} else {
				s.over()
			}
		}
		if r.third != nil {
			r.third.over()
		}
	}()
	for _, step := range []func(context.Context) error{
		r.meet,
		func(ctx context.Context) error { return r.talk(ctx, ending) },
		r.lastWords, r.settle, r.part,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// both has both sides do something at once.
func (r *room) both(f func(side) error) error {
	var wg sync.WaitGroup
	var problems [2]error
	for i, s := range r.sides {
		wg.Go(func() { problems[i] = f(s) })
	}
	wg.Wait()
	for _, err := range problems {
		if err != nil {
			return err
		}
	}
	return nil
}

// meet has both sides find the same mailbox and open it.
func (r *room) meet(ctx context.Context) error {
	if err := r.both(func(s side) error {
		if s.wormhole != nil || s.keyed {
			return nil
		}
		return s.begin(ctx)
	}); err != nil {
		return err
	}
	r.w.apps.change(r.app, func(m *made) { m.mailboxes++ })
	if r.dice.chance(20) {
		r.mailbox = r.w.unique("agreed")
		return r.both(func(s side) error { return s.open(ctx, r.mailbox) })
	}
	r.w.apps.change(r.app, func(m *made) { m.nameplates++ })
	nameplate, mailbox, err := r.sides[0].allocate(ctx)
	if err != nil {
		return err
	}
	r.mailbox = mailbox
	r.plate = plate{app: r.app, nameplate: nameplate, mailbox: mailbox, room: r.name, from: r.h.now()}
	if r.mailbox == "" || r.dice.chance(30) { // a wormhole client is told by its claim only
		if r.mailbox, err = r.sides[0].claim(ctx, nameplate); err != nil {
			return err
		}
		r.plate.mailbox = r.mailbox
	}
	claimed, err := r.sides[1].claim(ctx, nameplate)
	if err != nil {
		return err
	}
	if claimed != r.mailbox {
		r.violate("a nameplate leads to one mailbox", fmt.Sprintf("nameplate %s led %s to %q and %s to %q", nameplate, r.sides[0].label(), r.mailbox, r.sides[1].label(), claimed))
		return errEnded
	}
	return r.both(func(s side) error { return s.open(ctx, r.mailbox) })
}

func (r *room) violate(rule, what string) {
	r.h.add(&Event{Kind: Note, Session: r.name, Seq: none, Ack: none, Wanted: none, Mailbox: r.mailbox, Wrong: rule + ": " + what})
}

// talk has both sides do random things for a while.
func (r *room) talk(ctx context.Context, ending <-chan struct{}) error {
	if r.dice.chance(30) {
		if err := r.intrude(ctx); err != nil {
			return err
		}
	}
	steps := 5 + r.dice.below(40)
	if r.w.cfg.Life > 0 && r.dice.chance(30) { // for so long that only signs of life keep the mailbox
		if err := pause(ctx, r.w.cfg.Life+r.w.cfg.Life/2); err != nil {
			return err
		}
	}
	return r.both(func(s side) error {
		for range steps {
			select {
			case <-ending:
				return nil
			default:
			}
			if err := r.move(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
}

// intruder ends the label of a third side.
const intruder = "c"

// intrude has a third side try to get in, which must fail while both are in.
func (r *room) intrude(ctx context.Context) error {
	r.third = newClient(r.w, r.h, r.name+intruder, r.app, Poll, newDice(r.w.cfg.Seed, r.name+intruder))
	r.w.sessions.Add(1)
	if err := r.third.begin(ctx); err != nil {
		return err
	}
	path := "/v1/mailboxes/" + r.mailbox
	if r.plate.nameplate != "" && r.dice.chance(50) {
		path = "/v1/nameplates/" + r.plate.nameplate
	}
	e, err := r.third.command(ctx, http.MethodPut, path, "")
	if err != nil {
		return err
	}
	if e.Code != "CROWDED" {
		r.violate("at most two sides", fmt.Sprintf("a third side was answered %d %s", e.Status, e.Code))
	}
	_, err = r.third.command(ctx, http.MethodDelete, "/v1/session?mood=errory", "")
	return err
}

// body is a text that is nowhere else.
func (r *room) body(label string) string {
	n := r.dice.below(200)
	if r.dice.chance(4) {
		n = 6000
	}
	padding := make([]byte, n)
	for i := range padding {
		padding[i] = "0123456789abcdef"[i%16]
	}
	return r.w.unique(label) + "-" + string(padding)
}

func draft(body string) string {
	text, _ := json.Marshal(map[string]string{"phase": "nemesis", "body": body}) //nolint:errchkjson // strings always work
	return string(text)
}

// settle waits until each side has received all there is, and reads the log.
func (r *room) settle(ctx context.Context) error {
	last, err := r.last(ctx)
	if err != nil {
		return err
	}
	return r.both(func(s side) error {
		if s.wormhole != nil {
			return s.wormhole.drained(ctx, last)
		}
		if s.keyed {
			return s.readUpTo(ctx, last)
		}
		return s.drained(ctx)
	})
}

// last reads the log to its end, with a session of the first side's if that has none, and returns the last position.
func (r *room) last(ctx context.Context) (int64, error) {
	reader := r.sides[0].client
	if reader == nil {
		reader = newClient(r.w, r.h, r.name+"reader", r.app, Poll, r.dice)
		reader.side = r.sides[0].wormhole.side
		if err := reader.begin(ctx); err != nil {
			return 0, err
		}
		defer func() {
			_, _ = reader.command(ctx, http.MethodDelete, "/v1/session", "") // if it fails, the history tells
			reader.over()
		}()
	}
	for after := int64(0); ; {
		e, err := reader.query(ctx, fmt.Sprintf("/v1/mailboxes/%s/messages?after=%d", r.mailbox, after))
		if err != nil {
			return 0, err
		}
		var page struct {
			Messages     []struct{ Position int64 } `json:"messages"`
			LastPosition int64                      `json:"lastPosition"`
		}
		if err := json.Unmarshal([]byte(e.Answer), &page); err != nil || e.Status != http.StatusOK {
			r.violate("nothing acknowledged is lost", fmt.Sprintf("the mailbox of two sides was answered %d %s", e.Status, e.Code))
			return 0, errEnded
		}
		if len(page.Messages) > 0 {
			after = page.Messages[len(page.Messages)-1].Position
		}
		if after >= page.LastPosition {
			r.note(reader.label, after, "read")
			return after, nil
		}
	}
}

// note tells what a client knows at the end: what it "read" of the log, or what it "drained" of frames.
func (r *room) note(label string, n int64, what string) {
	r.h.add(&Event{Kind: Note, Session: label, Seq: n, Ack: none, Wanted: none, Mailbox: r.mailbox, Sent: what})
}

// drained waits until the client has received every frame there is.
func (c *client) drained(ctx context.Context) error {
	e, err := c.query(ctx, "/v1/session")
	if err != nil {
		return err
	}
	var s struct {
		NextFrameSeq int64 `json:"nextFrameSeq"`
	}
	if err := json.Unmarshal([]byte(e.Answer), &s); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.w.cfg.Patience)
	defer cancel()
	for {
		c.mu.Lock()
		acked := c.acked
		c.mu.Unlock()
		if acked >= s.NextFrameSeq {
			c.h.add(&Event{Kind: Note, Session: c.label, Seq: s.NextFrameSeq, Ack: none, Wanted: none, Sent: "drained"})
			return nil
		}
		if pause(ctx, 10*time.Millisecond) != nil {
			return fmt.Errorf("%s: stuck: has frames below %d, and there are %d", c.label, acked, s.NextFrameSeq)
		}
	}
}
