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
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// listener is a client that hears numbers on a stream or a socket, again and
// again: each end is followed by a handshake, at once.
type listener struct {
	*testclient.Client
	mailbox string
	live    func(*listener, context.Context) (ending, error)

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

// TestStopWithStreamsAndSockets stops a server on which clients listen to streams and sockets
// while someone talks to each, and starts it again. All are told to come back, over the span of the drain; the stop waits
// for no client, not even for one that does not read the end, or has sent nothing yet; and each number is heard once, in order.
func TestStopWithStreamsAndSockets(t *testing.T) {
	t.Parallel()
	const drain, each, silent = 2 * time.Second, 15, 5
	s := e2e.Serve(t, "--drain="+drain.String(), "--heartbeat-interval=5s")
	ctx := e2e.Context(t)
	speaker := e2e.NewClient(s, "speaker")
	if err := speaker.Handshake(ctx); err != nil {
		t.Fatal(err)
	}
	var listeners []*listener
	for kind, live := range map[string]func(*listener, context.Context) (ending, error){"stream": (*listener).stream, "socket": (*listener).socket} {
		for i := range each {
			name := fmt.Sprintf("%s-%d", kind, i)
			listeners = append(listeners, &listener{Client: e2e.NewClient(s, name), mailbox: name, live: live})
		}
	}
	err := e2e.AtOnce(listeners, func(l *listener) error {
		for _, c := range []*testclient.Client{l.Client, speaker} {
			if c == l.Client {
				if err := c.Handshake(ctx); err != nil {
					return err
				}
			}
			if _, err := c.Command(ctx, http.MethodPut, "/v1/mailboxes/"+l.mailbox, nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	quiet(ctx, t, s, silent)

	listening, hangUp := context.WithCancel(ctx)
	defer hangUp()
	listened := make(chan error, 1)
	go func() { listened <- e2e.AtOnce(listeners, func(l *listener) error { return l.listen(listening) }) }()
	talking, hush := context.WithCancel(ctx)
	defer hush()
	said, spoken := 0, make(chan error, 1)
	go func() {
		for talking.Err() == nil {
			for _, l := range listeners {
				if _, err := speaker.Command(ctx, http.MethodPost, "/v1/mailboxes/"+l.mailbox+"/messages", map[string]string{"phase": "number", "body": strconv.Itoa(said)}); err != nil {
					spoken <- err
					return
				}
			}
			said++
		}
		spoken <- nil
	}()
	heard := func(n int) func() bool {
		return func() bool {
			for _, l := range listeners {
				l.mu.Lock()
				here := l.heard
				l.mu.Unlock()
				if here < n {
					return false
				}
			}
			return true
		}
	}
	e2e.Eventually(t, "all hear something", heard(3))

	for range silent { // as browsers open them, in case that they will need one
		over, err := new(net.Dialer).DialContext(ctx, "tcp", s.Address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = over.Close() })
	}
	stopped := time.Now()
	s.Signal(syscall.SIGTERM)
	if code := s.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	ended := time.Since(stopped)
	var last time.Duration
	quarters := make([]int, 4)
	for _, l := range listeners {
		e2e.Eventually(t, l.mailbox+" is told the end", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.ends) == 1
		})
		end := l.ends[0]
		how := "1001 DRAINING retry"
		if strings.HasPrefix(l.mailbox, "stream") {
			how = "1000"
		}
		if end.Code != "DRAINING" || end.Action != "retry" || end.how != how || l.broke != 0 {
			t.Errorf("%s ended with %v, %q, and %d before it broke off", l.mailbox, &end.Problem, end.how, l.broke)
		}
		after := end.at.Sub(stopped)
		last = max(last, after)
		quarters[min(int(4*after/drain), 3)]++
	}
	if slices.Contains(quarters, len(listeners)) {
		t.Errorf("all %d clients were let go at once, by quarters of the %v: %v", len(listeners), drain, quarters)
	}
	before := said
	s.Start()
	s.WaitReady()
	started := time.Now()
	e2e.Eventually(t, "all hear more", heard(before+3))
	back := time.Since(started)
	hush()
	if err := <-spoken; err != nil {
		t.Fatal(err)
	}
	e2e.Eventually(t, "all hear everything", heard(said))
	hangUp()
	if err := <-listened; err != nil {
		t.Fatal(err)
	}
	for _, l := range listeners {
		if l.Count.Resumed.Load() == 0 || l.opened < 2 {
			t.Errorf("%s came back %d times and was resumed %d times", l.mailbox, l.opened-1, l.Count.Resumed.Load())
		}
	}
	t.Logf("%d streams and sockets, and %d that do not read or say anything: all told within %v, by quarters of the drain %v; exit 0 after %v; all hear again %v after the start; %d numbers each",
		len(listeners), 3*silent, last.Round(time.Millisecond), quarters, ended.Round(time.Millisecond), back.Round(time.Millisecond), said)
}

// quiet opens streams and sockets that are not read.
func quiet(ctx context.Context, t *testing.T, s *e2e.Server, n int) {
	t.Helper()
	for i := range 2 * n {
		c := e2e.NewClient(s, fmt.Sprintf("quiet-%d", i))
		if err := c.Handshake(ctx); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			over, err := new(net.Dialer).DialContext(ctx, "tcp", s.Address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = over.Close() })
			if _, err := fmt.Fprintf(over, "GET /v1/session/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nAuthorization: Bearer %s\r\n\r\n", c.ID()); err != nil {
				t.Fatal(err)
			}
			continue
		}
		conn, got, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+s.Address+"/v1/session/socket", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = got.Body.Close()
		t.Cleanup(func() { _ = conn.Close() })
		if err := conn.WriteJSON(map[string]string{"sessionId": c.ID()}); err != nil {
			t.Fatal(err)
		}
	}
}
