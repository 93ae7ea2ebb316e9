package testclient

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"restante/session"
)

// Client is a model of a client with a session: it does what the contract asks of clients, and checks what the contract
// promises them. Its ledger is all that it needs to continue after any failure.
type Client struct {
	HTTP *http.Client
	base string
	App  string

	mu     sync.Mutex // guards the ledger
	ledger ledger
	// unprocessed are frames that were received and not acknowledged: they must come again as they were.
	unprocessed map[int64]json.RawMessage

	Count Tally
}

// ledger is a session as its client sees it.
type ledger struct {
	id, side string
	epoch    int64          // of the last handshake; 0 before the first
	wanted   int64          // the next frame: all below it are processed
	next     int64          // the number of the next command
	open     map[int64]bool // the commands that are not answered
}

// Tally counts what has happened to a client.
type Tally struct {
	Lost     atomic.Int64 // requests that got no answer
	Refused  atomic.Int64 // and those that were told to try again
	Resumed  atomic.Int64 // handshakes that resumed the session
	Replayed atomic.Int64 // recorded replies
	Gaps     atomic.Int64 // commands that overtook others
	Frames   atomic.Int64 // frames processed
	Again    atomic.Int64 // frames that came more than once
}

// Add adds what another client went through.
func (t *Tally) Add(other *Tally) {
	t.Lost.Add(other.Lost.Load())
	t.Refused.Add(other.Refused.Load())
	t.Resumed.Add(other.Resumed.Load())
	t.Replayed.Add(other.Replayed.Load())
	t.Gaps.Add(other.Gaps.Load())
	t.Frames.Add(other.Frames.Load())
	t.Again.Add(other.Again.Load())
}

// Problem is a problem document.
type Problem struct {
	Status    int
	Code      string
	Action    string
	Retriable bool
	Detail    string
}

func (p *Problem) Error() string {
	return fmt.Sprintf("%d %s (%s): %s", p.Status, p.Code, p.Action, p.Detail)
}

// New makes the client of a session that has not begun, at the server with this URL. Its connections are closed with
// HTTP.CloseIdleConnections.
func New(url, side string) *Client {
	return &Client{
		HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}, base: url, App: "example.org/e2e",
		ledger:      ledger{id: session.NewID().Reveal(), side: side, open: map[int64]bool{}},
		unprocessed: map[int64]json.RawMessage{},
	}
}

// ID returns the id of the session.
func (c *Client) ID() string { return c.ledger.id }

// Side returns the side of the session.
func (c *Client) Side() string { return c.ledger.side }

// Epoch returns the epoch of the last handshake, or 0 before the first one.
func (c *Client) Epoch() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ledger.epoch
}

// Wanted returns the number of the next frame: all below it are processed.
func (c *Client) Wanted() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ledger.wanted
}

// Process notes that the frame with this number is processed, if it is the one that is
// wanted. It returns the number that was wanted.
func (c *Client) Process(seq int64) (wanted int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted = c.ledger.wanted
	if seq == wanted {
		c.ledger.wanted++
	}
	return wanted
}

// MoveTo sends all later requests to another server.
func (c *Client) MoveTo(url string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base = url
}

// URL returns where the client's server is.
func (c *Client) URL() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.base
}

// backoff returns how long a client waits before it tries again.
func backoff() time.Duration { return 20*time.Millisecond + rand.N(180*time.Millisecond) }

// Once sends a request of the session once.
func (c *Client) Once(ctx context.Context, method, path string, header map[string]string, body any) (Answer, error) {
	h := http.Header{}
	c.mu.Lock()
	h.Set("Authorization", "Bearer "+c.ledger.id)
	c.mu.Unlock()
	for name, value := range header {
		h.Set(name, value)
	}
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return Answer{}, err
		}
	}
	return Exchange(ctx, c.HTTP, method, c.URL()+path, h, string(payload))
}

// persist sends a request until its answer is final. The error is a *Problem or that of ctx: after a connection is lost,
// it only tries again.
func (c *Client) persist(ctx context.Context, once func() (Answer, error)) (Answer, error) {
	for {
		a, err := once()
		switch {
		case ctx.Err() != nil:
			return a, context.Cause(ctx)
		case err != nil:
			c.Count.Lost.Add(1)
		case a.Status < 300:
			return a, nil
		default:
			p, err := ParseProblem(a)
			if err != nil {
				return a, err
			}
			if p.Action != "retry" && p.Action != "slow_down" {
				return a, p
			}
			c.Count.Refused.Add(1)
			if p.Code == "SEQ_GAP" {
				c.Count.Gaps.Add(1)
			}
		}
		if err := Pause(ctx, backoff()); err != nil {
			return a, err
		}
	}
}

// ParseProblem parses an answer that must be a problem document.
func ParseProblem(a Answer) (*Problem, error) {
	var p Problem
	err := json.Unmarshal(a.Body, &p)
	wait := a.Header.Get("Retry-After")
	switch {
	case err != nil, a.Header.Get("Content-Type") != "application/problem+json", p.Status != a.Status, p.Code == "", p.Detail == "", p.Retriable != (p.Action != "stop"):
		return nil, fmt.Errorf("%d with no proper problem document: %v %s", a.Status, a.Header, a.Body)
	case (a.Status == 429 || a.Status == 503) != (wait != "") && p.Code != "SUPERSEDED":
		return nil, fmt.Errorf("%s with Retry-After %q", p.Code, wait)
	}
	return &p, nil
}

// Handshake begins the session, or resumes it.
func (c *Client) Handshake(ctx context.Context) error {
	c.mu.Lock()
	was := c.ledger
	oldest := was.next
	for n := range was.open {
		oldest = min(oldest, n)
	}
	c.mu.Unlock()
	lost, refused := c.Count.Lost.Load(), c.Count.Refused.Load() // a commit whose outcome is not known is refused, too
	hello := map[string]any{
		"protocolVersion": "1", "sessionId": was.id, "appId": c.App, "side": was.side, "clientVersion": []string{"model", "1"},
		"expectedSessionState": map[string]int64{"nextExpectedSeq": was.wanted, "nextSentSeq": oldest},
	}
	if was.epoch > 0 {
		hello["epoch"] = was.epoch
	}
	a, err := c.persist(ctx, func() (Answer, error) { return c.Once(ctx, http.MethodPost, "/v1/sessions", nil, hello) })
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	var w struct {
		SessionID, Side              string
		Resumed                      bool
		Epoch                        int64
		NextExpectedSeq, NextSentSeq int64
	}
	if err := json.Unmarshal(a.Body, &w); err != nil {
		return err
	}
	if w.Resumed {
		c.Count.Resumed.Add(1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case w.Resumed != (a.Status == http.StatusOK), w.SessionID != was.id, w.Side != was.side:
		return fmt.Errorf("handshake: %d %s is not for this session", a.Status, a.Body)
	case !w.Resumed && was.epoch > 0:
		return fmt.Errorf("handshake: the session did not go on, another one began: %s", a.Body)
	case w.Resumed && was.epoch == 0 && c.Count.Lost.Load() == lost && c.Count.Refused.Load() == refused:
		return fmt.Errorf("handshake: this session was not begun, and yet: %s", a.Body)
	case w.Epoch <= was.epoch:
		return fmt.Errorf("handshake: epoch %d after %d", w.Epoch, was.epoch)
	case w.NextSentSeq != was.wanted:
		return fmt.Errorf("handshake: the server goes on with frame %d, frame %d is wanted", w.NextSentSeq, was.wanted)
	case w.NextExpectedSeq < oldest || w.NextExpectedSeq > c.ledger.next:
		return fmt.Errorf("handshake: the server wants command %d; those from %d are unanswered and %d was not sent", w.NextExpectedSeq, oldest, c.ledger.next)
	}
	c.ledger.epoch = w.Epoch
	return nil
}

// Number returns the number of the next command. The server does commands in this order.
func (c *Client) Number() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.ledger.next
	c.ledger.next++
	c.ledger.open[n] = true
	return n
}

// Command numbers a command and sends it until it is answered.
func (c *Client) Command(ctx context.Context, method, path string, body any) (Answer, error) {
	return c.send(ctx, c.Number(), method, path, body)
}

// send sends a numbered command until it is answered. Now and then it acts as if the answer were lost: then the same
// answer must come again.
func (c *Client) send(ctx context.Context, n int64, method, path string, body any) (Answer, error) {
	return c.SendAgain(ctx, 0, n, method, path, body)
}

// SendAgain is like Command for a command that has a number and was sent so many times before.
func (c *Client) SendAgain(ctx context.Context, sent int, n int64, method, path string, body any) (Answer, error) {
	once := func() (Answer, error) {
		sent++
		c.mu.Lock()
		header := map[string]string{"Seq": strconv.FormatInt(n, 10), "Ack": strconv.FormatInt(c.ledger.wanted, 10)}
		c.mu.Unlock()
		return c.Once(ctx, method, path, header, body)
	}
	fail := func(a Answer, err error) (Answer, error) {
		return a, fmt.Errorf("command %d, %s %s: %w", n, method, path, err)
	}
	a, err := c.persist(ctx, once)
	if err != nil {
		return fail(a, err)
	}
	replayed := a.Header.Get("Replayed") == "true"
	if replayed {
		c.Count.Replayed.Add(1)
	}
	ack, err := strconv.ParseInt(a.Header.Get("Ack"), 10, 64)
	switch {
	case err != nil || ack <= n:
		return fail(a, fmt.Errorf("answered with Ack %q", a.Header.Get("Ack")))
	case replayed && sent == 1:
		return fail(a, fmt.Errorf("sent once and yet replayed: %s", a.Body))
	case rand.N(8) == 0:
		again, err := c.persist(ctx, once)
		if err != nil {
			return fail(again, err)
		}
		if again.Header.Get("Replayed") != "true" || again.Status != a.Status || !bytes.Equal(again.Body, a.Body) {
			return fail(again, fmt.Errorf("was answered %d %s, and then %d %s", a.Status, a.Body, again.Status, again.Body))
		}
		c.Count.Replayed.Add(1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.ledger.open, n)
	return a, nil
}

// End ends the session.
func (c *Client) End(ctx context.Context) (Answer, error) {
	return c.persist(ctx, func() (Answer, error) { return c.Once(ctx, http.MethodDelete, "/v1/session", nil, nil) })
}

// Query reads the JSON of a GET request.
func (c *Client) Query(ctx context.Context, path string, into any) error {
	a, err := c.persist(ctx, func() (Answer, error) { return c.Once(ctx, http.MethodGet, path, nil, nil) })
	if err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return json.Unmarshal(a.Body, into)
}

// Frame is a frame of the session.
type Frame struct {
	Seq           int64
	Type, Mailbox string
	Position      int64
	Side          string
	Phase, Body   string
	Mood          string
	State, Reason string // of presence
}

// Poll receives once.
func (c *Client) Poll(ctx context.Context) (Answer, error) {
	c.mu.Lock()
	path := fmt.Sprintf("/v1/session/events?ack=%d&epoch=%d", c.ledger.wanted, c.ledger.epoch)
	c.mu.Unlock()
	return c.Once(ctx, http.MethodGet, path, nil, nil)
}

// Listen receives until each returns done or ctx ends. After a lost connection, it does a handshake.
func (c *Client) Listen(ctx context.Context, each func(Frame) (done bool, err error)) error {
	for {
		a, err := c.Poll(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			c.Count.Lost.Add(1)
			if err := c.Handshake(ctx); err != nil {
				return err
			}
			continue
		case a.Status == http.StatusOK:
			if done, err := c.take(a, each); done || err != nil {
				return err
			}
			continue
		}
		p, err := ParseProblem(a)
		if err == nil && p.Action != "retry" {
			err = p // this client never competes with itself, so it is never told to slow down either
		}
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		c.Count.Refused.Add(1)
		if err := Pause(ctx, backoff()); err != nil {
			return err
		}
	}
}

// take processes the frames of an answer, which must continue where the last ones ended. Now and then it acts as if the
// answer were lost: then the same frames must come again.
func (c *Client) take(a Answer, each func(Frame) (done bool, err error)) (bool, error) {
	var got struct {
		Heartbeat bool
		Frames    []json.RawMessage
	}
	if err := json.Unmarshal(a.Body, &got); err != nil {
		return false, err
	}
	if got.Heartbeat != (len(got.Frames) == 0) {
		return false, fmt.Errorf("heartbeat: %t with %d frames", got.Heartbeat, len(got.Frames))
	}
	lose := rand.N(16) == 0
	for i, raw := range got.Frames {
		var f Frame
		if err := json.Unmarshal(raw, &f); err != nil {
			return false, err
		}
		c.mu.Lock()
		want := c.ledger.wanted
		if lose {
			want += int64(i)
		}
		before, known := c.unprocessed[f.Seq]
		c.unprocessed[f.Seq] = raw
		c.mu.Unlock()
		switch {
		case f.Seq != want:
			return false, fmt.Errorf("frame %d came, frame %d was wanted", f.Seq, want)
		case known && !bytes.Equal(before, raw):
			return false, fmt.Errorf("frame %d was %s and is now %s", f.Seq, before, raw)
		case known:
			c.Count.Again.Add(1)
		}
		if lose {
			continue
		}
		done, err := each(f)
		if err != nil {
			return false, fmt.Errorf("frame %s: %w", raw, err)
		}
		c.mu.Lock()
		c.ledger.wanted++
		delete(c.unprocessed, f.Seq)
		c.mu.Unlock()
		c.Count.Frames.Add(1)
		if done {
			return true, nil
		}
	}
	return false, nil
}
