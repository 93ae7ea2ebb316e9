package apifuzz

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// leaks are words of drivers, libraries and Go itself, which no answer to a client may have.
var leaks = func() (words [][]byte) {
	for _, word := range []string{
		"sqlite", "SQL", "memstore", "jsontext", "encoding/json", "Go value", "Go struct", "json:", "validator", "Key: '", "goroutine", "runtime error", "panic",
		"unmarshal", "Unmarshal", "strconv", "ParseInt", "UNIQUE", "constraint", "restante/", "github.com", ".go:", "context canceled", "deadline exceeded",
		"nil pointer", "unexpected EOF", "net/http", "http: ", "(0x", "RequestObject", "no rows", "database", "the connection was cut",
	} {
		words = append(words, []byte(word))
	}
	return words
}()

// mintedID is random, and may have any word in it. So is the resource of a hashcash stamp.
var mintedID = regexp.MustCompile(`"(sessionId|mailbox|resource)":"[^"]*"`)

// mostRows is how many rows a request may read.
func mostRows(o *operation) int64 {
	if o != nil && o.name == "listSessions" {
		return mostRead + 1000 // an operator may ask for as many
	}
	return mostRead
}

// mostBytes is how long the body of an answer may be. Bodies of messages count as they are in limits (256 KiB an answer),
// and may get longer in JSON.
func mostBytes(o *operation) int64 {
	switch {
	case o == nil:
		return 8 << 10
	case o.open:
		return 1 << 20
	case o.name == "listMessages":
		return 6 * 256 << 10
	case o.name == "receive":
		return 300 << 10
	case o.name == "listNameplates":
		return 33 << 10
	}
	return 8 << 10
}

// The most that one request may cost. A list of 100 messages is the largest command, and each of two sides may be told of
// each message; a side has at most 64 mailboxes and 16 nameplates.
const (
	mostTransactions = 8
	mostRead         = 400
	mostWritten      = 400
	mostTime         = 2 * time.Second // of virtual time, besides what the client asked to wait
	longestHold      = 30 * time.Second
)

// check tells what is wrong with an answer; "" if nothing is.
func (c *contract) check(in *input, a *answer) string {
	if a.panic != "" {
		return "panic: " + a.panic
	}
	if why := a.tooMuch(in); why != "" {
		return why
	}
	if a.status >= http.StatusInternalServerError {
		return "the server failed, and nothing was wrong with it"
	}
	response, why := c.declared(in, a)
	if why != "" {
		return why
	}
	if why := a.wrongHeaders(in, response); why != "" {
		return why
	}
	if why := c.wrongBody(in, a, response); why != "" {
		return why
	}
	switch {
	case in.kind == near && a.status < http.StatusBadRequest:
		return "it breaks a rule, and is accepted: " + in.broken
	case in.kind == valid && (a.status == http.StatusBadRequest || a.status == http.StatusUnsupportedMediaType || a.status == http.StatusRequestEntityTooLarge) && !in.mayBeRefused(a):
		return "it keeps the rules, and is refused as if it broke one"
	}
	return ""
}

// mayBeRefused reports whether a valid request is refused for a reason that the contract tells in words.
func (in *input) mayBeRefused(a *answer) bool {
	for _, words := range allowedRefusals[in.op.name] {
		if bytes.Contains(a.body.Bytes(), []byte(words)) {
			return true
		}
	}
	return false
}

// limited is in the refusal of what the operator limits, and not the contract.
const limited = "is at most 86400000 here"

// allowedRefusals are what the contract says in words and not in schemas, by operation.
var allowedRefusals = map[string][]string{
	"openMailbox":       {"the last message is at", limited},
	"listMessages":      {"the last message is at", limited},
	"addMessage":        {limited},
	"allocateNameplate": {limited},
	"claimNameplate":    {limited},
	"beginSession":      {"MALFORMED_HANDSHAKE_META", limited, "a session cannot replace itself"},
	"updateMetadata":    {"4096"},
}

// tooMuch tells what an answer cost that it may not.
func (a *answer) tooMuch(in *input) string {
	most := mostTime
	if in.op != nil && (in.op.name == "receive" || in.op.name == "listMessages") {
		most += streamed * longestHold
	}
	switch {
	case a.took > most:
		return fmt.Sprintf("it took %v", a.took)
	case a.sent > mostBytes(in.op):
		return fmt.Sprintf("it has %d bytes", a.sent)
	case a.work.transactions.Load() > mostTransactions:
		return fmt.Sprintf("it took %d transactions", a.work.transactions.Load())
	case a.work.read.Load() > mostRows(in.op):
		return fmt.Sprintf("it read %d rows", a.work.read.Load())
	case a.work.written.Load() > mostWritten:
		return fmt.Sprintf("it wrote %d rows", a.work.written.Load())
	}
	return ""
}

// declared returns what the contract says of an answer.
func (c *contract) declared(in *input, a *answer) (says *response, why string) {
	if in.op != nil {
		if r := in.op.answers[a.status]; r != nil {
			return r, ""
		}
		switch a.status {
		case http.StatusForbidden, http.StatusMisdirectedRequest, http.StatusTooManyRequests, http.StatusPermanentRedirect: // before the operation
		default:
			return nil, fmt.Sprintf("%s does not declare the status %d", in.op.name, a.status)
		}
	}
	r := c.router[a.status]
	if r == nil {
		return nil, fmt.Sprintf("the router does not answer %d", a.status)
	}
	if in.op == nil && a.status == http.StatusNotFound {
		if _, methods := c.find(in.method, pathOf(in.target)); len(methods) > 0 && !in.elsewhere() {
			return nil, fmt.Sprintf("the path takes %q", methods)
		}
	}
	return r, ""
}

// elsewhere reports whether a path is served to others: to the operator, or only if there is an asset of that name.
func (in *input) elsewhere() bool {
	for _, prefix := range []string{"/v1/admin/", "/status", "/metrics", "/v1/status", "/assets/"} {
		if strings.HasPrefix(in.target, prefix) {
			return true
		}
	}
	return false
}

func (a *answer) wrongHeaders(in *input, r *response) string {
	for _, name := range r.required {
		if n := len(a.header[name]); n != 1 {
			return fmt.Sprintf("the header %s is required, and is there %d times", name, n)
		}
	}
	for _, name := range []string{"Ack", "Replayed", "Retry-After", "Www-Authenticate", "Allow"} {
		if len(a.header[name]) > 0 && !slices.Contains(r.headers, name) {
			return fmt.Sprintf("the header %s is not in the contract of this answer", name)
		}
	}
	if ack := a.header.Get("Ack"); ack != "" {
		if n, err := strconv.ParseInt(ack, 10, 64); err != nil || n < 0 || n > 1<<53-1 {
			return "Ack is " + ack
		}
	}
	switch {
	case in.op != nil && in.op.session && in.op.name != "socket" && a.header.Get("Cache-Control") != "no-store":
		return fmt.Sprintf("Cache-Control is %q", a.header["Cache-Control"])
	case a.header.Get("X-Content-Type-Options") != "nosniff":
		return "a browser may guess its type"
	}
	return ""
}

func (c *contract) wrongBody(in *input, a *answer, r *response) string {
	body := a.body.Bytes()
	if in.method == http.MethodHead || a.status == http.StatusNotModified || a.header.Get("Content-Encoding") != "" {
		return ""
	}
	if length := a.header.Get("Content-Length"); length != "" && length != strconv.Itoa(len(body)) {
		return fmt.Sprintf("it has %d bytes, and says %s", len(body), length)
	}
	if len(r.media) == 0 {
		if len(body) > 0 {
			return "it has a body"
		}
		return ""
	}
	if in.op == nil || !in.op.open {
		text := mintedID.ReplaceAll(body, nil)
		for _, leak := range leaks {
			if bytes.Contains(text, leak) {
				return fmt.Sprintf("it tells %q", leak)
			}
		}
		if in.secret != "" && bytes.Contains(text, []byte(in.secret)) {
			return "it tells the credential"
		}
	}
	media, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	rule, is := r.media[media]
	if !is {
		return fmt.Sprintf("it is of type %q", a.header.Get("Content-Type"))
	}
	if !strings.HasSuffix(media, "json") {
		return ""
	}
	if in.op != nil && in.op.name == "getContractAsJSON" {
		return "" // which other tests read
	}
	var said any
	if err := decode(body, &said); err != nil {
		return "it is no JSON: " + err.Error()
	}
	if why := rule.breach(said, ""); why != "" {
		return why
	}
	if a.status >= http.StatusBadRequest {
		return c.wrongProblem(a, r, said)
	}
	return ""
}

func (c *contract) wrongProblem(a *answer, r *response, said any) string {
	p, _ := said.(map[string]any)
	code, action := fmt.Sprint(p["code"]), fmt.Sprint(p["action"])
	waits := a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable || action == "slow_down"
	switch {
	case !slices.Contains(r.codes, code):
		return fmt.Sprintf("the code %s is none of %v", code, r.codes)
	case !slices.Contains(c.actions[code+" "+strconv.Itoa(a.status)], action):
		return fmt.Sprintf("%s with %d has the action %s, which is not in the table", code, a.status, action)
	case fmt.Sprint(p["status"]) != strconv.Itoa(a.status), p["retriable"] != (action != "stop"), p["title"] == "", p["detail"] == "":
		return "its status, retriable, title or detail is wrong"
	case fmt.Sprint(p["type"]) != "urn:restante:problem:"+strings.ReplaceAll(strings.ToLower(code), "_", "-"):
		return fmt.Sprintf("its type is %v", p["type"])
	case waits != (a.header.Get("Retry-After") != ""):
		return fmt.Sprintf("Retry-After is %q", a.header["Retry-After"])
	case (p["expectedSeq"] != nil) != (code == "SEQ_GAP"):
		return "expectedSeq goes with SEQ_GAP"
	case p["errors"] != nil && a.status != http.StatusBadRequest:
		return "errors go with 400"
	case a.body.Len() > 8<<10:
		return fmt.Sprintf("a problem has %d bytes", a.body.Len())
	}
	return ""
}
