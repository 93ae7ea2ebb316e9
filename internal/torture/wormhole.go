package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// caller is a client of the wormhole protocol: one side, over any number of connections.
type caller struct {
	w                *world
	h                *history
	label, app, side string
	dice             *dice

	mu      sync.Mutex
	line    *line
	mailbox string // the one that it has open, or is to open again on the next connection
	heard   map[string]bool
	most    int64 // messages on one connection
	news    chan struct{}
}

// line is one connection.
type line struct {
	conn    *websocket.Conn
	number  string
	began   time.Duration
	writing sync.Mutex
	mu      sync.Mutex
	acks    map[string]int
	replies chan spoken
	closed  chan struct{}
	index   int64
}

// spoken is what the server says.
type spoken struct {
	Type      string          `json:"type"`
	ID        *string         `json:"id"`
	Nameplate string          `json:"nameplate"`
	Mailbox   string          `json:"mailbox"`
	Side      string          `json:"side"`
	Phase     string          `json:"phase"`
	Body      string          `json:"body"`
	Error     string          `json:"error"`
	Orig      json.RawMessage `json:"orig"`
	raw       string
}

func newCaller(w *world, h *history, label, app string, d *dice) *caller {
	return &caller{w: w, h: h, label: label, app: app, side: w.unique("w"), dice: d, heard: map[string]bool{}, news: make(chan struct{}, 1)}
}

// dial connects, binds, and opens again what was open.
func (c *caller) dial(ctx context.Context) (*line, error) {
	c.mu.Lock()
	l, mailbox := c.line, c.mailbox
	c.mu.Unlock()
	if l != nil {
		select {
		case <-l.closed:
		default:
			return l, nil
		}
	}
	dialer := websocket.Dialer{HandshakeTimeout: 5 * time.Second}
	address := pick(c.dice, c.w.servers).proxies[Wormhole].address()
	conn, response, err := dialer.DialContext(ctx, "ws://"+address+"/v1", nil)
	if response != nil {
		_ = response.Body.Close()
	}
	if err != nil {
		return nil, err
	}
	l = &line{conn: conn, number: c.w.unique("line"), began: c.h.now(), acks: map[string]int{}, replies: make(chan spoken, 64), closed: make(chan struct{})}
	go c.read(l)
	c.mu.Lock()
	c.line = l
	c.mu.Unlock()
	bind := map[string]any{"type": "bind", "appid": c.app, "side": c.side, "client_version": []string{"nemesis", "1"}}
	if _, err := c.say(ctx, l, bind, ""); err != nil {
		return nil, err
	}
	if mailbox != "" {
		if _, err := c.say(ctx, l, map[string]any{"type": "open", "mailbox": mailbox}, ""); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (c *caller) read(l *line) {
	defer close(l.closed)
	defer l.conn.Close() //nolint:errcheck // there is nothing to lose
	for {
		_, raw, err := l.conn.ReadMessage()
		if err != nil {
			return
		}
		s := spoken{raw: string(raw)}
		if err := json.Unmarshal(raw, &s); err != nil {
			c.h.add(c.event(l, Message, none, "", "this is no JSON: "+string(raw)))
			continue
		}
		switch s.Type {
		case "welcome", "pong":
		case "ack":
			l.mu.Lock()
			if s.ID != nil {
				l.acks[*s.ID]++
			}
			l.mu.Unlock()
		case "message":
			c.message(l, s)
		case "error":
			if s.noticed() {
				c.h.add(c.event(l, Notice, none, s.raw, ""))
				break
			}
			l.answer(s)
		default:
			l.answer(s)
		}
		c.wake()
	}
}

// answer hands a reply to what waits for one.
func (l *line) answer(s spoken) {
	select {
	case l.replies <- s:
	default:
	}
}

// noticed tells whether an error is the notice that a third side was refused, as docs/wormhole.md has it: it names the open of a
// client that is in. A client that is refused itself reads no message from then on, and is found by that.
func (s spoken) noticed() bool {
	var to struct{ Type string }
	return s.Error == "crowded" && json.Unmarshal(s.Orig, &to) == nil && to.Type == "open"
}

func (c *caller) wake() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

func (c *caller) event(l *line, kind Kind, seq int64, answer, wrong string) *Event {
	return &Event{
		Kind: kind, At: l.began, Session: c.label, Transport: Wormhole, Path: l.number, Seq: seq, Ack: none, Wanted: none, Answer: answer, Wrong: wrong,
	}
}

// message takes a message in: the n-th on its connection is the n-th of the mailbox.
func (c *caller) message(l *line, s spoken) {
	l.index++
	c.mu.Lock()
	mailbox := c.mailbox
	c.heard[s.Body] = true
	c.most = max(c.most, l.index)
	c.mu.Unlock()
	e := c.event(l, Message, l.index, s.raw, "")
	e.Mailbox = mailbox
	c.h.add(e)
}

// say sends a message on a connection and waits for its acknowledgement, and for a reply if it is to have one.
func (c *caller) say(ctx context.Context, l *line, message map[string]any, want string) (spoken, error) {
	id := c.w.unique("m")
	message["id"] = id
	e := &Event{Kind: Said, At: c.h.now(), Session: c.label, Transport: Wormhole, Path: l.number, Seq: none, Ack: none, Wanted: none}
	text, err := json.Marshal(message)
	if err != nil {
		return spoken{}, err
	}
	e.Sent = string(text)
	e.Mailbox, _ = message["mailbox"].(string) // most have none
	defer c.h.add(e)
	l.writing.Lock()
	_ = l.conn.SetWriteDeadline(time.Now().Add(5 * time.Second)) // the write fails then
	err = l.conn.WriteMessage(websocket.TextMessage, text)
	l.writing.Unlock()
	if err != nil {
		return spoken{}, err
	}
	deadline := time.NewTimer(5 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		l.mu.Lock()
		acks := l.acks[id]
		l.mu.Unlock()
		if acks > 1 {
			e.Wrong = "acknowledged twice"
		}
		if acks > 0 && want == "" {
			e.Answer = "ack"
			return spoken{}, nil
		}
		select {
		case s := <-l.replies:
			e.Answer = s.raw
			if acks == 0 {
				l.mu.Lock()
				acks = l.acks[id]
				l.mu.Unlock()
				if acks == 0 {
					e.Wrong = "the reply came before the acknowledgement"
				}
			}
			if s.Type == "error" || s.Type == want {
				return s, nil
			}
			e.Wrong = fmt.Sprintf("the reply is %q, want %q", s.Type, want)
		case <-tick.C:
		case <-l.closed:
			return spoken{}, errEnded
		case <-deadline.C:
			_ = l.conn.Close()
			return spoken{}, errNoAnswer
		case <-ctx.Done():
			return spoken{}, ctx.Err()
		}
	}
}

// do says something, on as many connections as it takes. Errors that clients are to try again are tried again.
func (c *caller) do(ctx context.Context, message map[string]any, want string) (spoken, error) {
	ctx, cancel := context.WithTimeout(ctx, c.w.cfg.Patience)
	defer cancel()
	for {
		l, err := c.dial(ctx)
		if err == nil {
			var s spoken
			s, err = c.say(ctx, l, message, want)
			switch {
			case err != nil:
				c.uncertain(message)
			case s.Type != "error" || s.Error == "crowded" || s.Error == "reclaimed":
				return s, nil
			default:
				_ = l.conn.Close() // on another connection it is to work
			}
		}
		if pause(ctx, c.dice.between(time.Millisecond, 80*time.Millisecond)) != nil {
			return spoken{}, fmt.Errorf("%s: stuck at %v: %w", c.label, message["type"], err)
		}
	}
}

// uncertain notes that a nameplate may have been allocated that the client never heard of.
func (c *caller) uncertain(message map[string]any) {
	if message["type"] == "allocate" {
		c.w.apps.maybe(c.app)
	}
}

// add adds a message and waits until it comes back. Each try has a body of its own.
func (c *caller) add(ctx context.Context, body func() string) error {
	ctx, cancel := context.WithTimeout(ctx, c.w.cfg.Patience)
	defer cancel()
	for {
		text := body()
		l, err := c.dial(ctx)
		if err == nil {
			_, err = c.say(ctx, l, map[string]any{"type": "add", "phase": "nemesis", "body": text}, "")
		}
		for limit := time.Now().Add(5 * time.Second); err == nil && time.Now().Before(limit); {
			c.mu.Lock()
			heard := c.heard[text]
			c.mu.Unlock()
			if heard {
				return nil
			}
			select {
			case <-c.news:
			case <-time.After(20 * time.Millisecond):
			case <-l.closed:
				err = errEnded
			}
		}
		if l != nil {
			_ = l.conn.Close() // what it has not heard, it reads on the next one
		}
		if pause(ctx, c.dice.between(time.Millisecond, 80*time.Millisecond)) != nil {
			return fmt.Errorf("%s: stuck at add: %w", c.label, errNoAnswer)
		}
	}
}

// drained waits until it has read a log of so many messages.
func (c *caller) drained(ctx context.Context, last int64) error {
	ctx, cancel := context.WithTimeout(ctx, c.w.cfg.Patience)
	defer cancel()
	for {
		c.mu.Lock()
		most := c.most
		c.mu.Unlock()
		if most >= last {
			return nil
		}
		if _, err := c.dial(ctx); err != nil {
			_ = pause(ctx, 20*time.Millisecond)
		}
		select {
		case <-c.news:
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s: heard %d messages of %d", c.label, most, last)
		}
	}
}

func (c *caller) hangUp() {
	c.mu.Lock()
	l := c.line
	c.mu.Unlock()
	if l != nil {
		_ = l.conn.Close()
		<-l.closed
	}
}
