package repo

import (
	"errors"
	"net/url"
	"strings"
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

// TestNoPasswordIsTold has passwords with characters that end a part of a URL.
func TestNoPasswordIsTold(t *testing.T) {
	t.Parallel()
	for address, problem := range map[string]string{
		"postgres://user:/abcSECRET@127.0.0.1:1/db":                    "a character in its password",
		"postgres://user:12/SECRET@127.0.0.1:1/db":                     "a character in its password",
		"postgres://user:12#SECRET@127.0.0.1:1/db":                     "a character in its password",
		"postgres://user:12?SECRET@127.0.0.1:1/db":                     "a character in its password",
		"postgres://user:1@2/SECRET@127.0.0.1:1/db":                    "a character in its password",
		"postgres://user:12/SECRET@127.0.0.1:1,127.0.0.1:2/db":         "a character in its password",
		"postgres://user:12%SECRET@127.0.0.1:1/db":                     "this is not a URL",
		"postgres://user:SECRET@127.0.0.1:1/db?sslmode=disable":        "it cannot be reached",
		"postgres://user:SECRET@127.0.0.1:1/db?options=-c%20a%3Db%40c": "it cannot be reached",
		"user:SECRET@127.0.0.1:1/db":                                   "the scheme of this URL is missing",
		"user:12/SECRET@127.0.0.1:1/db":                                "the scheme of this URL is missing",
		"//user:SECRET@127.0.0.1:1/db":                                 "the scheme of this URL is missing",
	} {
		for _, open := range []func() (*DB, error){
			func() (*DB, error) { return Open(t.Context(), Options{URL: address}) },
			func() (*DB, error) { return OpenToRead(t.Context(), Options{URL: address}) },
		} {
			db, err := open()
			if err == nil {
				_ = db.Close()
			}
			e, ok := errors.AsType[*OpenError](err)
			if !ok || !strings.Contains(e.Problem, problem) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%s: %v, want %q", strings.ReplaceAll(address, "SECRET", "…"), err, problem)
			}
		}
	}
}
