package handlers_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"restante/handlers"
	"restante/rendezvous"
)

// poller asks the same again and again on one connection, as a client that waits does.
type poller struct {
	*client
	net.Conn
	in      *bufio.Reader
	request *request
}

// pollsOften has each poll held for some milliseconds.
func pollsOften(c *rendezvous.Config) {
	c.HeartbeatInterval, c.HeartbeatsUntilDead = 20*time.Millisecond, 1000
}

func (c *client) poller(headers ...string) *poller {
	c.Helper()
	conn := c.w.dialRaw(c)
	c.Cleanup(func() { _ = conn.Close() })
	return &poller{c, conn, bufio.NewReader(conn), c.get("/v1/session/events?ack=1").with(headers...)}
}

// ask sends the request. It is the same, byte for byte, each time.
func (p *poller) ask() {
	p.Helper()
	var head bytes.Buffer
	fmt.Fprintf(&head, "GET %s HTTP/1.1\r\nHost: restante.test\r\n", p.request.target)
	_ = p.request.header.Write(&head)
	head.WriteString("\r\n")
	p.client.w.Secret(p.id)
	if _, err := p.Write(head.Bytes()); err != nil {
		p.Fatal(err)
	}
}

// receive reads an answer, and holds it against the contract. byHandler is false if no handler has served the request: only
// net/http sorts the headers.
func (p *poller) receive() (got *answer, byHandler bool) {
	p.Helper()
	var raw bytes.Buffer
	response, err := http.ReadResponse(bufio.NewReader(io.TeeReader(p.in, &raw)), nil)
	if err != nil {
		p.Fatal(err)
	}
	got, err = newAnswer(response)
	if err != nil {
		p.Fatal(err)
	}
	got.TB = p.client.TB
	got.header["Vary"] = []string{strings.Join(got.header["Vary"], ", ")} // several lines are one list (RFC 9110, §5.3)
	if err := contract().check(p.request, got); err != nil {
		p.Errorf("%d %s: %v", got.status, got.body, err)
	}
	head, _, _ := strings.Cut(raw.String(), "\r\n\r\n")
	return got, strings.Index(head, "\r\nX-Request-Id: ") > strings.Index(head, "\r\nContent-Length: ")
}

// turn asks, and receives an answer of this status.
func (p *poller) turn(status int) (got *answer, byHandler bool) {
	p.Helper()
	p.ask()
	if got, byHandler = p.receive(); got.status != status {
		p.Fatalf("it is answered %d, want %d: %s", got.status, status, got.body)
	}
	return got, byHandler
}

// steady has as many turns as it takes until no handler serves what is repeated.
func (p *poller) steady() *answer {
	p.Helper()
	var got *answer
	for turn := range 4 {
		var byHandler bool
		if got, byHandler = p.turn(http.StatusOK); got.at("heartbeat") != true {
			p.Fatalf("turn %d has frames: %s", turn, got.body)
		}
		if byHandler {
			p.Fatalf("a handler has answered turn %d", turn)
		}
	}
	return got
}

// begins returns two sides in a mailbox, and a poller of the first one.
func begins(t testing.TB, w *testServer, headers ...string) (*poller, *client) {
	t.Helper()
	a, b := twoSides(t, w)
	return a.poller(headers...), b
}

// A heartbeat says the same whether a handler has answered or not.
func TestHeartbeatsOfEitherKindAreTheSame(t *testing.T) {
	changing := regexp.MustCompile(`\d+`)
	tests := map[string]struct {
		options options
		headers []string
	}{
		"of a plain server":      {options{}, nil},
		"for a page":             {options{Origins: []string{"https://app.example"}}, []string{"Origin: https://app.example"}},
		"with limits":            {options{Limits: func(l *handlers.Limits) { l.Rate, l.Burst = 1000, 1000 }}, nil},
		"below a path":           {options{BasePath: "/mail"}, nil},
		"for one of all origins": {options{Origins: []string{"*"}}, []string{"Origin: https://else.example"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.options.Config = pollsOften
			w := start(t, tt.options)
			p, _ := begins(t, w, tt.headers...)
			alone := p.steady()
			traced := p.poller(append(tt.headers, "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")...)
			handled, byHandler := traced.turn(http.StatusOK)
			if !byHandler {
				t.Fatal("a traced poll is not answered by its handler")
			}
			for _, a := range []*answer{alone, handled} {
				for _, name := range []string{"Date", "X-Request-Id", "Ratelimit"} {
					if value := a.header.Get(name); value != "" {
						a.header.Set(name, changing.ReplaceAllString(value, "0")[:1])
					}
				}
			}
			alone.header.Set("X-Request-ID", "any")
			handled.header.Set("X-Request-ID", "any")
			if !maps.EqualFunc(alone.header, handled.header, slices.Equal[[]string]) {
				t.Errorf("the headers are %v alone, and %v by the handler", alone.header, handled.header)
			}
			if a, b := changing.ReplaceAll(alone.body, []byte("0")), changing.ReplaceAll(handled.body, []byte("0")); !bytes.Equal(a, b) {
				t.Errorf("the bodies are %s alone, and %s by the handler", a, b)
			}
		})
	}
}

func TestWhatChangesBetweenTwoPollsCounts(t *testing.T) {
	tests := map[string]struct {
		change func(p *poller, b *client)
		status int
		code   string // or:
		frames int
	}{
		"a message came":    {func(_ *poller, b *client) { b.add("m", "p", "x").want(http.StatusCreated) }, http.StatusOK, "", 1},
		"the session ended": {func(p *poller, _ *client) { p.delete("/v1/session").want(http.StatusNoContent) }, http.StatusGone, "SESSION_ENDED", 0},
		"the window is full": {func(_ *poller, b *client) {
			for range 4 {
				b.delete("/v1/mailboxes/m").want(http.StatusNoContent)
				b.open("m").want(http.StatusOK)
			}
		}, http.StatusTooManyRequests, "WINDOW_FULL", 0},
		"the address was banned": {func(p *poller, _ *client) {
			p.client.w.rule(p.client.TB, "- address: [127.0.0.0/8, '::1']\n  refuse: go away\n")
		}, http.StatusForbidden, "REJECTED_BY_CUSTOM_HANDLER", 0},
		"the address is to wait": {func(p *poller, _ *client) {
			p.client.w.rule(p.client.TB, "- address: [127.0.0.0/8, '::1']\n  delay: 20ms\n")
		}, http.StatusOK, "", 0},
		"the session resumed": {func(p *poller, _ *client) { p.handshake(1, 0).want(http.StatusOK) }, http.StatusOK, "", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := start(t, options{Config: func(c *rendezvous.Config) {
				pollsOften(c)
				c.Limits.WindowFrames = 6
			}})
			p, b := begins(t, w)
			p.steady()
			tt.change(p, b)
			got, _ := p.turn(tt.status)
			if tt.code != "" {
				if code := got.text("code"); code != tt.code {
					t.Errorf("it is refused with %s, want %s: %s", code, tt.code, got.body)
				}
				return
			}
			if n := got.count("frames"); n != tt.frames {
				t.Errorf("it has %d frames, want %d: %s", n, tt.frames, got.body)
			}
		})
	}
}

func TestWhatHappensDuringARepeatedPoll(t *testing.T) {
	open := func(t *testing.T) (*poller, *client) {
		t.Helper()
		w := start(t, options{Config: func(c *rendezvous.Config) { c.HeartbeatInterval, c.HeartbeatsUntilDead = 200*time.Millisecond, 1000 }})
		p, b := begins(t, w)
		p.steady()
		p.ask()
		w.parked(t, 1)
		return p, b
	}
	t.Run("a message that comes is delivered", func(t *testing.T) {
		p, b := open(t)
		b.add("m", "p", "x").want(http.StatusCreated)
		for {
			got, _ := p.receive()
			if got.at("heartbeat") == true { // the machine is slow
				p.ask()
				continue
			}
			if got.count("frames") != 1 {
				t.Errorf("it receives %s", got.body)
			}
			return
		}
	})
	t.Run("a later receiver takes over", func(t *testing.T) {
		p, _ := open(t)
		other := p.get("/v1/session/events?ack=1&wait=1").later()
		got, _ := p.receive()
		if got.status != http.StatusConflict && got.at("heartbeat") != true {
			t.Errorf("it receives %d %s", got.status, got.body)
		}
		if got := <-other; got.status != http.StatusOK {
			t.Errorf("the later one receives %d %s", got.status, got.body)
		}
	})
	t.Run("the client leaves", func(t *testing.T) {
		p, _ := open(t)
		_ = p.Close()
		p.client.w.parked(t, 0)
	})
}

// Each poll counts against the limits of its address, is counted in the metrics, and has its line in the log, with the id
// that its answer has.
func TestRepeatedPollsAreLimitedCountedAndLogged(t *testing.T) {
	const burst = 12
	w := start(t, options{Config: pollsOften, Limits: func(l *handlers.Limits) { l.Rate, l.Burst = 0.0001, burst }})
	p, _ := begins(t, w) // which takes 4
	var ids []string
	for range burst - 4 {
		got, _ := p.turn(http.StatusOK)
		ids = append(ids, got.header.Get("X-Request-ID"))
	}
	if got, _ := p.turn(http.StatusTooManyRequests); got.text("code") != "RATE_LIMITED" {
		t.Errorf("it is refused with %s", got.body)
	}
	w.metric(t, fmt.Sprintf(`restante_http_requests_total{method="GET",route="/v1/session/events",status="200"} %d`, burst-4))
	w.metric(t, fmt.Sprintf(`restante_polls_total{ending="heartbeat"} %d`, burst-4))
	slices.Sort(ids)
	if n := len(slices.Compact(ids)); n != burst-4 {
		t.Errorf("%d answers have %d ids", burst-4, n)
	}
	for _, id := range ids {
		line := regexp.MustCompile(`(?m)^.*"route":"/v1/session/events","status":200.*"request":"` + id + `".*"address":"addr-.*"session":".*$`)
		if n := len(line.FindAllString(w.Logs.String(), -1)); n != 1 {
			t.Errorf("%d lines in the log have the id %s, want 1", n, id)
		}
	}
}
