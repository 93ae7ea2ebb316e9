package torture

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// get is a request beside the history, such as to /readyz.
func get(ctx context.Context, url string) (status int, body []byte) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, nil
	}
	response, err := direct.Do(request)
	if err != nil {
		return 0, nil
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	body, err = io.ReadAll(response.Body)
	if err != nil {
		return 0, nil
	}
	return response.StatusCode, body
}

// direct has no connection that a killed server could have left behind.
var direct = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// base is the address of a server, by way of the proxy for the client's transport.
func (c *client) base(of string) string {
	return pick(c.dice, c.w.servers).proxies[of].address()
}

// call is one request to be tried.
type call struct {
	method, path string
	seq, ack     int64
	body         string
	within       time.Duration
	accept       string
	key          string // the Idempotency-Key
}

// request makes an HTTP request of a call.
func (c *client) request(ctx context.Context, q call) (*http.Request, error) {
	var body io.Reader = http.NoBody
	if q.body != "" {
		body = strings.NewReader(q.body)
	}
	r, err := http.NewRequestWithContext(ctx, q.method, "http://"+c.base(c.way())+q.path, body)
	if err != nil {
		return nil, err
	}
	if q.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	switch {
	case c.keyed:
		r.SetBasicAuth(c.app, c.id)
	case q.path != "/v1/sessions":
		r.Header.Set("Authorization", "Bearer "+c.id)
	}
	if q.seq != none {
		r.Header.Set("Seq", strconv.FormatInt(q.seq, 10))
	}
	if q.ack != none && !strings.Contains(q.path, "ack=") {
		r.Header.Set("Ack", strconv.FormatInt(q.ack, 10))
	}
	if q.key != "" {
		r.Header.Set("Idempotency-Key", q.key)
	}
	if q.accept != "" {
		r.Header.Set("Accept", q.accept)
	}
	return r, nil
}

// attempt tries a request once and records it. Without an answer the status is 0.
func (c *client) attempt(ctx context.Context, q call) *Event {
	e := &Event{
		Kind: Request, At: c.h.now(), Session: c.label, Transport: c.way(),
		Method: q.method, Path: q.path, Seq: q.seq, Ack: q.ack, Key: q.key, Sent: q.body, Wanted: none,
	}
	if q.path == "/v1/sessions" {
		e.Kind = Handshake
	}
	ctx, cancel := context.WithTimeout(ctx, q.within)
	defer cancel()
	c.exchange(ctx, q, e)
	c.h.add(e)
	return e
}

func (c *client) exchange(ctx context.Context, q call, e *Event) {
	r, err := c.request(ctx, q)
	if err != nil {
		e.Wrong = err.Error()
		return
	}
	response, err := c.http.Do(r)
	if err != nil {
		return
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return // it was cut: there is no answer
	}
	e.Done = c.h.now()
	if ack := response.Header.Get("Ack"); ack != "" {
		e.Wanted = number(ack)
	}
	if response.Header.Get("Replayed") != "" {
		c.w.replayed.Add(1)
	}
	e.Status, e.Answer = response.StatusCode, string(body)
	e.Wrong = c.w.contract.breach(q.method, q.path, response.StatusCode, response.Header, body)
	if e.Status >= 400 {
		e.Code = codeOf(body)
	}
}

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return none
	}
	return n
}

func codeOf(body []byte) string {
	var p problem
	if json.Unmarshal(body, &p) != nil {
		return ""
	}
	return p.Code
}

// actionOf is what a problem document says to do next.
func actionOf(body string) string {
	var p problem
	if json.Unmarshal([]byte(body), &p) != nil {
		return ""
	}
	return p.Action
}
