package handlers_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"restante/openapi"
)

// promise is the contract, as answers are held against it.
type promise struct {
	doc *openapi3.T
	// meanings are the rows of the table of codes in info.description: what the
	// contract says to people must be true as well. SUPERSEDED has two.
	meanings map[string][]means
	// router is what may be answered where there is no operation.
	router map[int]*openapi3.Response
}

type means struct {
	status int
	action string
}

// contract loads it once.
var contract = sync.OnceValue(func() *promise {
	for _, media := range []string{"text/html", "text/event-stream", "text/javascript", "text/css", "image/svg+xml", "application/vnd.google.protobuf"} {
		openapi3filter.RegisterBodyDecoder(media, openapi3filter.PlainBodyDecoder)
	}
	doc, err := openapi3.NewLoader().LoadFromData(openapi.YAML)
	if err != nil {
		panic(err)
	}
	doc.Servers = nil
	p := &promise{doc: doc, meanings: map[string][]means{}, router: map[int]*openapi3.Response{}}
	for _, row := range regexp.MustCompile("\\| `([A-Z_]+)` \\| (\\d{3}) \\| ([a-z_]+) \\|").FindAllStringSubmatch(doc.Info.Description, -1) {
		p.meanings[row[1]] = append(p.meanings[row[1]], means{number(row[2]), row[3]})
	}
	for status, ref := range doc.Extensions["x-router-responses"].(map[string]any) {
		name := strings.TrimPrefix(ref.(map[string]any)["$ref"].(string), "#/components/responses/")
		p.router[number(status)] = doc.Components.Responses[name].Value
	}
	return p
})

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

// route finds the operation that a request is for. There may be none: then methods
// are those that the path has.
func (p *promise) route(method, target string) (_ *routers.Route, params map[string]string, methods []string) {
	path, _, _ := strings.Cut(target, "?")
	if strings.HasPrefix(path, "/mail/") {
		path = path[len("/mail"):] // the base path of tests
	}
	if path == "/v1/" {
		path = "/v1" // it is also served there
	}
	steps := strings.Split(path, "/")
	for template, item := range p.doc.Paths.Map() {
		params := map[string]string{}
		if !fits(strings.Split(template, "/"), steps, params) {
			continue
		}
		op, methods := item.GetOperation(method), slices.Collect(maps.Keys(item.Operations()))
		if looks := item.Get; looks != nil && looks.Extensions["x-head"] != false { // HEAD is what GET is
			methods = append(methods, http.MethodHead)
			if method == http.MethodHead {
				op = looks
			}
		}
		if op == nil {
			return nil, nil, slices.Sorted(slices.Values(methods))
		}
		return &routers.Route{Spec: p.doc, Path: template, PathItem: item, Method: method, Operation: op}, params, nil
	}
	return nil, nil, nil
}

func fits(template, steps []string, params map[string]string) bool {
	if len(template) != len(steps) {
		return false
	}
	for i, t := range template {
		switch {
		case t == steps[i]:
		case strings.HasPrefix(t, "{") && (steps[i] != "" || i < len(steps)-1):
			params[strings.Trim(t, "{}")] = steps[i]
		default:
			return false
		}
	}
	return true
}

// leaks is what no body may hold: the words of drivers, libraries and Go itself.
var leaks = []string{
	"sqlite", "SQL", "jsontext", "strictjson", "encoding/json", "Go value", "Go struct", "json:", "validator", "Key: '", "goroutine", "runtime error",
	"panic", "unmarshal", "Unmarshal", "strconv", "ParseInt", "UNIQUE", "constraint", "restante/", "github.com", ".go:", "context canceled",
	"deadline exceeded", "nil pointer", "unexpected EOF", "net/http", "http: ", "(0x", "RequestObject", "no rows", "database",
}

// mintedID is random, and so may hold any word. So is the resource of a hashcash stamp.
var mintedID = regexp.MustCompile(`"(sessionId|mailbox|resource)":"[^"]*"`)

// unpacked returns the body without its Content-Encoding.
func (a *answer) unpacked() ([]byte, error) {
	if a.header.Get("Content-Encoding") != "gzip" {
		return a.body, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(a.body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// check tells how an answer breaks the contract.
func (p *promise) check(r *request, a *answer) error {
	route, params, methods := p.route(r.method, r.target)
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	var response *openapi3.Response
	switch {
	case route != nil && !answeredEarly(route.Operation, a.status):
		in := &openapi3filter.RequestValidationInput{
			Request: &http.Request{Method: r.method, Header: r.header}, PathParams: params, Route: route,
			Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true, ExcludeResponseBody: r.method == http.MethodHead},
		}
		out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: a.status, Header: a.header, Options: in.Options}
		body, err := a.unpacked()
		if err != nil {
			fail("Content-Encoding: %w", err)
		}
		out.SetBodyBytes(body)
		if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
			fail("the contract: %w", err)
		}
		if ref := route.Operation.Responses.Status(a.status); ref != nil {
			response = ref.Value
		}
		if takesSession(route.Operation) && a.header.Get("Cache-Control") != "no-store" {
			fail("Cache-Control is %q", a.header.Values("Cache-Control"))
		}
	case a.status == http.StatusNotFound && methods != nil, a.status == http.StatusMethodNotAllowed && methods == nil:
		fail("there is no such operation; the path takes %q", methods)
	default:
		if response = p.router[a.status]; response == nil {
			fail("the router does not answer %d", a.status)
		}
	}
	if response == nil {
		return errors.Join(errs...)
	}
	if r.method == http.MethodHead && len(a.body) > 0 {
		fail("HEAD is answered with a body")
	}
	for _, name := range []string{"Ack", "Replayed", "Retry-After", "WWW-Authenticate", "Allow"} {
		if a.header.Get(name) != "" && response.Headers[name] == nil {
			fail("%s is not in the contract of this answer", name)
		}
	}
	for name, header := range response.Headers {
		if header.Value.Required && len(a.header.Values(name)) != 1 {
			fail("%s is required, and is there %d times", name, len(a.header.Values(name)))
		}
	}
	if a.status == http.StatusMethodNotAllowed {
		if allowed := strings.Split(a.header.Get("Allow"), ", "); !slices.Equal(slices.Sorted(slices.Values(allowed)), methods) {
			fail("Allow is %q; the path takes %q", allowed, methods)
		}
	}
	if a.header.Get("X-Content-Type-Options") != "nosniff" {
		fail("a browser may guess its type")
	}
	if len(response.Content) == 0 && len(a.body) > 0 {
		fail("there is a body")
	}
	text := mintedID.ReplaceAllString(string(a.body), "")
	for _, leak := range leaks {
		if strings.Contains(text, leak) && !(a.status == http.StatusOK && route != nil && route.Operation.Tags[0] == "operations") {
			fail("the body holds %q", leak)
		}
	}
	if r.c.id != "" && strings.Contains(text, r.c.id) {
		fail("the body holds the credential")
	}
	if a.status >= http.StatusBadRequest {
		errs = append(errs, p.checkProblem(r, a, response)...)
	}
	return errors.Join(errs...)
}

// problem is a problem document.
type problem struct {
	Type, Title, Detail, Code, Action string
	Status                            int
	Retriable                         bool
	ExpectedSeq, NextExpectedSeq      *int64
	Reason                            *string
	Errors                            []struct{ Pointer, Rule, Message string }
}

// answeredEarly reports whether a status is one with which a request is answered before an operation is looked for. Many
// operations answer 403, too.
func answeredEarly(op *openapi3.Operation, status int) bool {
	return status == http.StatusMisdirectedRequest || status == http.StatusForbidden && op.Responses.Status(status) == nil
}

func (p *promise) checkProblem(r *request, a *answer, response *openapi3.Response) (errs []error) {
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if got := a.header.Values("Content-Type"); len(got) != 1 || got[0] != "application/problem+json" {
		fail("a failure is %q", got)
	}
	if r.method == http.MethodHead {
		return errs // its body stays with the server
	}
	var said problem
	if err := json.Unmarshal(a.body, &said); err != nil {
		return append(errs, err)
	}
	if codes := response.Extensions["x-codes"].([]any); !slices.Contains(codes, any(said.Code)) {
		fail("%s is none of %v", said.Code, codes)
	}
	if !slices.Contains(p.meanings[said.Code], means{a.status, said.Action}) {
		fail("%s with %d and %s is not in the table of codes", said.Code, a.status, said.Action)
	}
	if said.Status != a.status || said.Retriable != (said.Action != "stop") || said.Title == "" || said.Detail == "" {
		fail("status, retriable, title or detail is wrong")
	}
	if said.Type != "urn:restante:problem:"+strings.ReplaceAll(strings.ToLower(said.Code), "_", "-") {
		fail("type is %s", said.Type)
	}
	waits := a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable || said.Action == "slow_down"
	if waits != (a.header.Get("Retry-After") != "") {
		fail("Retry-After is %q", a.header.Values("Retry-After"))
	}
	if (said.ExpectedSeq != nil) != (said.Code == "SEQ_GAP") {
		fail("expectedSeq goes with SEQ_GAP")
	}
	ended := said.Reason != nil && said.NextExpectedSeq != nil
	if said.Code == "SESSION_ENDED" && !ended || ended && said.Code != "SESSION_ENDED" && said.Code != "SESSION_STATE_MISMATCH" {
		fail("reason and nextExpectedSeq go with the end of a session")
	}
	if said.Errors != nil && a.status != http.StatusBadRequest {
		fail("errors go with 400")
	}
	// An answer says where a mistake is; it does not send it back.
	if len(a.body) > 8<<10 {
		fail("it is %d bytes", len(a.body))
	}
	return errs
}

// takesSession reports whether an operation asks for a session, or also takes another credential.
func takesSession(op *openapi3.Operation) bool {
	return op.Security == nil || slices.ContainsFunc(*op.Security, func(r openapi3.SecurityRequirement) bool {
		_, session := r["session"]
		return session
	})
}
