package handlers_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"restante/openapi"
)

func TestTheContractIsServed(t *testing.T) {
	w := start(t, options{})
	asJSON, err := openapi.JSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		accept []string
		media  string // empty: 406
	}{
		{nil, "application/yaml"},
		{[]string{"*/*"}, "application/yaml"},
		{[]string{"application/*"}, "application/yaml"},
		{[]string{"application/yaml"}, "application/yaml"},
		{[]string{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, "application/yaml"}, // a browser
		{[]string{"text/html"}, "application/yaml"},
		{[]string{"application/json"}, "application/json"},
		{[]string{"application/json, */*;q=0.5"}, "application/json"},
		{[]string{"text/plain", "application/json;q=0.1"}, "application/json"},
		{[]string{"APPLICATION/JSON"}, "application/json"},
		{[]string{"application/yaml, application/json;q=0.1"}, "application/yaml"}, // it prefers YAML
		{[]string{"application/yaml;q=0.1, application/json;q=0.2"}, "application/json"},
		{[]string{"application/yaml;q=0, */*"}, "application/json"},
		{[]string{"application/json;q=0, */*"}, "application/yaml"},
		{[]string{"image/png"}, ""},
		{[]string{"text/plain, image/*"}, ""},
		{[]string{"application/json;q=0"}, ""},
		{[]string{"*/*;q=0"}, ""},
		{[]string{"nonsense"}, ""},
	} {
		r := w.anonymous(t).get("/openapi.yaml")
		for _, accept := range tt.accept {
			r.with("Accept: " + accept)
		}
		got := r.with("Accept-Encoding: identity").send()
		switch want := map[string][]byte{"application/yaml": openapi.YAML, "application/json": asJSON}[tt.media]; {
		case want == nil && got.status != http.StatusNotAcceptable:
			t.Errorf("Accept %q: %d", tt.accept, got.status)
		case want == nil:
		case got.header.Get("Content-Type") != tt.media || !bytes.Equal(got.body, want):
			t.Errorf("Accept %q: %d %s, want %s", tt.accept, got.status, got.header.Get("Content-Type"), tt.media)
		}
	}
}

func TestTheContractIsServedCompressedAndOnlyWhenItIsNew(t *testing.T) {
	w := start(t, options{})
	asJSON, err := openapi.JSON()
	if err != nil {
		t.Fatal(err)
	}
	tags := map[string]string{}
	for path, want := range map[string][]byte{"/openapi.yaml": openapi.YAML, "/openapi.json": asJSON} {
		get := func(headers ...string) *answer {
			r := w.anonymous(t).get(path)
			for _, h := range headers {
				r.with(h)
			}
			return r.send()
		}
		plain := get("Accept-Encoding: identity")
		if plain.status != http.StatusOK || !bytes.Equal(plain.body, want) {
			t.Errorf("%s: %d and %d bytes, want %d", path, plain.status, len(plain.body), len(want))
		}
		packed := get("Accept-Encoding: gzip, br").says("Content-Encoding", "gzip")
		if got, err := packed.unpacked(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: unpacks to %d bytes (%v), want %d", path, len(got), err, len(want))
		}
		if len(packed.body) > len(want)/3 {
			t.Errorf("%s: %d bytes become %d", path, len(want), len(packed.body))
		}
		for name, a := range map[string]*answer{"plain": plain, "packed": packed} {
			tag := a.header.Get("ETag")
			if a.status != http.StatusOK || !strings.HasPrefix(tag, `"`) {
				t.Errorf("%s, %s: %d with ETag %q, which is not strong", path, name, a.status, tag)
			}
			if other := tags[tag]; other != "" {
				t.Errorf("%s, %s: ETag %s is that of %s", path, name, tag, other)
			}
			tags[tag] = path + ", " + name
		}
		tag := plain.header.Get("ETag")
		for header, status := range map[string]int{
			tag:                       http.StatusNotModified,
			"W/" + tag:                http.StatusNotModified,
			`"another", ` + tag:       http.StatusNotModified,
			"*":                       http.StatusNotModified,
			`"another"`:               http.StatusOK,
			strings.ToLower(tag):      http.StatusOK,
			tag[1:]:                   http.StatusOK,
			packed.header.Get("ETag"): http.StatusOK, // the same document, but other bytes
		} {
			got := get("Accept-Encoding: identity", "If-None-Match: "+header)
			if got.status != status || got.header.Get("ETag") != tag || (status == http.StatusNotModified) != (len(got.body) == 0) {
				t.Errorf("%s, If-None-Match: %s: %d with ETag %s and %d bytes", path, header, got.status, got.header.Get("ETag"), len(got.body))
			}
		}
		if got := get("Accept-Encoding: gzip", "If-None-Match: "+packed.header.Get("ETag")); got.status != http.StatusNotModified {
			t.Errorf("%s: %d for the packed version again", path, got.status)
		}
	}
}

func TestMetrics(t *testing.T) {
	w := start(t, options{})
	a := w.begin(t, "app-in-question", "side-in-question")
	a.open("mailbox-in-question").want(http.StatusOK)
	a.ask("BREW", "/v1/session", "").want(http.StatusMethodNotAllowed)
	w.anonymous(t).get("/path-in-question").want(http.StatusNotFound)
	for _, accept := range []string{
		"", "text/plain", "application/openmetrics-text",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", // as a scraper asks
	} {
		r := w.anonymous(t).get("/metrics").with("Accept-Encoding: gzip")
		if accept != "" {
			r.with("Accept: " + accept)
		}
		r.with("-Accept-Encoding").want(http.StatusOK)
	}
	got := string(w.anonymous(t).get("/metrics").want(http.StatusOK).body)
	for _, line := range []string{
		`restante_http_requests_total{method="PUT",route="/v1/mailboxes/{mailbox}",status="200"} 1`,
		`restante_http_requests_total{method="other",route=`,
		`restante_handshakes_total{outcome="new"} 1`,
		`restante_ready 1`,
	} {
		if !strings.Contains(got, line) {
			t.Errorf("there is no %s in\n%s", line, got)
		}
	}
	if strings.Contains(got, "in-question") || strings.Contains(got, a.id) || strings.Contains(got, "BREW") {
		t.Errorf("what clients invent is a label:\n%s", got)
	}
}
