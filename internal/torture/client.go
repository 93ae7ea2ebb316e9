package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// client is one session, on any transport.
type client struct {
	w                    *world
	h                    *history
	label, app, side, id string
	dice                 *dice
	keyed                bool // it has no session: its id is its secret
	http                 *http.Client
	stop                 context.CancelFunc // ends what receives
	receiving            sync.WaitGroup

	mu        sync.Mutex
	transport string
	epoch     int64
	next      int64          // the number of the next command
	pending   map[int64]bool // commands that have no final answer yet
	acked     int64          // the next frame wanted
	loose     int64          // the highest acknowledgement that may still be under way
	socket    *socket        // the open session socket, if there is one
	conns     int64
	mailbox   string        // that a keyed client reads
	read      int64         // how far it has read
	loosely   time.Duration // until when a request of it that enters a mailbox may still arrive
	ended     bool
	frozen    int // above 0: what arrives counts as not received, because the client says where it stands

	// acking is held for reading by requests that acknowledge without naming an epoch and by handshakes, and for
	// writing by a tab that goes back: it must not be overtaken by what the client said before.
	acking sync.RWMutex
}

func newClient(w *world, h *history, label, app, transport string, d *dice) *client {
	return &client{
		w: w, h: h, label: label, app: app, transport: transport, dice: d,
		side: w.unique("s"), id: w.unique("session-of-the-nemesis"), keyed: transport == Keyed,
		pending: map[int64]bool{},
		http:    &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4, DisableCompression: true, DisableKeepAlives: d.chance(50)}},
		stop:    func() {},
	}
}

// way is the transport that the client uses now.
func (c *client) way() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.transport
}

// wants is the next frame that the client wants, as it is about to tell the server.
func (c *client) wants() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acked
}

// sent notes an acknowledgement that was not answered: it may arrive at any time, or have arrived.
func (c *client) sent(e *Event) {
	if e.Status == 0 {
		c.mu.Lock()
		c.loose = max(c.loose, e.Ack)
		c.mu.Unlock()
	}
}

// hurry is how long an attempt may take: now and then too short, so that requests are repeated while
// they are under way.
func (c *client) hurry() time.Duration {
	if c.dice.chance(5) {
		return c.dice.between(5*time.Millisecond, 200*time.Millisecond)
	}
	return 5 * time.Second
}

// handshake says once where the client stands, which is where it goes on from if it is accepted: at a frame, or
// at the next one that it has not received.
func (c *client) handshake(ctx context.Context, wants int64, going bool) *Event {
	c.mu.Lock()
	oldest := c.next
	for seq := range c.pending {
		oldest = min(oldest, seq)
	}
	known := c.epoch
	c.frozen++
	if going {
		wants = c.acked
	}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.frozen--
		c.mu.Unlock()
	}()
	body := map[string]any{
		"protocolVersion": "1", "sessionId": c.id, "appId": c.app, "side": c.side,
		"expectedSessionState": map[string]int64{"nextExpectedSeq": wants, "nextSentSeq": oldest},
	}
	if known > 0 {
		body["epoch"] = known
	}
	text, err := json.Marshal(body)
	if err != nil {
		return &Event{Wrong: err.Error()}
	}
	e := c.attempt(ctx, call{method: http.MethodPost, path: "/v1/sessions", seq: none, ack: wants, body: string(text), within: c.hurry()})
	c.sent(e)
	if e.Status != http.StatusOK && e.Status != http.StatusCreated {
		return e
	}
	var reply struct {
		Epoch           int64 `json:"epoch"`
		NextExpectedSeq int64 `json:"nextExpectedSeq"`
		NextSentSeq     int64 `json:"nextSentSeq"`
	}
	if err := json.Unmarshal([]byte(e.Answer), &reply); err != nil {
		e.Wrong = err.Error()
	}
	e.Wanted = reply.NextExpectedSeq
	if reply.NextSentSeq != wants {
		e.Wrong = fmt.Sprintf("the client wants frame %d next, the server will send %d", wants, reply.NextSentSeq)
	}
	c.mu.Lock()
	if reply.Epoch > c.epoch {
		c.epoch, c.acked = reply.Epoch, wants
	}
	c.mu.Unlock()
	return e
}

// begin begins the session, now and then with two copies of the handshake at once, and then receives.
func (c *client) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.w.cfg.Patience)
	defer cancel()
	for {
		copies := 1
		if c.dice.chance(30) && !slices.Contains(c.w.cfg.Without, "twin") {
			copies = 2
		}
		answers := make([]*Event, copies)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() { answers[i] = c.handshake(ctx, 0, false) })
		}
		wg.Wait()
		for _, e := range answers {
			if e.Status == http.StatusOK || e.Status == http.StatusCreated {
				c.listen()
				return nil
			}
		}
		if err := c.again(ctx, answers[0]); err != nil {
			return err
		}
	}
}

// resume says where the client stands until it is accepted.
func (c *client) resume(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.w.cfg.Patience)
	defer cancel()
	for {
		c.acking.RLock() // a handshake acknowledges, too
		e := c.handshake(ctx, 0, true)
		c.acking.RUnlock()
		if e.Status == http.StatusOK {
			return nil
		}
		if e.Code == "SESSION_STATE_MISMATCH" && c.wants() > e.Ack {
			continue // meanwhile the client received more, and said so
		}
		if err := c.again(ctx, e); err != nil {
			return err
		}
	}
}

// tab is a second tab with an older copy of the client's state. If the server accepts what it wants, the
// client goes on from there; frames come again then. Otherwise the client says where it really stands.
func (c *client) tab(ctx context.Context) error {
	c.acking.Lock()
	c.mu.Lock()
	acked, loose := c.acked, c.loose
	c.mu.Unlock()
	older := max(loose, acked-int64(c.dice.below(int(min(acked, 4))+1)))
	if slices.Contains(c.w.cfg.Without, "tab") {
		older = acked
	}
	if older > acked {
		c.acking.Unlock()
		return nil
	}
	e := c.handshake(ctx, older, false)
	c.acking.Unlock()
	if e.Status == http.StatusOK {
		return nil
	}
	return c.resume(ctx)
}

// errEnded tells that the session is over, against the rules or not.
var errEnded = errors.New("the session is over")

// again waits before the same is tried again, or returns why it must not be.
func (c *client) again(ctx context.Context, e *Event) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: stuck at %s %s: the last answer was %d %s", c.label, e.Method, e.Path, e.Status, e.Code)
	}
	if e.Status >= 400 {
		switch action := actionOf(e.Answer); action {
		case "retry", "slow_down", "rehandshake":
		default:
			return fmt.Errorf("%s: %s %s: %d %s: %w", c.label, e.Method, e.Path, e.Status, e.Code, errEnded)
		}
	}
	_ = pause(ctx, c.dice.between(time.Millisecond, 80*time.Millisecond)) // the next call tells
	return nil
}

// final tells whether an answer to a command is its last one.
func final(e *Event) bool {
	return e.Status >= 200 && e.Status < 300 || slices.Contains([]string{"CROWDED", "RECLAIMED", "NOT_OPEN"}, e.Code)
}

// number takes the next n numbers of commands.
func (c *client) number(n int64) (first int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first = c.next
	c.next += n
	for seq := first; seq < c.next; seq++ {
		c.pending[seq] = true
	}
	return first
}

// command does something, exactly once.
func (c *client) command(ctx context.Context, method, path, body string) (*Event, error) {
	if c.keyed {
		return c.send(ctx, call{method: method, path: path, seq: none, body: body, key: c.w.unique("key")})
	}
	return c.send(ctx, call{method: method, path: path, seq: c.number(1), body: body})
}

// send sends a command until it is answered, and now and then once more.
func (c *client) send(ctx context.Context, q call) (*Event, error) {
	ctx, cancel := context.WithTimeout(ctx, c.w.cfg.Patience)
	defer cancel()
	for {
		e := c.try(ctx, q)
		if final(e) {
			c.mu.Lock()
			delete(c.pending, q.seq)
			c.mu.Unlock()
			if c.dice.chance(10) && !strings.HasPrefix(q.path, "/v1/session?") && q.path != "/v1/session" {
				c.try(ctx, q) // what comes is compared with what came
			}
			return e, nil
		}
		if err := c.again(ctx, e); err != nil {
			return e, err
		}
	}
}

// try tries a command once, over the socket if there is one.
func (c *client) try(ctx context.Context, q call) *Event {
	q.ack, q.within = none, c.hurry()
	if !c.keyed && c.dice.chance(30) {
		c.acking.RLock()
		defer c.acking.RUnlock()
		q.ack = c.wants()
	}
	c.mu.Lock()
	s := c.socket
	c.mu.Unlock()
	var e *Event
	if s != nil && c.dice.chance(70) {
		e = c.ask(ctx, s, q)
	} else {
		e = c.attempt(ctx, q)
	}
	c.sent(e)
	return e
}

// query looks at something until it is answered. It returns the answer, whatever it is.
func (c *client) query(ctx context.Context, path string) (*Event, error) {
	ctx, cancel := context.WithTimeout(ctx, c.w.cfg.Patience)
	defer cancel()
	for {
		e := c.try(ctx, call{method: http.MethodGet, path: path, seq: none})
		if e.Status == http.StatusOK || e.Code == "NOT_FOUND" {
			return e, nil
		}
		if err := c.again(ctx, e); err != nil {
			return e, err
		}
	}
}

// burst sends commands at once and in any order.
func (c *client) burst(ctx context.Context, path string, bodies []string) error {
	first := int64(0)
	if !c.keyed {
		first = c.number(int64(len(bodies)))
	}
	problems := make([]error, len(bodies))
	var wg sync.WaitGroup
	for i, body := range bodies {
		wait := c.dice.between(0, 5*time.Millisecond)
		wg.Go(func() {
			_ = pause(ctx, wait)
			if c.keyed {
				_, problems[i] = c.command(ctx, http.MethodPost, path, body)
				return
			}
			_, problems[i] = c.send(ctx, call{method: http.MethodPost, path: path, seq: first + int64(i), body: body})
		})
	}
	wg.Wait()
	return errors.Join(problems...)
}

// over ends what receives. The session lives on until its grace has passed.
func (c *client) over() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.stop()
	c.receiving.Wait()
	c.http.CloseIdleConnections()
}
