package handlers_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"restante/handlers"
)

func TestCheckOrigin(t *testing.T) {
	t.Parallel()
	for origin, complaint := range map[string]string{
		"*":                        "",
		"https://app.example":      "",
		"https://App.Example":      "",
		"http://localhost:3000":    "",
		"http://localhost:*":       "",
		"https://*.example.org":    "",
		"https://*.example.org:*":  "",
		"http://127.0.0.1:8080":    "",
		"http://[::1]:8080":        "",
		"https://app.example:80":   "",
		"":                         "must begin with https:// or http://",
		"null":                     "must begin with https:// or http://",
		"app.example":              "must begin with https:// or http://",
		"*.example.org":            "must begin with https:// or http://",
		"ftp://app.example":        "must begin with https:// or http://",
		"HTTPS://app.example":      "must begin with https:// or http://",
		"file:///app":              "must begin with https:// or http://",
		"https://app.example/":     "no slash at its end: write https://app.example",
		"https://app.example/page": "has no path and no slash at its end: write https://app.example",
		"https://app.example?x":    "write https://app.example",
		"https://app.example#x":    "write https://app.example",
		"https://example.org*":     "stands alone, or as in https://*.example.org", // or another's example.org.evil would do
		"https://app*.example.org": "stands alone",
		"https://*example.org":     "stands alone", // or another's evilexample.org would do
		"https://*.*.example.org":  "stands alone",
		"https://*":                "stands alone",
		"https://":                 "comes a host",
		"https://:443":             "comes a host",
		"https://*.":               "comes a host",
		"https://user@app.example": "comes a host",
		"https://app.example:":     "comes a host",
		"https://app.example:x":    "comes a host",
		"https://app example":      "comes a host",
		"https://app.example:443":  "leave out the usual port: write https://app.example",
		"http://*.example.org:80":  "leave out the usual port: write http://*.example.org",
		"https://bücher.example":   "in ASCII",
	} {
		err := handlers.CheckOrigin(origin)
		switch {
		case err == nil && complaint != "":
			t.Errorf("%q is accepted", origin)
		case err != nil && (complaint == "" || !strings.Contains(err.Error(), complaint)):
			t.Errorf("%q is refused with %q, want %q in it", origin, err, complaint)
		}
	}
}

// A page of an allowed origin may send every header that the contract takes, and read every header that it promises: a
// header that is added to the contract cannot be forgotten.
func TestPagesOfOtherOriginsHaveTheHeadersOfTheContract(t *testing.T) {
	w := start(t, options{Origins: []string{"https://app.example"}})
	sent, read := contractHeaders()
	for _, name := range append(sent, "Authorization", "Content-Type", "Accept", "Traceparent", "Tracestate", "Baggage") {
		got := preflight(t, w, name)
		if got.Get("Access-Control-Allow-Headers") == "" {
			t.Errorf("a page may not send %s", name)
		}
	}
	if got := preflight(t, w, "X-Unknown"); got.Get("Access-Control-Allow-Headers") != "" {
		t.Error("a page may send what the contract does not name")
	}
	exposed := w.anonymous(t).get("/v1/status").with("Origin: https://app.example").want(http.StatusOK).header.Get("Access-Control-Expose-Headers")
	got := strings.Split(exposed, ", ")
	slices.Sort(got)
	want := slices.Concat(read, []string{"X-Request-Id"}) // which every answer has
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("a page may read %q, and the contract has %q", got, want)
	}
}

// preflight returns the headers of the answer to a preflight request for a header.
func preflight(t *testing.T, w *testServer, header string) http.Header {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, "http://restante.test/v1/nameplates", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Origin": {"https://app.example"}, "Access-Control-Request-Method": {http.MethodPost}, "Access-Control-Request-Headers": {strings.ToLower(header)}}
	got, err := w.HTTP.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = got.Body.Close()
	return got.Header
}

// contractHeaders returns the headers that the contract takes and those that it promises. Left out are those of a
// connection, which no page can set or use, and those that a page may always read.
func contractHeaders() (sent, read []string) {
	doc := contract().doc
	beside := []string{"Upgrade", "Connection", "Cache-Control"}
	add := func(list *[]string, name string) {
		if name = http.CanonicalHeaderKey(name); !slices.Contains(beside, name) && !slices.Contains(*list, name) {
			*list = append(*list, name)
		}
	}
	responses := []*openapi3.Response{}
	for _, of := range contract().router {
		responses = append(responses, of)
	}
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			for _, p := range append(slices.Clone(item.Parameters), op.Parameters...) {
				if p.Value.In == openapi3.ParameterInHeader {
					add(&sent, p.Value.Name)
				}
			}
			for _, of := range op.Responses.Map() {
				responses = append(responses, of.Value)
			}
		}
	}
	for _, of := range responses {
		for name := range of.Headers {
			add(&read, name)
		}
	}
	return sent, read
}
