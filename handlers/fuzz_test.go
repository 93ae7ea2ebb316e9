package handlers_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"pgregory.net/rapid"

	"restante/rendezvous"
)

// evil is what stands in place of a value now and then.
var evil = []any{
	nil, true, 1.5, -1, 0, 1 << 53, 1e300, "", "x", strings.Repeat("x", 300), "\u0000", "a\nb", "é\u202e", "7", []any{}, []any{nil}, map[string]any{}, map[string]any{"a": 1},
}

// tame are values that would else hardly ever lead any further, and those of
// which the server, and not the contract, says how large they may be.
var tame = map[string]*rapid.Generator[any]{
	"protocolVersion": rapid.SampledFrom([]any{"1", "1", "1", "2"}),
	"Seq":             small, "Ack": small, "ack": small, "nextExpectedSeq": small, "nextSentSeq": small,
	"ttlMs":   rapid.IntRange(0, 86_400_000).AsAny(),
	"graceMs": rapid.IntRange(0, 86_400_000).AsAny(),
	"after":   rapid.Just[any](0),
	"wait":    rapid.Just[any](0), // or a test would take its time
}

var small = rapid.OneOf(rapid.Just[any](0), rapid.Just[any](0), rapid.Just[any](0), rapid.Just[any](1), rapid.IntRange(0, 1<<53-1).AsAny())

// value draws a value for a schema. A hostile one may break any of its rules.
func value(t *rapid.T, name string, s *openapi3.Schema, hostile bool) any {
	if hostile && rapid.IntRange(0, 5).Draw(t, name+" is evil") == 0 {
		return rapid.SampledFrom(evil).Draw(t, name)
	}
	if g, is := tame[name]; is {
		return g.Draw(t, name)
	}
	if len(s.Enum) > 0 {
		return rapid.SampledFrom(s.Enum).Draw(t, name)
	}
	switch {
	case s.Type.Includes("object"):
		object := map[string]any{}
		for _, member := range slices.Sorted(keys(s.Properties)) {
			if slices.Contains(s.Required, member) && !(hostile && rapid.IntRange(0, 9).Draw(t, member+" is missing") == 0) || rapid.Bool().Draw(t, member+" is there") {
				object[member] = value(t, member, s.Properties[member].Value, hostile)
			}
		}
		if hostile && rapid.IntRange(0, 9).Draw(t, "a member too many") == 0 {
			object[rapid.SampledFrom([]string{"x", "", "Body", "é\n"}).Draw(t, "its name")] = 1
		}
		return object
	case s.Type.Includes("array"):
		least, most := int(s.MinItems), 3
		if s.MaxItems != nil {
			most = int(*s.MaxItems)
		}
		if hostile {
			least, most = 0, most+1
		}
		item := rapid.Custom(func(t *rapid.T) any { return value(t, "item", s.Items.Value, hostile) })
		return rapid.SliceOfN(item, least, most).Draw(t, name)
	case s.Type.Includes("integer"):
		least, most := 0, 1<<53-1
		if s.Min != nil {
			least = int(*s.Min)
		}
		if s.Max != nil {
			most = int(*s.Max)
		}
		return rapid.IntRange(least, most).Draw(t, name)
	case s.Pattern != "" && s.MaxLength == nil:
		return rapid.StringMatching(s.Pattern).Draw(t, name)
	default:
		most := 300
		if s.MaxLength != nil {
			most = min(most, int(*s.MaxLength))
		}
		text := rapid.StringN(int(s.MinLength), most, -1)
		if s.Pattern != "" { // the only one that says nothing about the length
			text = text.Filter(func(s string) bool { return !strings.ContainsFunc(s, unicode.IsControl) })
		}
		return text.Draw(t, name)
	}
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// fuzzer draws requests and has a server answer them.
type fuzzer struct {
	w    *testServer
	me   *client
	op   *client        // of the admin side
	seen map[string]int // by operation and status
}

func newFuzzer(t testing.TB) *fuzzer {
	t.Helper()
	w := start(t, options{Admin: true, Config: func(c *rendezvous.Config) {
		c.Limits.AddressSessions = 1 << 30
	}})
	return &fuzzer{w: w, op: w.operator(t, adminToken), seen: map[string]int{}}
}

// session is one that lives, has a mailbox open and holds little.
func (f *fuzzer) session(t *rapid.T) *client {
	if f.me != nil {
		if got, err := f.me.get("/v1/session").exchange(t.Context()); err != nil || len(got.body) < 700 && bytes.Contains(got.body, []byte(`"m`+f.me.side+`"`)) {
			return f.me
		}
	}
	f.me = &client{w: f.w, app: "app", side: newID(), id: newID()}
	for _, r := range []*request{f.me.handshake(0, 0), f.me.open("m" + f.me.side), f.me.put("/v1/nameplates/4")} {
		if got, err := r.exchange(t.Context()); err != nil || got.status >= 300 && got.status != http.StatusConflict {
			t.Fatalf("%s %s: %v %v", r.method, r.target, got, err)
		}
	}
	return f.me
}

// try draws one request for an operation, and holds that the answer is one the
// contract promises, that nothing is the server's fault, and that it refuses as malformed what the
// contract says is, and nothing else.
func (f *fuzzer) try(t *rapid.T, path, method string) {
	doc := contract().doc
	item := doc.Paths.Value(path)
	op := item.GetOperation(method)
	caller := f.w.anonymous(nil)
	if takesSession(op) {
		caller = f.session(t)
	}
	hostile := rapid.Bool().Draw(t, "hostile")
	target, query, headers, params := path, url.Values{}, []string{}, map[string]string{}
	if op.Tags[0] == "admin" {
		caller, headers = f.op, []string{bearer(adminToken)}
	}
	for _, ref := range slices.Concat(item.Parameters, op.Parameters) {
		p := ref.Value
		if p.Name == "Upgrade" || !p.Required && p.Name != "wait" && rapid.Bool().Draw(t, p.Name+" is left out") {
			continue
		}
		wild := hostile && p.Name != "wait" && p.Name != "after" // see tame
		drawn := fmt.Sprint(value(t, p.Name, p.Schema.Value, wild))
		if p.Name == "mailbox" && rapid.Bool().Draw(t, "a mailbox that is open") {
			drawn = "m" + caller.side
		}
		if p.In == "header" {
			// HTTP itself has no other characters in headers, and no white space around them.
			drawn = strings.TrimSpace(strings.Map(func(r rune) rune {
				if unicode.IsControl(r) {
					return -1
				}
				return r
			}, drawn))
		}
		if drawn == "" && p.In != "path" {
			continue // which is an error here, and the default to the library; the tables of bad input have it
		}
		switch p.In {
		case "path":
			if drawn == "" {
				drawn = " " // an empty one is another path
			}
			target, params[p.Name] = strings.ReplaceAll(target, "{"+p.Name+"}", url.PathEscape(drawn)), drawn
		case "query":
			query.Set(p.Name, drawn)
		case "header":
			headers = append(headers, p.Name+": "+drawn)
		}
	}
	body := ""
	if op.RequestBody != nil && (op.RequestBody.Value.Required || rapid.Bool().Draw(t, "a body")) {
		text, err := json.Marshal(value(t, "body", op.RequestBody.Value.Content["application/json"].Schema.Value, hostile))
		if err != nil {
			t.Fatal(err)
		}
		body = string(text)
	}
	r := caller.ask(method, target+"?"+query.Encode(), body).with(headers...)
	refusal := malformed(t, r, params)

	got, err := r.exchange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.seen[fmt.Sprintf("%s %d", op.OperationID, got.status)]++
	if got.status >= 500 {
		t.Fatalf("%s %s %s: %d %s", r.method, r.target, r.body, got.status, got.body)
	}
	refused := got.status == http.StatusBadRequest || got.status == http.StatusRequestEntityTooLarge || got.status == http.StatusUnsupportedMediaType
	if bytes.Contains(got.body, []byte(`"PROTOCOL_VERSION_MISMATCH"`)) {
		return // of another version anything is said, and so is it of a version that is malformed
	}
	if refused != (refusal != nil) {
		t.Fatalf("%s %s %q %s: the contract says %.300v, the server %d %s", r.method, r.target, headers, r.body, refusal, got.status, got.body)
	}
}

// malformed is what the contract has against a request.
func malformed(t *rapid.T, r *request, params map[string]string) error {
	route, _, _ := contract().route(r.method, r.target)
	if route == nil {
		t.Fatalf("%s %s is no operation", r.method, r.target)
	}
	asked, err := http.NewRequestWithContext(t.Context(), r.method, "http://restante.test"+r.target, io.NopCloser(strings.NewReader(r.body)))
	if err != nil {
		t.Fatal(err)
	}
	asked.Header, asked.ContentLength = r.header, int64(len(r.body))
	if r.body == "" {
		asked.Body = http.NoBody
	}
	if asked.URL.Query().Has("phase") { // then any body is a text, which the contract can only tell in words
		asked.Header = asked.Header.Clone()
		asked.Header.Set("Content-Type", "text/plain")
	}
	return openapi3filter.ValidateRequest(t.Context(), &openapi3filter.RequestValidationInput{
		Request: asked, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	})
}

// operations are all that have something to draw, by path and method, in order.
func operations() (list [][2]string) {
	for path, item := range contract().doc.Paths.Map() {
		for method, op := range item.Operations() {
			if len(item.Parameters)+len(op.Parameters) > 0 || op.RequestBody != nil {
				list = append(list, [2]string{path, method})
			}
		}
	}
	slices.SortFunc(list, func(a, b [2]string) int { return strings.Compare(a[0]+a[1], b[0]+b[1]) })
	return list
}

func TestServerAndContractAgree(t *testing.T) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		if err := flag.Set("rapid.checks", "25"); err != nil { // for each operation
			t.Fatal(err)
		}
	}
	f := newFuzzer(t)
	for _, op := range operations() {
		t.Run(op[1]+" "+op[0], func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { f.try(t, op[0], op[1]) })
		})
	}
	t.Log(f.seen)
}

// FuzzServerAndContract is the same for go test -fuzz. Minimising has to be bounded:
// what a server covers differs from run to run, whatever it is asked.
//
//	go test -fuzz ServerAndContract -fuzzminimizetime 1x ./handlers
func FuzzServerAndContract(f *testing.F) {
	fuzzed := newFuzzer(f)
	f.Add(bytes.Repeat([]byte{0}, 4096))
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		op := rapid.SampledFrom(operations()).Draw(t, "operation")
		fuzzed.try(t, op[0], op[1])
	}))
}
