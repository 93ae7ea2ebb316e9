package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/gorilla/websocket"
	"pgregory.net/rapid"

	"restante/handlers"
	"restante/handlers/handlerstest"
	"restante/rendezvous"
)

// saysWhatFails is a store on which transactions fail that add a message whose body says so.
type saysWhatFails struct{ rendezvous.Store }

// The bodies of messages at which a transaction fails, and how. What is kept commits before.
var faults = map[string]struct {
	err  error
	kept bool
}{
	"unavailable":         {rendezvous.ErrUnavailable, false},
	"unknown, and lost":   {rendezvous.ErrOutcomeUnknown, false},
	"unknown, and kept":   {rendezvous.ErrOutcomeUnknown, true},
	"a fault of its own":  {errors.New("a fault"), false},
	"nothing is the case": {nil, true},
}

// bodyTx is a transaction that remembers how it is to fail.
type bodyTx struct {
	rendezvous.Tx
	body *string
}

func (t bodyTx) Append(m rendezvous.Mailbox, messages ...rendezvous.Message) error {
	*t.body = messages[0].Body
	return t.Tx.Append(m, messages...)
}

func (s saysWhatFails) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	body := ""
	err := s.Store.Update(ctx, func(tx rendezvous.Tx) error {
		body = ""
		if err := f(bodyTx{tx, &body}); err != nil || faults[body].kept {
			return err
		}
		return faults[body].err
	})
	if err != nil {
		return err
	}
	return faults[body].err
}

// sayings are the bodies of commands, for the model: most are good.
var sayings = []string{
	`{"phase": "p", "body": "one"}`, `{"phase": "p", "body": "two"}`, `{"phase": "p", "body": "three"}`,
	`[{"phase": "p", "body": "four"}, {"phase": "p", "body": "five"}]`,
	`{"phase": "p", "body": "unavailable"}`, `{"phase": "p", "body": "unknown, and lost"}`,
	`{"phase": "p", "body": "unknown, and kept"}`, `{"phase": "p", "body": "a fault of its own"}`,
	`{"phase": "p"}`, `[]`, `7`,
}

// drawCommands draws what a client sends: mostly adds, most of them numbered as the server wants them if all goes
// well, and some again, too early, or with another body. All but acknowledgements are answered, and have an id.
func drawCommands(t *rapid.T) (list []string, answered int) {
	next := 0
	for i := range rapid.IntRange(1, 40).Draw(t, "commands") {
		method, path, body := http.MethodPost, "/v1/mailboxes/m/messages", ""
		switch rapid.SampledFrom([]string{"add", "add", "add", "add", "add", "add", "open and add", "not open", "look", "close", "open", "no command", "acknowledge"}).Draw(t, "what") {
		case "add":
			body = rapid.SampledFrom(sayings).Draw(t, "body")
		case "open and add":
			path, body = "/v1/mailboxes/n/messages?open=true", sayings[0]
		case "not open":
			path, body = "/v1/mailboxes/n/messages", sayings[0]
		case "look":
			method, path = http.MethodGet, "/v1/mailboxes/m"
		case "close":
			method, path = http.MethodDelete, "/v1/mailboxes/m"
		case "open":
			method, path = http.MethodPut, "/v1/mailboxes/m"
		case "no command":
			method = "PATCH"
		case "acknowledge":
			list = append(list, `{"ack": 0}`)
			continue
		}
		command := fmt.Sprintf(`{"id": "%d", "method": %q, "path": %q`, i, method, path)
		switch seq := next + rapid.SampledFrom([]int{0, 0, 0, 0, 0, 0, -1, -2, 1}).Draw(t, "number"); {
		case method == http.MethodGet, seq < 0, rapid.IntRange(0, 9).Draw(t, "unnumbered") == 0:
		default:
			command += fmt.Sprintf(`, "seq": %d`, seq)
			if seq == next && !strings.Contains(body, "unavailable") && !strings.Contains(body, "lost") && !strings.Contains(body, "fault") {
				next++
			}
		}
		if body != "" {
			command += `, "body": ` + body
		}
		list = append(list, command+"}")
		answered++
	}
	return list, answered
}

// moments are the times and the names of requests in a reply.
var moments = regexp.MustCompile(`"(serverRx|serverTime)":\d+|"instance":"[^"]*"`)

func timeless(text []byte) string { return string(moments.ReplaceAll(text, nil)) }

// reply is the next reply, without what differs from one time to another.
func (l *socketClient) reply() string {
	l.Helper()
	for {
		_, raw, err := l.conn.ReadMessage()
		if err != nil {
			l.Fatalf("waiting for a reply: %v", err)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(raw, &members); err != nil {
			l.Fatal(err)
		}
		if members["reply"] != nil {
			return timeless(raw)
		}
	}
}

// A client that does not wait for its replies gets the same ones, in the same order, as a client that does, and the
// same is stored: whatever fails or is refused, with what number or without one.
func TestAddsThatOverlapAreAnsweredAsIfOneAfterTheOther(t *testing.T) {
	w := start(t, options{
		Wrap:   func(s rendezvous.Store) rendezvous.Store { return saysWhatFails{s} },
		Config: func(c *rendezvous.Config) { c.Limits.MailboxMessages = 12 },
	})
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		list, answered := drawCommands(rt)
		run++
		serial, together := w.begin(t, fmt.Sprint("serial", run), "a"), w.begin(t, fmt.Sprint("together", run), "a")
		serial.open("m").want(http.StatusOK)
		together.open("m").want(http.StatusOK)

		one := serial.connects("")
		var want []string
		for _, command := range list {
			one.send(command)
			if strings.Contains(command, `"id"`) {
				want = append(want, one.reply())
			}
		}
		all := together.connects("")
		for _, command := range list {
			all.send(command)
		}
		var got []string
		for range answered {
			got = append(got, all.reply())
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("%s\nare answered\n%s\nand one after the other\n%s", strings.Join(list, "\n"), strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for _, path := range []string{"/v1/mailboxes/m/messages", "/v1/mailboxes/n/messages"} {
			got, want := timeless(together.get(path).send().body), timeless(serial.get(path).send().body)
			if got != want {
				rt.Fatalf("%s\nleave\n%s\nand one after the other\n%s", strings.Join(list, "\n"), got, want)
			}
		}
		if got, want := together.get("/v1/session").send().number("nextExpectedSeq"), serial.get("/v1/session").send().number("nextExpectedSeq"); got != want {
			rt.Fatalf("command %d is wanted next, and %d one after the other", got, want)
		}
		_, _ = one.conn.Close(), all.conn.Close()
	})
}

// queueWatch is a store that counts the updates of requests in its queue, and on which an add waits for something.
type queueWatch struct {
	rendezvous.Store
	queued atomic.Int64 // updates that have their place
	wait   func()       // called in the transaction of each add
}

// waitingTx calls wait before it adds.
type waitingTx struct {
	rendezvous.Tx
	wait func()
}

func (t waitingTx) Append(m rendezvous.Mailbox, messages ...rendezvous.Message) error {
	t.wait()
	return t.Tx.Append(m, messages...)
}

func (s *queueWatch) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	counted := ctx
	if chi.RouteContext(ctx) != nil { // of a request, and not of a loop
		counted = rendezvous.OnQueued(ctx, func() { s.queued.Add(1); rendezvous.Queued(ctx) })
	}
	return s.Store.Update(counted, func(tx rendezvous.Tx) error { return f(waitingTx{tx, s.wait}) })
}

// watched starts a server whose first add waits in its transaction until what is released, and the socket of a client.
func watched(t *testing.T, limits func(*handlers.Limits)) (_ *queueWatch, _ *client, _ *socketClient, release func()) {
	t.Helper()
	first := make(chan struct{})
	store := &queueWatch{wait: func() {
		select {
		case <-first:
		case <-t.Context().Done():
		}
	}}
	w := start(t, options{Limits: limits, Wrap: func(s rendezvous.Store) rendezvous.Store { store.Store = s; return store }})
	a := w.begin(t, "app", "a")
	a.open("m").want(http.StatusOK)
	l := a.connects("")
	l.want("heartbeat")
	store.queued.Store(0)
	return store, a, l, func() { close(first) }
}

func (s *queueWatch) await(t *testing.T, n int64) {
	t.Helper()
	if !handlerstest.Eventually(t, func() bool { return s.queued.Load() >= n }) {
		t.Fatalf("%d transactions are queued, want %d", s.queued.Load(), n)
	}
}

const anAdd = `{"method": "POST", "path": "/v1/mailboxes/m/messages", "body": {"phase": "p", "body": "x"}}`

// An add begins before the one ahead of it is done, and anything else does not. No more are under way than half the
// window.
func TestAddsBeginBeforeThoseAheadAreDone(t *testing.T) {
	store, a, l, release := watched(t, nil)
	for range 40 {
		l.send(anAdd)
	}
	store.await(t, 32)
	l.send(`{"method": "GET", "path": "/v1/mailboxes/m"}`)
	if n := store.queued.Load(); n != 32 {
		t.Errorf("%d transactions are queued at once", n)
	}
	release()
	for range 40 {
		if got := l.reply(); !strings.Contains(got, `"status":201`) {
			t.Errorf("the reply is %s", got)
		}
	}
	if got := l.reply(); !strings.Contains(got, `"lastPosition":40`) {
		t.Errorf("what comes after the adds is answered %s", got)
	}
	a.add("m", "p", "over HTTP").want(http.StatusCreated)
}

// A message that ends the socket waits for the adds before it to be answered, and nothing after it is done.
func TestASocketEndsBehindItsAdds(t *testing.T) {
	store, a, l, release := watched(t, nil)
	l.send(anAdd)
	l.send(anAdd)
	l.send(`{}`)
	l.send(anAdd)
	store.await(t, 2)
	release()
	for range 2 {
		l.want("reply")
	}
	l.ends("INVALID_REQUEST", "stop", 4400)
	if got := a.get("/v1/mailboxes/m").want(http.StatusOK).number("lastPosition"); got != 2 {
		t.Errorf("%d messages are added", got)
	}
}

// A socket that another one takes the place of answers the adds that it has begun, and then ends.
func TestASupersededSocketAnswersItsAdds(t *testing.T) {
	store, a, l, release := watched(t, nil)
	l.send(anAdd)
	l.send(anAdd)
	store.await(t, 2)
	second := a.connects("")
	second.want("heartbeat")
	release()
	for range 2 {
		l.want("reply")
	}
	l.ends("SUPERSEDED", "slow_down", 4409)
	if got := a.get("/v1/mailboxes/m").want(http.StatusOK).number("lastPosition"); got != 2 {
		t.Errorf("%d messages are added", got)
	}
}

// What a client sent before it left is added.
func TestAddsOfAClientThatLeftAreDone(t *testing.T) {
	store, a, l, release := watched(t, nil)
	for range 3 {
		l.send(anAdd)
	}
	store.await(t, 3)
	if err := l.conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")); err != nil {
		t.Fatal(err)
	}
	_ = l.conn.Close()
	release()
	if !handlerstest.Eventually(t, func() bool { return a.get("/v1/mailboxes/m").want(http.StatusOK).number("lastPosition") == 3 }) {
		t.Error("they are not")
	}
}

// Each add counts against the limit on requests, and one that is refused is answered in its turn.
func TestAddsThatOverlapAreLimited(t *testing.T) {
	store, _, l, release := watched(t, func(l *handlers.Limits) { l.Rate, l.Burst = 0.001, 6 })
	release()
	for range 10 {
		l.send(anAdd)
	}
	var statuses []string
	for range 10 {
		statuses = append(statuses, regexp.MustCompile(`"status":(\d+)}`).FindString(l.reply()))
	}
	if n := store.queued.Load(); n > 4 {
		t.Errorf("%d adds are done: %v", n, statuses)
	}
	if len(slices.Compact(statuses)) != 2 {
		t.Errorf("the statuses are %v", statuses)
	}
}
