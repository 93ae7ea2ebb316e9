package handlers_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
)

// The check of all answers is a test as well: an answer that is wrong in one
// point must not pass it, and the one that it was made from must.
func TestTheContractCheckCanFail(t *testing.T) {
	w := start(t, options{})
	a := w.begin(t, "app", "a")
	a.open("m").want(200)
	a.open("m").seq(0).want(200)
	w.begin(t, "app", "b").open("m").want(200)
	samples := map[string]*request{
		"handshake": w.anonymous(t).post("/v1/sessions", hello()),
		"session":   a.get("/v1/session"),
		"replayed":  a.open("m").seq(0),
		"frames":    a.poll(0),
		"messages":  a.get("/v1/mailboxes/m/messages"),
		"deleted":   a.delete("/v1/nameplates/4"),
		"required":  w.anonymous(t).get("/v1/session"),
		"unknown":   a.get("/v1/mailboxes/none"),
		"gap":       a.delete("/v1/nameplates/4").seq(9),
		"invalid":   a.add("m", "", ""),
		"stale":     a.get("/v1/session/events?epoch=9"),
		"no path":   a.get("/v2"),
		"no method": a.post("/v1/session", ""),
		"crowded":   w.begin(t, "app", "c").open("m"),
		"contract":  w.anonymous(t).get("/openapi.yaml"),
		"liveness":  w.anonymous(t).get("/livez"),
		"status":    w.anonymous(t).get("/v1/status"),
	}
	body := func(from, to string) func(*answer) {
		return func(a *answer) { a.body = bytes.Replace(a.body, []byte(from), []byte(to), 1) }
	}
	header := func(name, value string) func(*answer) {
		return func(a *answer) {
			if a.header.Del(name); value != "" {
				a.header.Set(name, value)
			}
		}
	}
	status := func(n int) func(*answer) { return func(a *answer) { a.status = n } }

	for name, tt := range map[string]struct {
		of     string
		change func(*answer)
	}{
		"a status that is not promised":           {"session", status(http.StatusTeapot)},
		"another status that is promised":         {"handshake", status(http.StatusBadRequest)},
		"another media type":                      {"session", header("Content-Type", "text/plain")},
		"no media type":                           {"session", header("Content-Type", "")},
		"a failure as plain JSON":                 {"unknown", header("Content-Type", "application/json")},
		"a member is missing":                     {"handshake", body(`"epoch":1,`, "")},
		"a member has another type":               {"handshake", body(`"epoch":1,`, `"epoch":"1",`)},
		"a number is too small":                   {"handshake", body(`"epoch":1,`, `"epoch":0,`)},
		"a word that is not in the enum":          {"session", body(`"attached"`, `"sleeping"`)},
		"a frame of no kind":                      {"frames", body(`"opened"`, `"arrived"`)},
		"a frame without its number":              {"frames", body(`"seq":0,`, ``)},
		"half a body":                             {"messages", func(a *answer) { a.body = a.body[:len(a.body)/2] }},
		"no body":                                 {"messages", func(a *answer) { a.body = nil }},
		"a body with a 204":                       {"deleted", func(a *answer) { a.body = []byte("{}") }},
		"a session's answer may be cached":        {"session", header("Cache-Control", "")},
		"a 204 may be cached":                     {"deleted", header("Cache-Control", "max-age=1")},
		"the handshake may be cached":             {"handshake", header("Cache-Control", "")},
		"a 404 of the router may be cached":       {"no path", header("Cache-Control", "")},
		"Ack is no number":                        {"session", header("Ack", "x")},
		"Replayed is not true":                    {"replayed", header("Replayed", "false")},
		"Replayed where nothing is":               {"session", header("Replayed", "true")},
		"Ack where no client is known":            {"required", header("Ack", "1")},
		"a 401 that does not say how":             {"required", header("WWW-Authenticate", "")},
		"a 405 that does not say what":            {"no method", header("Allow", "")},
		"Retry-After where no client waits":       {"gap", header("Retry-After", "1")},
		"an answer that may be sniffed":           {"liveness", header("X-Content-Type-Options", "")},
		"a code that is none":                     {"unknown", body("NOT_FOUND", "NOT_THERE")},
		"a code of another operation":             {"gap", func(a *answer) { body("SEQ_GAP", "CROWDED")(a); body("seq-gap", "crowded")(a) }},
		"a code of another status":                {"unknown", body("NOT_FOUND", "CROWDED")},
		"another action":                          {"gap", body(`"retry"`, `"restart"`)},
		"a stop that may be retried":              {"unknown", body(`"retriable":false`, `"retriable":true`)},
		"another status in the body":              {"unknown", body(`"status":404`, `"status":405`)},
		"another type":                            {"unknown", body(`problem:not-found`, `problem:not-here`)},
		"no title":                                {"unknown", func(a *answer) { replaceMember(a, "title", `""`) }},
		"no detail":                               {"unknown", func(a *answer) { replaceMember(a, "detail", `""`) }},
		"a gap that does not say where":           {"gap", body(`"expectedSeq":1`, `"unexpected":1`)},
		"expectedSeq where there is no gap":       {"crowded", body(`"code"`, `"expectedSeq":1,"code"`)},
		"a pointer to nowhere":                    {"invalid", body(`"pointer":"#/body/phase"`, `"pointer":"phase"`)},
		"errors that are no list":                 {"invalid", body(`"errors":[`, `"errors":"","x":[`)},
		"a driver's words":                        {"unknown", body(`"detail":"`, `"detail":"sqlite: `)},
		"the database's words":                    {"unknown", body(`"detail":"`, `"detail":"UNIQUE constraint failed `)},
		"a decoder's words":                       {"invalid", body(`"detail":"`, `"detail":"cannot unmarshal `)},
		"a validator's words":                     {"invalid", body(`"detail":"`, `"detail":"Key: 'Draft.Phase' `)},
		"a stack":                                 {"unknown", body(`"detail":"`, `"detail":"goroutine 1 `)},
		"a package's name":                        {"status", body(`"ok"`, `"restante/repo: ok"`)},
		"the credential":                          {"session", body(`"appId":"`, `"appId":"`+a.id)},
		"a state mismatch that ended half":        {"stale", body(`"code"`, `"reason":"gone","code"`)},
		"a long story":                            {"unknown", body(`"detail":"`, `"detail":"`+strings.Repeat("x", 9<<10))},
		"the contract in another form":            {"contract", header("Content-Type", "text/html")},
		"a 404 where there is an operation":       {"liveness", status(http.StatusNotFound)},
		"a 405 where there is no path":            {"no path", status(http.StatusMethodNotAllowed)},
		"a 404 where there is a path":             {"no method", status(http.StatusNotFound)},
		"a success where there is no path at all": {"no path", status(http.StatusOK)},
	} {
		t.Run(name, func(t *testing.T) {
			r := samples[tt.of]
			good := r.send()
			changed := &answer{TB: t, status: good.status, header: good.header.Clone(), body: bytes.Clone(good.body)}
			tt.change(changed)
			if changed.status == good.status && bytes.Equal(changed.body, good.body) && len(changed.header) == len(good.header) && equal(changed.header, good.header) {
				t.Fatalf("nothing is changed: %d %s %s", good.status, good.header, good.body)
			}
			if err := contract().check(r, changed); err == nil {
				t.Errorf("it passes: %d %s %s", changed.status, changed.header, changed.body)
			}
		})
	}
}

func equal(a, b http.Header) bool {
	for name := range a {
		if a.Get(name) != b.Get(name) {
			return false
		}
	}
	return true
}

// replaceMember gives a text member of the body another value.
func replaceMember(a *answer, name, value string) {
	from := `"` + name + `":` + quote(a.text(name))
	a.body = bytes.Replace(a.body, []byte(from), []byte(`"`+name+`":`+value), 1)
}
