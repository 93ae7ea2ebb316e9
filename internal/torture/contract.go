package torture

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"restante/openapi"
)

// contract is what openapi.yaml declares of answers: which statuses an operation has, and which codes.
type contract struct {
	operations []operation
	actions    map[string][]string // by code and status, from the table of failures
}

type operation struct {
	method  string
	path    *regexp.Regexp
	answers map[int][]string // the codes of each status; none for a success
}

type responseObject struct {
	Ref   string   `yaml:"$ref"`
	Codes []string `yaml:"x-codes"`
}

var inBraces = regexp.MustCompile(`\\\{[^}]*\\\}`)

// readContract parses the contract.
func readContract() (*contract, error) {
	var document struct {
		Info struct {
			Description string `yaml:"description"`
		} `yaml:"info"`
		Router     map[string]responseObject       `yaml:"x-router-responses"`
		Paths      map[string]map[string]yaml.Node `yaml:"paths"`
		Components struct {
			Responses map[string]responseObject `yaml:"responses"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(openapi.YAML, &document); err != nil {
		return nil, err
	}
	codes := func(r responseObject) []string {
		if name, is := strings.CutPrefix(r.Ref, "#/components/responses/"); is {
			return document.Components.Responses[name].Codes
		}
		return r.Codes
	}
	c := &contract{actions: map[string][]string{}}
	for path, methods := range document.Paths {
		pattern := regexp.MustCompile("^" + inBraces.ReplaceAllString(regexp.QuoteMeta(path), "[^/]+") + "$")
		for method, node := range methods {
			if !slices.Contains([]string{"get", "put", "post", "delete"}, method) {
				continue
			}
			var of struct {
				Responses map[string]responseObject `yaml:"responses"`
			}
			if err := node.Decode(&of); err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
			o := operation{strings.ToUpper(method), pattern, map[int][]string{}}
			for status, response := range of.Responses {
				n, err := strconv.Atoi(status)
				if err != nil {
					return nil, fmt.Errorf("%s %s: %w", method, path, err)
				}
				o.answers[n] = codes(response)
			}
			c.operations = append(c.operations, o)
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| (\\d+) \\| ([a-z_]+) \\|").FindAllStringSubmatch(document.Info.Description, -1) {
		key := row[1] + " " + row[2]
		c.actions[key] = append(c.actions[key], row[3])
	}
	if len(c.operations) == 0 || len(c.actions) == 0 {
		return nil, fmt.Errorf("the contract has %d operations and %d codes", len(c.operations), len(c.actions))
	}
	return c, nil
}

// problem is a problem document, as far as clients need it.
type problem struct {
	Type        string `json:"type"`
	Title       string `json:"title"`
	Status      int    `json:"status"`
	Detail      string `json:"detail"`
	Code        string `json:"code"`
	Retriable   *bool  `json:"retriable"`
	Action      string `json:"action"`
	ExpectedSeq *int64 `json:"expectedSeq"`
	Reason      string `json:"reason"`
	RetryAfter  *int64 `json:"retryAfterMs"`
}

// breach tells how an answer breaks the contract; empty: it does not.
func (c *contract) breach(method, path string, status int, header http.Header, body []byte) string {
	path, _, _ = strings.Cut(path, "?")
	at := slices.IndexFunc(c.operations, func(o operation) bool { return o.method == method && o.path.MatchString(path) })
	if at < 0 {
		return fmt.Sprintf("%s %s is not in the contract", method, path)
	}
	codes, declared := c.operations[at].answers[status]
	if !declared {
		return fmt.Sprintf("status %d is not declared", status)
	}
	if status < 400 {
		return ""
	}
	if header != nil && header.Get("Content-Type") != "application/problem+json" {
		return fmt.Sprintf("status %d has Content-Type %q", status, header.Get("Content-Type"))
	}
	if header != nil && (status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable) && header.Get("Retry-After") == "" {
		return fmt.Sprintf("status %d has no Retry-After", status)
	}
	var p problem
	if err := json.Unmarshal(body, &p); err != nil {
		return fmt.Sprintf("status %d has no problem document: %v", status, err)
	}
	if !slices.Contains(codes, p.Code) {
		return fmt.Sprintf("code %q is not declared with status %d here: %q", p.Code, status, codes)
	}
	return c.wrongProblem(&p, status)
}

// wrongProblem tells what is wrong with a problem document, wherever it comes from.
func (c *contract) wrongProblem(p *problem, status int) string {
	actions := c.actions[fmt.Sprintf("%s %d", p.Code, status)]
	switch {
	case p.Status != status:
		return fmt.Sprintf("the problem says status %d, the answer has %d", p.Status, status)
	case !slices.Contains(actions, p.Action):
		return fmt.Sprintf("%s with status %d has the action %q, want one of %q", p.Code, status, p.Action, actions)
	case p.Title == "" || p.Detail == "" || p.Retriable == nil || !strings.HasPrefix(p.Type, "urn:restante:problem:"):
		return "the problem document is not complete"
	}
	for _, internal := range []string{"sqlite", "SQLITE", "pq:", "sql:", "goroutine ", "panic", ".go:"} {
		if strings.Contains(p.Detail, internal) {
			return fmt.Sprintf("the problem tells internals: %q", p.Detail)
		}
	}
	return ""
}
