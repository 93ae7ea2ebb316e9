package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"restante/openapi"
)

// contract is openapi.yaml, as answers are checked against it.
type contract struct {
	doc *openapi3.T
	// router is what may be answered where there is no operation, by status.
	router map[int]*openapi3.Response
}

// readContract reads the contract that this program was built with.
func readContract() (*contract, error) {
	for _, media := range []string{"text/html", "text/event-stream", "text/javascript"} {
		openapi3filter.RegisterBodyDecoder(media, openapi3filter.PlainBodyDecoder)
	}
	doc, err := openapi3.NewLoader().LoadFromData(openapi.YAML)
	if err != nil {
		return nil, fmt.Errorf("the contract cannot be read: %w", err)
	}
	doc.Servers = nil
	c := &contract{doc, map[int]*openapi3.Response{}}
	answers, _ := doc.Extensions["x-router-responses"].(map[string]any)
	for status, answer := range answers {
		ref, _ := answer.(map[string]any)
		name, _ := ref["$ref"].(string)
		response := doc.Components.Responses[strings.TrimPrefix(name, "#/components/responses/")]
		n, err := strconv.Atoi(status)
		if err != nil || response == nil {
			return nil, fmt.Errorf("the contract has no response %q for the router's %s", name, status)
		}
		c.router[n] = response.Value
	}
	return c, nil
}

// route finds the operation that a request is for, or nil.
func (c *contract) route(r *http.Request) (route *routers.Route, params map[string]string) {
	steps := strings.Split(r.URL.EscapedPath(), "/")
	for template, item := range c.doc.Paths.Map() {
		values, fits := match(strings.Split(template, "/"), steps)
		operation := item.GetOperation(r.Method)
		if r.Method == http.MethodHead {
			operation = item.Get
		}
		if fits && operation != nil {
			return &routers.Route{Spec: c.doc, Path: template, PathItem: item, Method: r.Method, Operation: operation}, values
		}
	}
	return nil, nil
}

// match compares the steps of a path with those of a template, and returns the values of its parameters.
func match(template, steps []string) (params map[string]string, fits bool) {
	if len(template) != len(steps) {
		return nil, false
	}
	params = map[string]string{}
	for i, t := range template {
		switch {
		case t == steps[i]:
		case strings.HasPrefix(t, "{"):
			params[strings.Trim(t, "{}")] = steps[i]
		default:
			return nil, false
		}
	}
	return params, true
}

// check tells how an answer breaks the contract: its status, headers, body, and whether a failure says what to do next.
func (c *contract) check(r *http.Request, a *answer) error {
	route, params := c.route(r)
	var errs []error
	response := c.router[a.status]
	if route != nil {
		in := &openapi3filter.RequestValidationInput{
			Request: r, PathParams: params, Route: route,
			Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true, ExcludeResponseBody: r.Method == http.MethodHead},
		}
		out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: a.status, Header: a.header, Options: in.Options}
		out.SetBodyBytes(a.body)
		errs = append(errs, openapi3filter.ValidateResponse(context.Background(), out))
		if declared := route.Operation.Responses.Status(a.status); declared != nil {
			response = declared.Value
		}
	}
	if response == nil {
		return errors.Join(append(errs, fmt.Errorf("status %d is not declared", a.status))...)
	}
	for name, header := range response.Headers {
		if n := len(a.header.Values(name)); header.Value.Required && n != 1 {
			errs = append(errs, fmt.Errorf("the header %s is required, and is there %d times", name, n))
		}
	}
	if a.status >= http.StatusBadRequest && r.Method != http.MethodHead {
		errs = append(errs, checkProblem(a, response))
	}
	return errors.Join(errs...)
}

// checkProblem tells what is wrong with a problem document.
func checkProblem(a *answer, response *openapi3.Response) error {
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		return fmt.Errorf("a failure has Content-Type %q", got)
	}
	var p struct {
		Code, Title, Detail, Action string
		Status                      int
		Retriable                   bool
	}
	if err := json.Unmarshal(a.body, &p); err != nil {
		return err
	}
	codes, _ := response.Extensions["x-codes"].([]any)
	waits := a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable || p.Action == "slow_down"
	switch {
	case !slices.Contains(codes, any(p.Code)):
		return fmt.Errorf("%s is none of %v", p.Code, codes)
	case p.Status != a.status, p.Retriable != (p.Action != "stop"), p.Title == "", p.Detail == "":
		return fmt.Errorf("status, retriable, title or detail is wrong: %s", a.body)
	case waits != (a.header.Get("Retry-After") != ""):
		return fmt.Errorf("%s has Retry-After %q", p.Code, a.header.Get("Retry-After"))
	}
	return nil
}
