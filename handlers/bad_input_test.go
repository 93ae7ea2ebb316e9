package handlers_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"restante/handlers/handlerstest"
)

// bad is a request that must be refused and change nothing.
type bad struct {
	why     string
	request string   // method and target
	headers []string // as in [request.with]; the credential is {me}'s unless they say otherwise
	body    string
	status  int
	code    string
	pointer string // of the first error; empty if the problem names none
}

// badInputs is where bad requests are sent to: everything they could damage is there.
type badInputs struct {
	*testServer
	me       *client // opened "ours" with peer
	done     int     // how many numbered commands it has done
	names    *strings.Replacer
	lookInto func(testing.TB) handlerstest.Dump
}

func newBadInputs(t testing.TB) *badInputs {
	t.Helper()
	w := start(t, options{})
	const app = "app.example"
	me, peer, third := w.begin(t, app, "me"), w.begin(t, app, "peer"), w.begin(t, app, "third")
	for _, c := range []*client{me, peer} {
		c.put("/v1/nameplates/41").want(http.StatusOK)
		c.put("/v1/nameplates/42").want(http.StatusOK)
		c.open("ours").want(http.StatusOK)
	}
	me.delete("/v1/nameplates/42").want(http.StatusNoContent)
	third.open("own").want(http.StatusOK)
	stranger := w.begin(t, "other.example", "me")
	stranger.put("/v1/nameplates/77").want(http.StatusOK)
	stranger.open("theirs").want(http.StatusOK)
	stranger.add("theirs", "p", "secret").want(http.StatusCreated)
	ended := w.begin(t, app, "ended")
	ended.open("own").want(http.StatusOK)
	ended.delete("/v1/session").want(http.StatusNoContent)
	replaced, heir := w.begin(t, app, "heir"), newID()
	replaced.open("heirloom").want(http.StatusOK)
	w.anonymous(t).post("/v1/sessions", hello("sessionId", quote(heir), "side", `"heir"`, "replaces", quote(replaced.id))).want(http.StatusCreated)
	w.Secret(heir)
	h := &badInputs{testServer: w, me: me, lookInto: w.Dumper(), names: strings.NewReplacer(
		"{me}", me.id, "{peer}", peer.id, "{third}", third.id, "{stranger}", stranger.id, "{ended}", ended.id, "{replaced}", replaced.id,
		"{unknown}", newID(),
	)}
	h.stillWorks(t)
	return h
}

// stillWorks has the session do a command, whose number shows that none was used up.
func (h *badInputs) stillWorks(t testing.TB) {
	t.Helper()
	h.me.in(t).delete("/v1/nameplates/5").seq(h.done).want(http.StatusNoContent).says("Ack", strconv.Itoa(h.done+1))
	h.done++
}

func (h *badInputs) refuses(t *testing.T, tt bad) {
	t.Helper()
	method, target, _ := strings.Cut(tt.request, " ")
	r := h.anonymous(t).ask(method, h.names.Replace(target), h.names.Replace(tt.body))
	if !strings.HasSuffix(target, "/sessions") {
		r.with("Authorization: Bearer " + h.me.id)
	}
	names := strings.NewReplacer("{last}", strconv.Itoa(h.done-1))
	for _, header := range tt.headers {
		r.with(names.Replace(h.names.Replace(header)))
	}
	before := h.lookInto(t)
	got := r.refused(tt.status, tt.code)
	h.lookInto(t).WantSame(t, before)
	var said problem
	if err := json.Unmarshal(got.body, &said); err != nil {
		t.Fatal(err)
	}
	if pointers := pointersOf(said); !slices.ContainsFunc(pointers, points(tt.pointer)) && (len(pointers) > 0 || tt.pointer != "") {
		t.Errorf("the errors are at %.200q, want one at %q: %s", pointers, tt.pointer, got.body)
	}
	h.stillWorks(t)
}

func pointersOf(p problem) (list []string) {
	for _, e := range p.Errors {
		list = append(list, e.Pointer)
	}
	return list
}

// points tells whether a pointer is the one that is wanted; after an ellipsis, anything may follow.
func points(want string) func(string) bool {
	begin, cut := strings.CutSuffix(want, "…")
	return func(got string) bool { return got == want || cut && strings.HasPrefix(got, begin) }
}

// Whatever is wrong with a request: it is refused as the contract says, nothing
// that is stored changes, and the session goes on.
func TestBadInputChangesNothing(t *testing.T) {
	all := t // of the subtests
	h := newBadInputs(t)
	total := 0
	for _, table := range []struct {
		name  string
		cases []bad
	}{
		{"bodies", badBodies}, {"handshakes", badHandshakes}, {"headers", badHeaders}, {"queries", badQueries}, {"paths", badPaths}, {"states", badStates},
	} {
		total += len(table.cases)
		t.Run(table.name, func(t *testing.T) {
			for _, tt := range table.cases {
				if !t.Run(tt.why, func(t *testing.T) { h.refuses(t, tt) }) {
					h = newBadInputs(all) // it may have changed anything
				}
			}
		})
	}
	h.me.add("ours", "p", "still here").seq(h.done).want(http.StatusCreated)
	t.Log(total, "cases")
}

// What is said of a mistake is about that mistake.
func TestViolationsSayWhatIsWrong(t *testing.T) {
	a := start(t, options{}).begin(t, "app", "a")
	for want, r := range map[string]*request{
		"required: is required":                               a.post("/v1/mailboxes/m/messages", `{"body": "b"}`),
		"required: is  required":                              a.get("/v1/mailboxes//messages"),
		"type: must be a string":                              a.post("/v1/mailboxes/m/messages", `{"phase": 1, "body": "b"}`),
		"type: must be an integer":                            a.post("/v1/session/ack", `{"ack": "1"}`),
		"type: must be an object":                             a.post("/v1/session/ack", `[]`),
		"type: must not be null":                              a.post("/v1/session/ack", `{"ack": null}`),
		"min: must be at least 0":                             a.post("/v1/session/ack", `{"ack": -1}`),
		"known: is not known here":                            a.post("/v1/session/ack", `{"ack": 0, "nack": 1}`),
		"unique: is given twice":                              a.post("/v1/session/ack", `{"ack": 0, "ack": 0}`),
		"json: is not valid JSON":                             a.post("/v1/session/ack", `{"ack": 0`),
		"empty: is not taken here":                            a.ask(http.MethodGet, "/v1/session", `{}`),
		"max: must be at most 128 characters":                 a.add("m", strings.Repeat("p", 129), ""),
		"plain: must not contain control characters":          a.add("m", "\n", ""),
		"maxbytes: must be at most 65536 bytes of UTF-8":      a.add("m", "p", strings.Repeat("b", 65_537)),
		"oneof: must be one of: happy lonely scary errory":    a.delete("/v1/session?mood=angry"),
		"once: must be given once":                            a.delete("/v1/session?mood=happy&mood=scary"),
		"once: must be given  once":                           a.get("/v1/session").with("Ack: 1", "Ack: 1"),
		"type: must be an integer from 0 to 9007199254740991": a.get("/v1/session").with("Ack: x"),
		"nameplate: must be 1 to 40 digits":                   a.put("/v1/nameplates/x"),
	} {
		got := r.refused(http.StatusBadRequest, "INVALID_REQUEST")
		if said := got.text("errors/0/rule") + ": " + got.text("errors/0/message"); said != strings.Join(strings.Fields(want), " ") {
			t.Errorf("%s %s %.60s: %s, want %s", r.method, r.target, r.body, said, want)
		}
		if got.text("detail") != got.text("errors/0/pointer")+" "+got.text("errors/0/message") && got.count("errors") == 1 {
			t.Errorf("the detail is %s", got.text("detail"))
		}
	}
}

// A request without a credential is told nothing about what else is wrong.
func TestWithoutCredentialNothingElseIsLookedAt(t *testing.T) {
	h := newBadInputs(t)
	before := h.lookInto(t)
	for path, item := range contract().doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !takesSession(op) {
				continue
			}
			target := strings.NewReplacer("{nameplate}", "not%20a%20number", "{mailbox}", "%00").Replace(path) + "?mood=angry&wait=-1&after=x&limit=0"
			for credential, code := range map[string]string{
				"":                  "SESSION_REQUIRED",
				"Bearer short":      "SESSION_REQUIRED",
				"Bearer " + newID(): "SESSION_UNKNOWN",
				"Basic " + h.me.id:  "SESSION_REQUIRED",
				"Bearer {} " + "{}": "SESSION_REQUIRED",
			} {
				r := h.anonymous(t).ask(method, target, `{"unknown": }`).with("Seq: x", "Ack: -1", "Accept: text/event-stream", "Content-Type: text/plain")
				if credential != "" {
					r.with("Authorization: " + credential)
				}
				r.refused(http.StatusUnauthorized, code)
			}
			h.anonymous(t).ask(method, target, `{}`).with("Seq: x", h.names.Replace("Authorization: Bearer {ended}")).refused(http.StatusGone, "SESSION_ENDED")
		}
	}
	h.anonymous(t).post("/v1/mailboxes/ours/messages", tenMegabytes).refused(http.StatusUnauthorized, "SESSION_REQUIRED")
	h.lookInto(t).WantSame(t, before)
}
