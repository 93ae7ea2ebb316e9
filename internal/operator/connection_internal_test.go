package operator

import "testing"

func TestConnectionFindsTheServer(t *testing.T) {
	tests := map[string]struct {
		url         string
		listen      []string
		want, where string // where is a Unix socket
	}{
		"by default":          {"", []string{":4000"}, "http://localhost:4000", ""},
		"everywhere":          {"", []string{"0.0.0.0:5000"}, "http://localhost:5000", ""},
		"by IPv6":             {"", []string{"[::]:5000"}, "http://localhost:5000", ""},
		"on one address":      {"", []string{"192.0.2.1:5000"}, "http://192.0.2.1:5000", ""},
		"on one IPv6 address": {"", []string{"[2001:db8::1]:5000"}, "http://[2001:db8::1]:5000", ""},
		"on a socket":         {"", []string{"unix:/x"}, "http://localhost", "/x"},
		"on what it opened":   {"", []string{"none", "systemd:", ":5000", ":6000"}, "http://localhost:5000", ""},
		"by URL":              {"https://a.example/", []string{":4000"}, "https://a.example", ""},
		"by a socket's URL":   {"unix:///x", []string{":4000"}, "http://localhost", "/x"},
		"without http://":     {"127.0.0.1:4000", nil, "", ""},
		"of a socket's URL":   {"ws://a.example/v1", nil, "", ""},
		"of no host":          {"http://", nil, "", ""},
		"nowhere":             {"", []string{"none"}, "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			url, where, err := (&Connection{URL: tt.url}).target(tt.listen)
			if url != tt.want || where != tt.where || (err == nil) != (tt.want != "") {
				t.Errorf("%q, %q, %v; want %q, %q", url, where, err, tt.want, tt.where)
			}
		})
	}
}
