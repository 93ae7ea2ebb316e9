package handlers_test

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"restante/internal/testclient"
)

// client is one party, with or without a session.
type client struct {
	testing.TB
	w         *testServer
	app, side string
	id        string // the session's; empty: it has none
	basic     string // what stands for an app and a secret
}

// anonymous returns a client without a session.
func (w *testServer) anonymous(t testing.TB) *client { return &client{TB: t, w: w} }

// begin is a client with a new session.
func (w *testServer) begin(t testing.TB, app, side string) *client {
	t.Helper()
	c := &client{TB: t, w: w, app: app, side: side, id: newID()}
	c.handshake(0, 0).want(http.StatusCreated)
	return c
}

// newID makes a session id.
func newID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// in is the same client in a subtest.
func (c *client) in(t testing.TB) *client {
	d := *c
	d.TB = t
	return &d
}

// handshake is the client's handshake: the next frame it expects and the oldest command it would send again.
func (c *client) handshake(expects, sends int, more ...string) *request {
	members := append([]string{
		"sessionId", quote(c.id), "appId", quote(c.app), "side", quote(c.side),
		"expectedSessionState", fmt.Sprintf(`{"nextExpectedSeq": %d, "nextSentSeq": %d}`, expects, sends),
	}, more...)
	return c.w.anonymous(c.TB).post("/v1/sessions", hello(members...))
}

// hello is the body of a handshake: names and values in turn, in place of or besides the usual ones.
// An empty value leaves the member out.
func hello(members ...string) string {
	names := []string{"protocolVersion", "appId", "expectedSessionState"}
	values := map[string]string{
		"protocolVersion": `"1"`, "appId": `"app.example"`, "expectedSessionState": `{"nextExpectedSeq": 0, "nextSentSeq": 0}`,
	}
	for i := 0; i < len(members); i += 2 {
		if _, known := values[members[i]]; !known {
			names = append(names, members[i])
		}
		values[members[i]] = members[i+1]
	}
	var parts []string
	for _, name := range names {
		if values[name] != "" {
			parts = append(parts, quote(name)+": "+values[name])
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func quote(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

// request is what a client asks for.
type request struct {
	c              *client
	method, target string
	header         http.Header
	body           string
	stream         io.Reader // instead of body, if it is set
}

func (c *client) ask(method, target, body string) *request {
	r := &request{c: c, method: method, target: target, header: http.Header{}, body: body}
	if c.basic != "" {
		r.header.Set("Authorization", c.basic)
	}
	if c.id != "" {
		r.header.Set("Authorization", "Bearer "+c.id)
	}
	if body != "" {
		r.header.Set("Content-Type", "application/json")
	}
	return r
}

func (c *client) get(target string) *request        { return c.ask(http.MethodGet, target, "") }
func (c *client) delete(target string) *request     { return c.ask(http.MethodDelete, target, "") }
func (c *client) put(target string) *request        { return c.ask(http.MethodPut, target, "") }
func (c *client) post(target, body string) *request { return c.ask(http.MethodPost, target, body) }

// open opens a mailbox.
func (c *client) open(mailbox string) *request { return c.put("/v1/mailboxes/" + mailbox) }

// add adds a message.
func (c *client) add(mailbox, phase, body string) *request {
	return c.post("/v1/mailboxes/"+mailbox+"/messages", fmt.Sprintf(`{"phase": %s, "body": %s}`, quote(phase), quote(body)))
}

// poll receives what there is, without waiting.
func (c *client) poll(ack int) *request {
	return c.get("/v1/session/events?wait=0&ack=" + strconv.Itoa(ack))
}

// with adds headers, written "Name: value"; a name after a minus sign takes away all that were there.
func (r *request) with(headers ...string) *request {
	for _, h := range headers {
		if name, ok := strings.CutPrefix(h, "-"); ok {
			r.header.Del(name)
			continue
		}
		name, value, _ := strings.Cut(h, ": ")
		r.header.Add(name, value)
	}
	return r
}

func (r *request) seq(n int) *request { return r.with("Seq: " + strconv.Itoa(n)) }

// exchange sends the request and holds the answer against the contract.
func (r *request) exchange(ctx context.Context) (*answer, error) {
	w := r.c.w
	if r.c.id != "" {
		w.Secret(r.c.id)
	}
	body := r.stream
	if body == nil {
		body = strings.NewReader(r.body)
	}
	asked, err := http.NewRequestWithContext(ctx, r.method, "http://restante.test/", body)
	if err != nil {
		return nil, err
	}
	asked.URL = &url.URL{Scheme: "http", Host: "restante.test", Opaque: r.target} // as it is, whatever it is
	asked.Header, asked.Host = r.header, cmp.Or(r.header.Get("Host"), asked.Host)
	got, err := w.HTTP.Do(asked)
	if err != nil {
		return nil, err
	}
	a, err := newAnswer(got)
	if err != nil {
		return nil, err
	}
	if err := contract().check(r, a); err != nil {
		return a, fmt.Errorf("%s %.80q: %d %s: %w", r.method, r.target, a.status, a.body, err)
	}
	return a, nil
}

// send fails the test if there is no answer or one that breaks the contract.
func (r *request) send() *answer {
	r.c.Helper()
	a, err := r.exchange(r.c.Context())
	if err != nil {
		r.c.Fatal(err)
	}
	a.TB = r.c.TB
	return a
}

// want sends, and fails the test at any other status.
func (r *request) want(status int) *answer {
	r.c.Helper()
	a := r.send()
	if a.status != status {
		r.c.Fatalf("%s %.80q is answered %d, want %d: %s", r.method, r.target, a.status, status, a.body)
	}
	return a
}

// refused sends, and fails the test unless that is the problem.
func (r *request) refused(status int, code string) *answer {
	r.c.Helper()
	a := r.want(status)
	if got := a.text("code"); got != code {
		r.c.Fatalf("%s %.80q is refused with %s, want %s: %s", r.method, r.target, got, code, a.body)
	}
	return a
}

// later sends on another goroutine; the test fails there as it would here.
func (r *request) later() <-chan *answer {
	answered := make(chan *answer, 1)
	go func() {
		a, err := r.exchange(r.c.Context())
		if err != nil {
			r.c.Error(err)
			a = &answer{header: http.Header{}}
		}
		a.TB = r.c.TB
		answered <- a
	}()
	return answered
}

// answer is what the server said.
type answer struct {
	testing.TB
	status int
	header http.Header
	body   []byte
}

func newAnswer(got *http.Response) (*answer, error) {
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	return &answer{status: got.StatusCode, header: got.Header, body: body}, err
}

// readAnswer reads one from a connection; asked is the request, nil for a GET.
func readAnswer(from io.Reader, asked *http.Request) (*answer, error) {
	got, err := http.ReadResponse(bufio.NewReader(from), asked)
	if err != nil {
		return nil, err
	}
	return newAnswer(got)
}

// at is what stands at a path of names and indices in the body, such as sides/0/mood; nil if nothing does.
func (a *answer) at(path string) any {
	a.Helper()
	at, err := testclient.At(a.body, path)
	if err != nil {
		a.Fatalf("%v: %s", err, a.body)
	}
	return at
}

func (a *answer) text(path string) string {
	a.Helper()
	s, is := a.at(path).(string)
	if !is {
		a.Fatalf("%s is %v, no text: %s", path, a.at(path), a.body)
	}
	return s
}

func (a *answer) number(path string) int64 {
	a.Helper()
	n, is := a.at(path).(json.Number)
	i, err := n.Int64()
	if !is || err != nil {
		a.Fatalf("%s is %v, no integer: %s", path, a.at(path), a.body)
	}
	return i
}

// count is how many items a list has.
func (a *answer) count(path string) int {
	a.Helper()
	list, is := a.at(path).([]any)
	if !is {
		a.Fatalf("%s is %v, no list: %s", path, a.at(path), a.body)
	}
	return len(list)
}

// says fails the test unless the header is there once, with this value.
func (a *answer) says(name, value string) *answer {
	a.Helper()
	if got := a.header.Values(name); len(got) != 1 || got[0] != value {
		a.Errorf("%s is %q, want %q", name, got, value)
	}
	return a
}
