package conformance

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// trial is one conversation with the server, about one rule. Its methods unwind it at the first thing that is wrong.
type trial struct {
	*suite
	ctx     context.Context
	closers []func()
	opened  []*client
}

// failf ends the trial: the rule is broken.
func (t *trial) failf(format string, args ...any) { panic(stop{fmt.Errorf(format, args...)}) }

// must ends the trial if there was an error.
func (t *trial) must(err error) {
	if err != nil {
		t.failf("%w", err)
	}
}

// equal ends the trial unless both are the same.
func equal[T comparable](t *trial, what string, got, want T) {
	if got != want {
		t.failf("%s is %v, want %v", what, got, want)
	}
}

// cleanUp frees what the trial holds at the server. What fails does not matter: it is pruned.
func (t *trial) cleanUp() {
	for _, c := range t.opened {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), time.Second)
		if request, err := http.NewRequestWithContext(ctx, http.MethodDelete, t.base+"/v1/session?mood=happy", http.NoBody); err == nil {
			request.Header.Set("Authorization", "Bearer "+c.id)
			if response, err := t.http.Do(request); err == nil {
				_ = response.Body.Close()
			}
		}
		cancel()
	}
	for _, closer := range t.closers {
		closer()
	}
}

// random returns 26 characters that are unique.
func random() string { return strings.ToLower(rand.Text()) }

// request is what is sent.
type request struct {
	method, path string
	body         any // JSON; or a string, which is sent as it is
	header       map[string]string
}

// answer is what came back.
type answer struct {
	t      *trial
	what   string // the request, for messages
	status int
	header http.Header
	body   []byte
}

// busy are the codes with which a server says that it is not the moment to ask.
var busy = map[string]bool{"RATE_LIMITED": true, "OVERLOADED": true, "DRAINING": true, "STORAGE_UNAVAILABLE": true}

// do sends a request and checks its answer against the contract. It waits as long as a busy server says.
func (t *trial) do(r request) *answer {
	for {
		a := t.exchange(r)
		wait, err := strconv.Atoi(a.header.Get("Retry-After"))
		if !busy[a.code()] || err != nil {
			return a
		}
		select {
		case <-t.ctx.Done():
			panic(stop{fmt.Errorf("%w: the server answers %d %s", errUntried, a.status, a.code())})
		case <-time.After(time.Duration(wait) * time.Second):
		}
	}
}

// exchange sends a request once.
func (t *trial) exchange(r request) *answer {
	response, sent := t.send(r)
	defer response.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.lost(r, err)
	}
	a := &answer{t, r.method + " " + r.path, response.StatusCode, response.Header, body}
	if err := t.contract.check(sent, a); err != nil {
		t.failf("%s is answered %d, against the contract: %w", a.what, a.status, err)
	}
	return a
}

// send sends a request and returns the answer, whose body is to be read and closed.
func (t *trial) send(r request) (response *http.Response, sent *http.Request) {
	var payload []byte
	contentType := ""
	switch body := r.body.(type) {
	case nil:
	case string:
		payload = []byte(body)
	default:
		var err error
		payload, err = json.Marshal(body)
		t.must(err)
		contentType = "application/json"
	}
	sent, err := http.NewRequestWithContext(t.ctx, r.method, t.base+r.path, bytes.NewReader(payload))
	t.must(err)
	if contentType != "" {
		sent.Header.Set("Content-Type", contentType)
	}
	for name, value := range r.header {
		sent.Header.Set(name, value)
	}
	if response, err = t.http.Do(sent); err != nil {
		t.lost(r, err)
	}
	return response, sent
}

// lost ends the trial because a request had no answer.
func (t *trial) lost(r request, err error) {
	if errors.Is(err, context.DeadlineExceeded) {
		err = context.Cause(t.ctx)
	}
	t.failf("%s %s has no answer: %w", r.method, r.path, err)
}

// problem is a problem document, as far as rules need it.
type problem struct {
	Code, Action, Reason, Detail string
	ExpectedSeq, NextExpectedSeq *int64
}

// problem reads the answer as a problem document. Other answers give an empty one.
func (a *answer) problem() (p problem) {
	if a.status >= http.StatusBadRequest {
		_ = json.Unmarshal(a.body, &p) // the contract was checked
	}
	return p
}

func (a *answer) code() string { return a.problem().Code }

// status wants an answer with this status.
func (a *answer) ok(status int) *answer {
	if a.status != status {
		a.t.failf("%s is answered %d %.300s, want %d", a.what, a.status, a.body, status)
	}
	return a
}

// refused wants a problem document with this code and action.
func (a *answer) refused(code, action string) problem {
	p := a.problem()
	if p.Code != code || p.Action != action {
		a.t.failf("%s is answered %d %.300s, want %s with the action %s", a.what, a.status, a.body, code, action)
	}
	return p
}

// decode reads the body, which is JSON.
func decode[T any](a *answer) (v T) {
	if err := json.Unmarshal(a.body, &v); err != nil {
		a.t.failf("%s is answered %.300s: %w", a.what, a.body, err)
	}
	return v
}
