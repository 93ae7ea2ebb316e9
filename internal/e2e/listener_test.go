package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"restante/internal/testclient"
)

// listener is a client that receives over one transport, again and again: each end is followed by a handshake, at once.
type listener struct {
	*testclient.Client
	mailbox string
	live    func(*listener, context.Context) (ending, error)
	// each gets every frame, once, and in order. Then every frame and every heartbeat is acknowledged. Without it, messages
	// are numbers, which are counted.
	each func(testclient.Frame)

	mu     sync.Mutex
	heard  int // numbers, from 0 on
	opened int // streams, or sockets
	broke  int // of these, those that broke off
	ends   []ending
}

// ending is how a stream or a socket ended that did not break off.
type ending struct {
	testclient.Problem
	how string
	at  time.Time
}

// take processes a frame, which must be the one that is wanted.
func (l *listener) take(ctx context.Context, raw json.RawMessage, acknowledge func(int64) error) error {
	var f testclient.Frame
	if err := json.Unmarshal(raw, &f); err != nil {
		return err
	}
	wanted := l.Process(f.Seq)
	if f.Seq == wanted && l.each != nil {
		l.each(f)
		return acknowledge(wanted + 1)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case f.Seq != wanted:
		return fmt.Errorf("frame %d comes, %d is wanted", f.Seq, wanted)
	case f.Type == "message" && f.Body != strconv.Itoa(l.heard):
		return fmt.Errorf("%q comes, %d is next", f.Body, l.heard)
	case f.Type == "message":
		l.heard++
	}
	if f.Seq%8 != 0 || ctx.Err() != nil {
		return nil
	}
	return acknowledge(wanted + 1)
}

// one counts one more.
func (l *listener) one(more *int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*more++
}

// poll receives by long-polling, until that fails.
func (l *listener) poll(ctx context.Context) (ending, error) {
	for {
		a, err := l.Poll(ctx)
		if err != nil {
			return ending{}, err
		}
		if a.Status != http.StatusOK {
			return ending{}, fmt.Errorf("a receive is refused: %d %s", a.Status, a.Body)
		}
		var got struct{ Frames []json.RawMessage }
		if err := json.Unmarshal(a.Body, &got); err != nil {
			return ending{}, &broken{err}
		}
		for _, raw := range got.Frames {
			if err := l.take(ctx, raw, func(int64) error { return nil }); err != nil { // the next receive acknowledges it
				return ending{}, &broken{err}
			}
		}
	}
}

// stream hears one stream to its end.
func (l *listener) stream(ctx context.Context) (ending, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.URL()+fmt.Sprintf("/v1/session/events?ack=%d&epoch=%d", l.Wanted(), l.Epoch()), http.NoBody)
	if err != nil {
		return ending{}, err
	}
	r.Header = http.Header{"Accept": {"text/event-stream"}, "Authorization": {"Bearer " + l.ID()}}
	got, err := l.HTTP.Do(r)
	if err != nil {
		return ending{}, err
	}
	defer got.Body.Close()
	if got.StatusCode != http.StatusOK {
		return ending{}, fmt.Errorf("a stream is refused: %s", got.Status)
	}
	l.one(&l.opened)
	var end ending
	var event string
	lines := bufio.NewScanner(got.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case name == "event":
			event = value
		case name == "retry":
			end.how = value
		case name == "data" && event == "frame":
			if err := l.take(ctx, json.RawMessage(value), l.acknowledge(ctx)); err != nil {
				return ending{}, &broken{err}
			}
		case name == "data" && event == "heartbeat" && l.each != nil:
			if err := l.acknowledge(ctx)(l.Wanted()); err != nil {
				return ending{}, err
			}
		case name == "data" && event == "error":
			if err := json.Unmarshal([]byte(value), &end.Problem); err != nil {
				return ending{}, &broken{err}
			}
		}
	}
	end.at = time.Now()
	if lines.Err() == nil && end.Code == "" {
		return ending{}, io.ErrUnexpectedEOF
	}
	return end, lines.Err() // an error if it broke off, instead of coming to its end
}

// acknowledge is for those who listen to a stream.
func (l *listener) acknowledge(ctx context.Context) func(int64) error {
	return func(ack int64) error {
		_, err := l.Once(ctx, http.MethodPost, "/v1/session/ack", nil, map[string]int64{"ack": ack})
		if _, down := errors.AsType[net.Error](err); down {
			return nil // the handshake will say it
		}
		return err
	}
}

// socket hears one socket to its end.
func (l *listener) socket(ctx context.Context) (ending, error) {
	conn, got, err := websocket.DefaultDialer.DialContext(ctx, "ws"+strings.TrimPrefix(l.URL(), "http")+"/v1/session/socket", nil)
	if err != nil {
		return ending{}, err
	}
	_ = got.Body.Close()
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := conn.WriteJSON(map[string]any{"sessionId": l.ID(), "ack": l.Wanted(), "epoch": l.Epoch()}); err != nil {
		return ending{}, err
	}
	l.one(&l.opened)
	var end ending
	for {
		var said struct {
			Frame json.RawMessage
			Error *testclient.Problem
		}
		err := conn.ReadJSON(&said)
		var closed *websocket.CloseError
		switch {
		case errors.As(err, &closed) && end.Code != "":
			end.how, end.at = fmt.Sprint(closed.Code, " ", closed.Text), time.Now()
			return end, nil
		case err != nil:
			return ending{}, err
		case said.Error != nil:
			end.Problem = *said.Error
		case said.Frame != nil:
			err := l.take(ctx, said.Frame, func(ack int64) error {
				_ = conn.WriteJSON(map[string]int64{"ack": ack}) // if it does not go, reading says why
				return nil
			})
			if err != nil {
				return ending{}, &broken{err}
			}
		}
	}
}

// broken is a promise that was not kept.
type broken struct{ error }

// listen goes on until ctx ends.
func (l *listener) listen(ctx context.Context) error {
	for {
		end, err := l.live(l, ctx)
		if _, promise := errors.AsType[*broken](err); promise {
			return err
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was hung up
		}
		if err != nil {
			l.one(&l.broke)
		} else {
			l.mu.Lock()
			l.ends = append(l.ends, end)
			l.mu.Unlock()
		}
		if err := l.Handshake(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}
