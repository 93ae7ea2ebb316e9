package repo

import (
	"net/url"
	"testing"
)

func TestHostsOfAURL(t *testing.T) {
	for address, want := range map[string]struct{ host, port, named string }{
		"postgres://u:p@a:1,b:2/db?sslmode=disable": {"a,b", "1,2", "postgres://a:1,b:2/db"},
		"postgres://a,b/db":                         {"a,b", ",", "postgres://a,b/db"},
		"postgresql://u@a,b:2/db":                   {"a,b", ",2", "postgres://a,b:2/db"},
		"postgres://[::1]:1,[::2]/db":               {"::1,::2", "1,", "postgres://[::1]:1,::2/db"},
		"postgres://u:p@a:1/db":                     {"", "", "postgres://a:1/db"},
		"postgres:///db?host=/run/pg&port=5433":     {"/run/pg", "5433", "postgres:///run/pg/db"},
		"postgres:///db?host=a,b&port=5433":         {"a,b", "5433", "postgres://a,b/db"},
		"postgres://u:a,b@c:1/db":                   {"", "", "postgres://c:1/db"},
	} {
		got := withHostsAsParameters(address)
		u, err := url.Parse(got)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if q := u.Query(); q.Get("host") != want.host || q.Get("port") != want.port {
			t.Errorf("%s becomes %s", address, got)
		}
		if named := redactedURL(got); named != want.named {
			t.Errorf("%s is called %s, want %s", address, named, want.named)
		}
	}
}
