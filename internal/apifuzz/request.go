package apifuzz

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// kind is how a request relates to the contract.
type kind int

const (
	valid   kind = iota // it keeps all rules
	near                // it breaks one
	hostile             // it may break any
)

func (k kind) String() string { return [...]string{"valid", "near", "hostile"}[k] }

// input is a request.
type input struct {
	kind   kind
	op     *operation // nil: none is meant
	method string
	target string // with its query
	header http.Header
	body   []byte
	cut    bool   // the body ends too early
	peer   string // the address of the connection
	client *client
	broken string // the rule that a near one breaks
	secret string // the credential in it
}

// next draws a request.
func (w *world) next() *input {
	in := &input{op: w.contract.operations[w.draw(len(w.contract.operations))], header: http.Header{}}
	switch n := w.draw(20); {
	case n < 11:
		in.kind = valid
	case n < 16:
		in.kind = near
	default:
		in.kind = hostile
	}
	for in.op.open && w.draw(25) > 0 { // they are many, simple, and their answers are large
		in.op = w.contract.operations[w.draw(len(w.contract.operations))]
	}
	if len(w.sessions) < 4 && w.draw(4) == 0 {
		in.op, _ = w.contract.find(http.MethodPost, "/v1/sessions")
	}
	in.method = in.op.method
	in.peer = fmt.Sprintf("203.0.113.%d:4711", w.draw(20))
	if w.draw(4) == 0 {
		in.peer = fmt.Sprintf("[2001:db8:0:%x::1]:4711", w.draw(20))
	}
	w.identify(in)
	w.current = in.client
	w.fill(in)
	if in.kind == near && in.broken == "" {
		in.kind = valid // there was nothing to break
	}
	if in.kind == hostile {
		w.spoilRaw(in)
	}
	w.current = nil
	return in
}

// identify adds a credential.
func (w *world) identify(in *input) {
	switch {
	case in.op.admin || in.op.name == "getMetrics" || in.op.name == "getStatus":
		if w.draw(8) > 0 {
			in.header.Set("Authorization", "Bearer "+AdminToken)
		}
		return
	case !in.op.session:
		return
	case in.op.secret && w.draw(6) == 0:
		in.secret = w.secrets[w.draw(len(w.secrets))]
		in.header.Set("Authorization", in.secret)
		return
	}
	if len(w.sessions) > 0 {
		in.client = w.sessions[w.draw(len(w.sessions))]
		in.secret = in.client.id
		in.header.Set("Authorization", "Bearer "+in.client.id)
	}
	if in.kind == near && w.draw(12) == 0 || in.kind == hostile && w.draw(6) == 0 || in.client == nil {
		in.client, in.secret = nil, ""
		in.broken = "the credential"
		switch w.draw(5) {
		case 0:
			in.header.Del("Authorization")
		case 1:
			in.header.Set("Authorization", "Bearer "+w.newID())
		case 2:
			in.header["Authorization"] = []string{"Bearer " + w.newID(), "Bearer " + w.newID()}
		default:
			in.header.Set("Authorization", []string{"", "Bearer", "Bearer x", "Basic !", "Basic Og==", "Digest x", "Bearer \u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"}[w.draw(7)])
		}
	}
}

// fill adds the parameters and the body. A near request breaks one rule of them.
func (w *world) fill(in *input) {
	breaks := -1 // the parameter to break; len: the body
	if in.kind == near && in.broken == "" {
		breaks = w.draw(len(in.op.params) + 1)
		if len(in.op.body) > 0 && w.draw(2) == 0 {
			breaks = len(in.op.params)
		}
	}
	query := url.Values{}
	path := in.op.path
	for i, p := range in.op.params {
		if p.name == "Upgrade" || !p.required && i != breaks && !w.includes(in, p) {
			continue
		}
		text := fmt.Sprint(w.value(p.rule, p.name))
		if i == breaks {
			if spoiled, ok := w.spoilText(p); ok {
				text, in.broken = spoiled, p.name
			}
		}
		if in.kind == hostile && w.draw(3) == 0 && p.name != "wait" && p.name != "Prefer" {
			text = fmt.Sprint(w.evil(1))
		}
		switch p.in {
		case "path":
			path = strings.ReplaceAll(path, "{"+p.name+"}", url.PathEscape(text))
		case "query":
			query.Set(p.name, text)
		case "header":
			if text = asHeader(text); text != "" {
				in.header.Set(p.name, text)
			}
		}
	}
	in.target = path
	if len(query) > 0 {
		in.target += "?" + query.Encode()
	}
	if in.op.name == "receive" && w.draw(12) == 0 {
		in.header.Set("Accept", "text/event-stream")
	}
	w.fillBody(in, breaks == len(in.op.params))
}

// includes reports whether an optional parameter is sent. Those that only a session has are not sent without one, and
// some of them exclude each other.
func (w *world) includes(in *input, p param) bool {
	numbered := in.header.Get("Seq") != ""
	switch p.name {
	case "wait": // by default, a receive is held
		return true
	case "Seq":
		return in.client != nil && w.draw(10) < 6
	case "Ack", "ack", "Epoch":
		return in.client != nil && w.draw(3) == 0
	case "Idempotency-Key":
		return !numbered && w.draw(8) == 0
	case "Last-Event-ID":
		return w.draw(30) == 0
	}
	return w.draw(5) < 2
}

// asHeader leaves out what HTTP does not transport in a header.
func asHeader(s string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s), " \t")
}

// spoilText returns a text that is no value of a parameter.
func (w *world) spoilText(p param) (string, bool) {
	switch {
	case p.rule.takes("boolean") && len(p.rule.kinds) > 0:
		return []string{"yes", "maybe", "2", "truth"}[w.draw(4)], true
	case p.rule.takes("integer") && len(p.rule.kinds) > 0:
		for range 4 {
			text := []string{"-1", "x", "1.5", "9007199254740992", "0x10", "1e3", "99999999999999999999", "1,2"}[w.draw(8)]
			if !p.rule.bounded || p.rule.breach(json.Number(text), "") != "" {
				return text, true
			}
		}
	case p.in == "header":
		if p.rule.most < unlimited {
			return strings.Repeat("k", p.rule.most+1+w.draw(9)), true
		}
	default:
		spoiled := []string{"a b", "\x00", strings.Repeat("9", 200), "no-such-mood", "é", "a/b", "%"}
		for range 4 {
			if text := spoiled[w.draw(len(spoiled))]; p.rule.breach(text, "") != "" {
				return text, true
			}
		}
	}
	return "", false
}

// fillBody adds a body, which breaks a rule if it is told so.
func (w *world) fillBody(in *input, breaks bool) {
	rule := in.op.body["application/json"]
	if rule == nil {
		if breaks && in.op.session && in.op.name != "socket" {
			in.body, in.broken = []byte(`{"mood":"happy"}`), "a body where there is none"
		}
		return
	}
	if !in.op.required && !breaks && w.draw(2) == 0 {
		return
	}
	if in.op.body["text/plain"] != nil && !breaks && (strings.Contains(in.target, "phase=") || w.draw(5) == 0) {
		in.body = []byte(words[w.draw(len(words))])
		if !strings.Contains(in.target, "phase=") {
			in.header.Set("Content-Type", "text/plain")
		}
		return
	}
	v := w.value(rule, "body")
	if in.op.name == "beginSession" && len(w.sessions) > 0 && w.draw(2) == 0 {
		v = w.handshake(w.sessions[w.draw(len(w.sessions))])
	}
	if in.op.name == "beginSession" && w.asked != nil && in.kind != hostile {
		v = w.permitted(in)
	}
	in.header.Set("Content-Type", "application/json")
	if breaks && !strings.Contains(in.target, "phase=") {
		if w.draw(6) == 0 {
			w.spoilSyntax(in, v)
			return
		}
		spoiled, is := w.spoil(rule, v)
		if v = spoiled; is {
			in.broken = "the body"
		}
	}
	if in.kind == hostile && w.draw(3) == 0 {
		v = w.evil(3)
	}
	in.body = encode(v)
}

// encode encodes a value whose numbers may be out of any range.
func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		return []byte(`{"x":`)
	}
	return text
}

// spoilSyntax adds a body that is no JSON, or not of a type that is taken, or that has a member twice.
func (w *world) spoilSyntax(in *input, v any) {
	text := encode(v)
	switch w.draw(6) {
	case 0:
		text, in.broken = text[:len(text)-1], "the body is cut short"
	case 1:
		text, in.broken = append(text, '}'), "something after the body"
	case 2:
		text, in.broken = []byte("{\"ttlMs\":\"\xff\xfe\"}"), "no UTF-8"
	case 3:
		in.broken = "the media type"
		in.header.Set("Content-Type", []string{"text/html", "application/xml", "application/x-www-form-urlencoded", "x"}[w.draw(4)])
	case 4:
		text, in.broken = []byte(`{"ttlMs":1,"ttlMs":2,"ack":0,"ack":0,"phase":"p","phase":"p"}`), "a member twice"
	default:
		text, in.broken = []byte("["), "half a list"
	}
	in.body = text
}

// paths that lead nowhere, or seem to.
var paths = []string{
	"/", "//", "/v1/session/", "/v1/mailboxes", "/v1/mailboxes/", "/v1/mailboxes//messages", "/v1/mailboxes/%2e%2e/messages", "/v1/../v1/session", "/v1/mailboxes/a%2Fb/messages",
	"/%", "/v1/nameplates/%00", "/v2", "/assets/..%2f..%2fgo.mod", "/v1/sessions/x", "/.git/config", "/v1/mailboxes/" + strings.Repeat("m", 5000), "/openapi.yaml/", "/é", "*", "/v1/admin/sessions/x/y",
}

var methods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW", "get", "PROPFIND"}

// evilHeaders are headers that something looks at, somewhere.
var evilHeaders = map[string][]string{
	"Accept":                         {"text/html", "image/png", "*/*;q=0", "text/event-stream;q=0.5, application/json;q=0.4", "application/json;q=x", strings.Repeat("a/b,", 500), ";;;", "text/plain"},
	"Accept-Encoding":                {"gzip", "br", "gzip;q=0", "*"},
	"Access-Control-Request-Headers": {"authorization", strings.Repeat("x,", 300)},
	"Access-Control-Request-Method":  {"PUT", "BREW"},
	"Connection":                     {"Upgrade", "close"},
	"Content-Encoding":               {"gzip"},
	"Content-Type":                   {"", "application/json; charset=latin1", "application/json;;", "multipart/form-data", "text/plain; charset=utf-16", "APPLICATION/JSON"},
	"Expect":                         {"100-continue", "x"},
	"Forwarded":                      {"for=1.2.3.4", `for="[::1]:x"`, ";;;", "for=unknown"},
	"Host":                           {"evil.example", "", "a:b:c"},
	"If-None-Match":                  {"*", `"x"`, `W/"`, strings.Repeat(`"a",`, 500)},
	"Origin":                         {"null", "https://evil.example", "x"},
	"Prefer":                         {"wait=0, respond-async", "wait=0;x=y", "wait=0,,,"},
	"Range":                          {"bytes=0-1", "bytes=9-0"},
	"Sec-Fetch-Site":                 {"cross-site", "same-origin"},
	"Sec-Websocket-Version":          {"13", "8"},
	"Seq":                            {"0", "00", "+1", "1 ", "9007199254740991", "0x1"},
	"Traceparent":                    {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-x", strings.Repeat("0", 300)},
	"Transfer-Encoding":              {"chunked", "x"},
	"Upgrade":                        {"websocket", "h2c"},
	"X-Forwarded-For":                {"1.2.3.4", "::1", "x, y", "[::1]:4", strings.Repeat("9.9.9.9,", 300), "1.2.3.4:99999", "fe80::1%eth0", ","},
	"X-Forwarded-Prefix":             {"/mail", "//evil.example", "\\"},
	"X-Http-Method-Override":         {"DELETE"},
}

var evilNames = slices.Sorted(maps.Keys(evilHeaders))

// spoilRaw spoils a request in ways that have nothing to do with its operation.
func (w *world) spoilRaw(in *input) {
	for range w.draw(3) {
		name := evilNames[w.draw(len(evilNames))]
		value := evilHeaders[name][w.draw(len(evilHeaders[name]))]
		if w.draw(5) == 0 {
			in.header.Add(name, value)
			continue
		}
		in.header.Set(name, value)
	}
	switch w.draw(12) {
	case 0:
		in.method = methods[w.draw(len(methods))]
	case 1:
		in.target = paths[w.draw(len(paths))]
	case 2:
		in.target += []string{"?", "&", "#x", "?a=%zz", "&after=1&after=2", "?wait=0&x=" + strings.Repeat("y", 2000), "/", "%20"}[w.draw(8)]
	case 3:
		in.body, in.header["Content-Type"] = []byte(strings.Repeat("[", 1+w.draw(9000))), []string{"application/json"}
	case 4:
		if len(in.body) > 0 {
			in.body = bytes.Clone(in.body)
			in.body[w.draw(len(in.body))] = byte(w.draw(256)) // #nosec G115 -- a byte
		}
	case 5:
		if w.draw(100) == 0 {
			in.body = bytes.Repeat([]byte("x"), 300<<10)
		}
	case 6:
		in.cut = len(in.body) > 0
	}
	if !strings.HasPrefix(in.target, "/") {
		in.target = "/" + in.target
	}
	in.op, _ = w.contract.find(in.method, pathOf(in.target))
}

// pathOf returns the path of a target as the router sees it.
func pathOf(target string) string {
	path, _, _ := strings.Cut(escaped(target), "?")
	return path
}

// escaped returns a target without a fragment, which no request has.
func escaped(target string) string { return strings.ReplaceAll(target, "#", "%23") }

var errCut = errors.New("the connection was cut")

// cutBody is a body that ends too early.
type cutBody struct{ *bytes.Reader }

func (c cutBody) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	if errors.Is(err, io.EOF) {
		err = errCut
	}
	return n, err
}

// request returns what a server makes of the bytes of a request; nil if it would refuse them itself.
func (in *input) request(ctx context.Context) *http.Request {
	at, err := url.ParseRequestURI(escaped(in.target))
	if err != nil || strings.ContainsAny(in.target, " \x00\n\r") {
		return nil
	}
	r := (&http.Request{
		Method: in.method, URL: at, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: in.header, Host: "restante.test",
		RemoteAddr: in.peer, RequestURI: in.target, Body: http.NoBody,
	}).WithContext(ctx)
	if host := in.header.Get("Host"); host != "" {
		r.Host = host
		in.header.Del("Host")
	}
	if len(in.body) > 0 {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(in.body)), int64(len(in.body))
		if in.cut {
			r.Body = io.NopCloser(cutBody{bytes.NewReader(in.body[:len(in.body)/2])})
		}
	}
	return r
}

func (in *input) String() string {
	body := in.body
	if len(body) > 600 {
		body = append(slices.Clone(body[:600]), "…"...)
	}
	var headers strings.Builder
	for _, name := range slices.Sorted(maps.Keys(in.header)) {
		_, _ = fmt.Fprintf(&headers, " %s: %.100q", name, strings.Join(in.header[name], "|"))
	}
	return fmt.Sprintf("%s request (%s) from %s: %s %.300s%s\n\t%s", in.kind, in.broken, in.peer, in.method, in.target, headers.String(), body)
}
