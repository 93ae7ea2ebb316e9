package handlers_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"restante/openapi"
)

func TestTheContractIsServed(t *testing.T) {
	w := start(t, setup{})
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
		r := w.nobody(t).get("/openapi.yaml")
		for _, accept := range tt.accept {
			r.with("Accept: " + accept)
		}
		got := r.send().says("Vary", "Accept")
		switch want := map[string][]byte{"application/yaml": openapi.YAML, "application/json": asJSON}[tt.media]; {
		case want == nil && got.status != http.StatusNotAcceptable:
			t.Errorf("Accept %q: %d", tt.accept, got.status)
		case want == nil:
		case got.header.Get("Content-Type") != tt.media || !bytes.Equal(got.body, want):
			t.Errorf("Accept %q: %d %s, want %s", tt.accept, got.status, got.header.Get("Content-Type"), tt.media)
		}
	}
}

func TestMetrics(t *testing.T) {
	w := start(t, setup{})
	a := w.begin(t, "app-in-question", "side-in-question")
	a.open("mailbox-in-question").want(http.StatusOK)
	a.ask("BREW", "/v1/session", "").want(http.StatusMethodNotAllowed)
	w.nobody(t).get("/path-in-question").want(http.StatusNotFound)
	for _, accept := range []string{
		"", "text/plain", "application/openmetrics-text",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", // as a scraper asks
	} {
		r := w.nobody(t).get("/metrics").with("Accept-Encoding: gzip")
		if accept != "" {
			r.with("Accept: " + accept)
		}
		r.with("-Accept-Encoding").want(http.StatusOK)
	}
	got := string(w.nobody(t).get("/metrics").want(http.StatusOK).body)
	for _, line := range []string{
		`restante_http_requests_total{method="PUT",route="/v1/mailboxes/{mailbox}",status="200"} 1`,
		`restante_http_requests_total{method="other",route=`,
		`restante_handshakes_total 1`,
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
