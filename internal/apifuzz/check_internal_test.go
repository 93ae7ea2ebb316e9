package apifuzz

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"restante/handlers/handlerstest"
)

// The check of answers must be able to fail: an answer that is wrong in one point does not pass it, and the one that it
// was made from does.
func TestTheCheckCanFail(t *testing.T) {
	c, err := load()
	if err != nil {
		t.Fatal(err)
	}
	server := handlerstest.Start(t, handlerstest.Options{})
	asked := func(method, target, body string, headers ...string) *input {
		in := &input{kind: valid, method: method, target: target, header: http.Header{}, body: []byte(body), peer: "192.0.2.1:4711"}
		for i := 0; i < len(headers); i += 2 {
			in.header.Set(headers[i], headers[i+1])
		}
		in.op, _ = c.find(method, pathOf(target))
		return in
	}
	id := strings.Repeat("a", 32)
	begin := asked("POST", "/v1/sessions", `{"protocolVersion":"1","sessionId":"`+id+`","appId":"a","expectedSessionState":{"nextExpectedSeq":0,"nextSentSeq":0}}`, "Content-Type", "application/json")
	look := asked("GET", "/v1/session", "", "Authorization", "Bearer "+id)
	look.secret = id
	lost := asked("GET", "/v1/nowhere", "")
	samples := map[string]*input{"begin": begin, "look": look, "lost": lost, "gap": asked("POST", "/v1/nameplates", "", "Authorization", "Bearer "+id, "Seq", "7")}
	if a := ask(server.Routes, begin); a.status != http.StatusCreated {
		t.Fatalf("no session begins: %d %s", a.status, a.body.Bytes())
	}
	body := func(from, to string) func(*answer) {
		return func(a *answer) {
			changed := bytes.Replace(a.body.Bytes(), []byte(from), []byte(to), 1)
			a.body.Reset()
			_, _ = a.body.Write(changed)
			a.header.Del("Content-Length")
		}
	}
	for name, tt := range map[string]struct {
		of     string
		change func(*answer)
	}{
		"a panic":                          {"look", func(a *answer) { a.panic = "no" }},
		"a failure":                        {"look", func(a *answer) { a.status = 500 }},
		"a status that is not declared":    {"look", func(a *answer) { a.status = 418 }},
		"a member is missing":              {"look", body(`"epoch"`, `"epoque"`)},
		"a word of a driver":               {"look", body(`"appId":"a"`, `"appId":"sqlite"`)},
		"the credential":                   {"look", body(`"appId":"a"`, `"appId":"`+id+`"`)},
		"half a body":                      {"look", func(a *answer) { a.body.Truncate(20); a.header.Del("Content-Length") }},
		"another length":                   {"look", func(a *answer) { a.header.Set("Content-Length", "7") }},
		"another type":                     {"look", func(a *answer) { a.header.Set("Content-Type", "text/html") }},
		"a cache may keep it":              {"look", func(a *answer) { a.header.Del("Cache-Control") }},
		"a header too many":                {"look", func(a *answer) { a.header.Set("Replayed", "true") }},
		"a number below its least":         {"look", body(`"epoch":`, `"epoch":-`)},
		"a long body":                      {"look", func(a *answer) { a.sent = 9 << 10 }},
		"too long":                         {"look", func(a *answer) { a.took = time.Minute }},
		"too many transactions":            {"look", func(a *answer) { a.work.transactions.Add(100) }},
		"too many rows read":               {"look", func(a *answer) { a.work.read.Add(1000) }},
		"too many rows written":            {"look", func(a *answer) { a.work.written.Add(1000) }},
		"a code that is not declared":      {"lost", body("NOT_FOUND", "SIDE_TAKEN")},
		"an action that is not the code's": {"lost", body(`"stop"`, `"retry"`)},
		"another status in the problem":    {"lost", body(`"status":404`, `"status":405`)},
		"no detail":                        {"gap", body(`"expectedSeq"`, `"expected"`)},
		"a retry that is none":             {"gap", body(`"retriable":true`, `"retriable":false`)},
		"a valid request is malformed": {"begin", func(a *answer) {
			*a = *ask(server.Routes, asked("POST", "/v1/sessions", "{", "Content-Type", "application/json"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			in := samples[tt.of]
			a := ask(server.Routes, in)
			if why := c.check(in, a); why != "" {
				t.Fatalf("the answer itself: %s\n%d %s", why, a.status, a.body.Bytes())
			}
			tt.change(a)
			if c.check(in, a) == "" {
				t.Errorf("it passes: %d %v %s", a.status, a.header, a.body.Bytes())
			}
		})
	}
	broken := *look
	broken.kind = near
	if c.check(&broken, ask(server.Routes, &broken)) == "" {
		t.Error("a request that breaks a rule may be accepted")
	}
}

// Requests of every operation are drawn, of each kind, and what is called near breaks a rule.
func TestAllOperationsAreDrawn(t *testing.T) {
	c, err := load()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(rand.New(rand.NewPCG(1, 2)), c, true) // #nosec G404 -- choices of a test
	drawn := map[string]int{}
	for range 8_000 {
		in := w.next()
		if in.op != nil {
			drawn[in.op.name+" "+in.kind.String()]++
		}
	}
	for _, o := range c.operations {
		for _, k := range []kind{valid, near, hostile} {
			if k == near && !o.session && len(o.body) == 0 && (len(o.params) == 0 || o.open) {
				continue // it has no rule to break
			}
			if drawn[o.name+" "+k.String()] == 0 && o.name != "socket" && o.name != "wormhole" {
				t.Errorf("no %s request of %s was drawn", k, o.name)
			}
		}
	}
}
