package handlers_test

import (
	"strings"
	"testing"

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
