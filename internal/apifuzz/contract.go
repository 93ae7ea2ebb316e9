package apifuzz

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"

	"restante/openapi"
)

// contract is openapi.yaml, as requests are drawn from it and answers are checked against it.
type contract struct {
	operations []*operation
	router     map[int]*response // what the router answers, where there is no operation
	actions    map[string][]string
}

// operation is a method of a path.
type operation struct {
	name     string
	method   string
	path     string // a template
	steps    []string
	params   []param
	body     map[string]*rule // by media type
	required bool             // a body is
	session  bool             // it takes a session
	secret   bool             // it takes an app and a secret
	admin    bool             // it belongs to the operator
	answers  map[int]*response
	open     bool // it tells how the server does, so that words of the database are no secret
}

type param struct {
	name, in string
	required bool
	rule     *rule
}

// response is what an operation may answer with a status.
type response struct {
	media    map[string]*rule
	codes    []string // of failures
	headers  []string
	required []string // of these
}

var load = sync.OnceValues(func() (*contract, error) {
	doc, err := openapi3.NewLoader().LoadFromData(openapi.YAML)
	if err != nil {
		return nil, fmt.Errorf("the contract cannot be read: %w", err)
	}
	compiled := compiler{}
	c := &contract{router: map[int]*response{}, actions: map[string][]string{}}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			c.operations = append(c.operations, newOperation(compiled, path, method, item, op))
		}
	}
	slices.SortFunc(c.operations, func(a, b *operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	router, _ := doc.Extensions["x-router-responses"].(map[string]any)
	for status, ref := range router {
		one, _ := ref.(map[string]any)
		name, _ := one["$ref"].(string)
		n, err := strconv.Atoi(status)
		of := doc.Components.Responses[strings.TrimPrefix(name, "#/components/responses/")]
		if err != nil || of == nil {
			return nil, fmt.Errorf("the router's %s is %q, which is nothing", status, name)
		}
		c.router[n] = newResponse(compiled, of.Value)
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| (\\d+) \\| ([a-z_]+) \\|").FindAllStringSubmatch(doc.Info.Description, -1) {
		key := row[1] + " " + row[2]
		c.actions[key] = append(c.actions[key], row[3])
	}
	seen := map[*rule]bool{}
	for _, o := range c.operations {
		for _, p := range o.params {
			addSamples(p.rule, seen)
		}
		for _, body := range o.body {
			addSamples(body, seen)
		}
	}
	if len(c.operations) == 0 || len(c.actions) == 0 || len(c.router) == 0 {
		return nil, fmt.Errorf("the contract has %d operations, %d codes and %d answers of the router", len(c.operations), len(c.actions), len(c.router))
	}
	return c, nil
})

func newOperation(compiled compiler, path, method string, item *openapi3.PathItem, op *openapi3.Operation) *operation {
	o := &operation{
		name: op.OperationID, method: method, path: path, steps: strings.Split(path, "/"), body: map[string]*rule{}, answers: map[int]*response{},
		session: op.Security == nil, admin: slices.Contains(op.Tags, "admin"), open: slices.Contains(op.Tags, "operations") || slices.Contains(op.Tags, "admin"),
	}
	if op.Security != nil {
		for _, one := range *op.Security {
			_, session := one["session"]
			_, secret := one["secret"]
			o.session, o.secret = o.session || session, o.secret || secret
		}
	}
	for _, ref := range slices.Concat(item.Parameters, op.Parameters) {
		p := ref.Value
		o.params = append(o.params, param{p.Name, p.In, p.Required, compiled.compile(p.Schema)})
	}
	if op.RequestBody != nil {
		o.required = op.RequestBody.Value.Required
		for media, of := range op.RequestBody.Value.Content {
			o.body[media] = compiled.compile(of.Schema)
		}
	}
	for status, of := range op.Responses.Map() {
		n, err := strconv.Atoi(status)
		if err != nil {
			panic(path + " has a response " + status)
		}
		o.answers[n] = newResponse(compiled, of.Value)
	}
	return o
}

func newResponse(compiled compiler, of *openapi3.Response) *response {
	r := &response{media: map[string]*rule{}}
	for media, content := range of.Content {
		r.media[media] = compiled.compile(content.Schema)
	}
	codes, _ := of.Extensions["x-codes"].([]any)
	for _, code := range codes {
		r.codes = append(r.codes, fmt.Sprint(code))
	}
	for name, header := range of.Headers {
		r.headers = append(r.headers, http.CanonicalHeaderKey(name))
		if header.Value.Required {
			r.required = append(r.required, http.CanonicalHeaderKey(name))
		}
	}
	return r
}

// find returns the operation that a request is for, and nil if there is none. methods are those that the path has.
func (c *contract) find(method, path string) (found *operation, methods []string) {
	steps := strings.Split(path, "/")
	if path == "/v1/" {
		steps = steps[:2] // it is served there, too
	}
	for _, o := range c.operations {
		if !fits(o.steps, steps) {
			continue
		}
		methods = append(methods, o.method)
		if o.method == method || method == http.MethodHead && o.method == http.MethodGet && o.answersHead() {
			found = o
		}
	}
	return found, methods
}

// answersHead reports whether HEAD is answered as GET is.
func (o *operation) answersHead() bool { return o.name != "receive" && o.name != "socket" }

func fits(template, steps []string) bool {
	if len(template) != len(steps) {
		return false
	}
	for i, t := range template {
		if t != steps[i] && (!strings.HasPrefix(t, "{") || steps[i] == "" && i == len(steps)-1) { // as the router
			return false
		}
	}
	return true
}
