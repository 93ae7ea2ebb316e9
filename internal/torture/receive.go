package torture

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// listen receives in the background, on whichever transport the client uses.
func (c *client) listen() {
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.receiving.Go(func() {
		for ctx.Err() == nil {
			switch c.way() {
			case Keyed:
				c.readLog(ctx)
			case Stream:
				c.stream(ctx)
			case Socket:
				c.connect(ctx)
			default:
				c.poll(ctx)
			}
		}
	})
}

// connection is a number for what comes on one answer or connection, which begins now.
func (c *client) connection() (conn, epoch int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns++
	return c.conns, c.epoch
}

// poll receives once.
func (c *client) poll(ctx context.Context) {
	conn, epoch := c.connection()
	ack := c.wants()
	path := fmt.Sprintf("/v1/session/events?ack=%d&epoch=%d", ack, epoch)
	if c.dice.chance(50) {
		path += fmt.Sprintf("&wait=%d", c.dice.below(3))
	}
	e := c.attempt(ctx, call{method: http.MethodGet, path: path, seq: none, ack: ack, within: c.hurry() * 2})
	if e.Status != http.StatusOK {
		c.refused(ctx, e, epoch)
		return
	}
	var received struct {
		Ack       int64             `json:"ack"`
		Heartbeat bool              `json:"heartbeat"`
		Frames    []json.RawMessage `json:"frames"`
	}
	if err := json.Unmarshal([]byte(e.Answer), &received); err != nil || received.Heartbeat != (len(received.Frames) == 0) {
		e.Wrong = "heartbeat is not told by the absence of frames"
		return
	}
	for _, f := range received.Frames {
		c.frame(f, conn, e.At, ack)
	}
	if received.Heartbeat {
		c.h.add(&Event{Kind: Beat, At: e.At, Done: e.Done, Session: c.label, Transport: Poll, Conn: conn, Seq: none, Ack: ack, Wanted: received.Ack})
	}
	if c.dice.chance(10) {
		_ = pause(ctx, c.dice.between(0, 300*time.Millisecond)) // frames gather meanwhile
	}
}

// refused does what a refusal to receive asks for.
func (c *client) refused(ctx context.Context, e *Event, epoch int64) {
	c.mu.Lock()
	older, ended := epoch < c.epoch, c.ended
	c.mu.Unlock()
	switch {
	case ended || older:
	case e.Code == "SUPERSEDED" && actionOf(e.Answer) == "stop":
		if err := c.resume(ctx); err != nil {
			_ = pause(ctx, time.Second) // it is over: what the script does next will tell
		}
		return
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusGone:
		_ = pause(ctx, time.Second)
		return
	}
	_ = pause(ctx, c.dice.between(5*time.Millisecond, 100*time.Millisecond))
}

// frame takes a frame in. It counts as processed if it is the next one.
func (c *client) frame(raw json.RawMessage, conn int64, at time.Duration, from int64) {
	e := &Event{Kind: Frame, At: at, Session: c.label, Transport: c.way(), Conn: conn, Ack: from, Wanted: none, Answer: string(raw)}
	var f struct {
		Seq     int64  `json:"seq"`
		Type    string `json:"type"`
		Mailbox string `json:"mailbox"`
	}
	if err := json.Unmarshal(raw, &f); err != nil || f.Type == "" {
		e.Wrong = "this is no frame"
	}
	e.Seq, e.Mailbox = f.Seq, f.Mailbox
	c.h.add(e)
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.Seq == c.acked && c.frozen == 0 {
		c.acked++
	}
}

// beat takes the heartbeat of a stream or a socket in.
func (c *client) beat(raw []byte, conn int64, at time.Duration, from int64) {
	e := &Event{Kind: Beat, At: at, Session: c.label, Transport: c.way(), Conn: conn, Seq: none, Ack: from, Wanted: none}
	var b struct {
		Ack *int64 `json:"ack"`
	}
	if err := json.Unmarshal(raw, &b); err != nil || b.Ack == nil {
		e.Wrong = "this is no heartbeat: " + string(raw)
	} else {
		e.Wanted = *b.Ack
	}
	c.h.add(e)
}

// failed takes the error in with which a stream or a socket ends.
func (c *client) failed(ctx context.Context, raw []byte, conn int64, at time.Duration, epoch int64) {
	var p problem
	e := &Event{Kind: Request, At: at, Session: c.label, Transport: c.way(), Conn: conn, Method: http.MethodGet, Path: "/v1/session/events", Seq: none, Ack: none, Wanted: none, Answer: string(raw)}
	if err := json.Unmarshal(raw, &p); err != nil {
		e.Wrong = "this is no problem: " + err.Error()
	} else {
		e.Status, e.Code = p.Status, p.Code
		e.Wrong = c.w.contract.wrongProblem(&p, p.Status)
	}
	c.h.add(e)
	c.refused(ctx, e, epoch)
}

// acknowledge answers a heartbeat.
func (c *client) acknowledge(ctx context.Context) {
	c.acking.RLock()
	defer c.acking.RUnlock()
	ack := c.wants()
	c.sent(c.attempt(ctx, call{
		method: http.MethodPost, path: "/v1/session/ack", seq: none, ack: ack,
		body: fmt.Sprintf(`{"ack": %d}`, ack), within: c.hurry(),
	}))
}

// stream receives as a stream until it ends.
func (c *client) stream(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, c.dice.between(2*time.Second, 10*time.Second))
	defer cancel()
	conn, epoch := c.connection()
	from, at := c.wants(), c.h.now()
	r, err := c.request(ctx, call{
		method: http.MethodGet, path: fmt.Sprintf("/v1/session/events?ack=%d&epoch=%d&wait=1", from, epoch), seq: none, ack: none, accept: "text/event-stream",
	})
	if err != nil {
		return
	}
	c.h.add(c.opening(Stream, from))
	response, err := c.http.Do(r)
	if err != nil {
		_ = pause(ctx, 20*time.Millisecond)
		return
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	if response.StatusCode != http.StatusOK {
		body, err := io.ReadAll(response.Body)
		if err == nil {
			c.failed(ctx, body, conn, at, epoch)
		}
		return
	}
	c.events(ctx, response.Body, conn, epoch, at, from)
}

// opening is the event of a connection that begins: it acknowledges, whether anything ever comes on it or not.
func (c *client) opening(transport string, from int64) *Event {
	return &Event{Kind: Said, Session: c.label, Transport: transport, Method: http.MethodGet, Seq: none, Ack: from, Wanted: none}
}

// events reads the events of a stream.
func (c *client) events(ctx context.Context, body io.Reader, conn, epoch int64, at time.Duration, from int64) {
	event := ""
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	lines.Split(wholeLines)
	for lines.Scan() {
		line := lines.Text()
		if name, is := strings.CutPrefix(line, "event: "); is {
			event = name
		}
		data, is := strings.CutPrefix(line, "data: ")
		if !is {
			continue
		}
		switch event {
		case "frame":
			c.frame(json.RawMessage(data), conn, at, from)
		case "heartbeat":
			c.beat([]byte(data), conn, at, from)
			c.acknowledge(ctx)
		case "error":
			c.failed(ctx, []byte(data), conn, at, epoch)
		}
	}
}

// wholeLines is [bufio.ScanLines] without a last line that was cut.
func wholeLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	advance, token, err = bufio.ScanLines(data, false)
	if atEOF && advance == 0 {
		return len(data), nil, bufio.ErrFinalToken
	}
	return advance, token, err
}
