package handlers_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
)

// site is what the pages of a test are made of.
var site = map[string]string{
	"index.html":         "<!doctype html>\n<title>Restante</title>\n",
	"docs.html":          "<!doctype html>\n<title>The interface</title>\n",
	"assets/page.js":     "document.title",
	"assets/page.css":    "p { margin: 0 }",
	"assets/icon.svg":    "<svg xmlns='http://www.w3.org/2000/svg'/>",
	"assets/LICENSE.txt": "It is free.\n",
}

func TestPages(t *testing.T) {
	w := start(t, options{Pages: site})
	for path, tt := range map[string]struct{ file, media string }{
		"/":                   {"index.html", "text/html; charset=utf-8"},
		"/?utm_source=mail":   {"index.html", "text/html; charset=utf-8"},
		"/v1":                 {"index.html", "text/html; charset=utf-8"},
		"/docs":               {"docs.html", "text/html; charset=utf-8"},
		"/assets/page.js":     {"assets/page.js", "text/javascript; charset=utf-8"},
		"/assets/page.css":    {"assets/page.css", "text/css; charset=utf-8"},
		"/assets/icon.svg":    {"assets/icon.svg", "image/svg+xml"},
		"/assets/LICENSE.txt": {"assets/LICENSE.txt", "text/plain; charset=utf-8"},
		"/assets/%70age%2Ejs": {"assets/page.js", "text/javascript; charset=utf-8"}, // RFC 3986, §6.2.2.2
	} {
		t.Run(path, func(t *testing.T) {
			page := func() *request { return w.anonymous(t).get(path).with("Accept: text/html,*/*;q=0.8") }
			plain := page().want(http.StatusOK).says("Content-Type", tt.media).says("Cache-Control", "no-cache")
			for _, encodings := range []string{"gzip, deflate, br, zstd", "*", "gzip;q=0.1"} {
				small := page().with("Accept-Encoding: "+encodings).want(http.StatusOK).says("Content-Encoding", "gzip").says("Content-Type", tt.media)
				unpacked, err := gzip.NewReader(bytes.NewReader(small.body))
				if err != nil {
					t.Fatal(err)
				}
				if text, err := io.ReadAll(unpacked); err != nil || string(text) != site[tt.file] {
					t.Errorf("by %s it is %s (%v)", encodings, text, err)
				}
			}
			for _, headers := range [][]string{nil, {"Accept-Encoding: identity"}, {"Accept-Encoding: br"}, {"Accept-Encoding: gzip;q=0, *"}} {
				got := page().with(headers...).want(http.StatusOK)
				if string(got.body) != site[tt.file] || got.header.Get("Content-Encoding") != "" {
					t.Errorf("with %q it is %s %s", headers, got.header.Get("Content-Encoding"), got.body)
				}
			}
			if vary := strings.Join(plain.header.Values("Vary"), ", "); !strings.Contains(vary, "Accept-Encoding") {
				t.Errorf("it varies by %s", vary)
			}
			tag := plain.header.Get("ETag")
			page().with("If-None-Match: "+tag).want(http.StatusNotModified).says("ETag", tag)
			page().with(`If-None-Match: W/"another", ` + tag).want(http.StatusNotModified)
			page().with(`If-None-Match: W/"another"`).want(http.StatusOK)
		})
	}
}

// What may happen in a page is said with it: nothing of anybody else's, nothing inline.
func TestPagesArePoliced(t *testing.T) {
	w := start(t, options{Pages: site})
	for _, path := range []string{"/", "/v1", "/docs"} {
		got := w.anonymous(t).get(path).with("Accept: text/html").want(http.StatusOK).says("Referrer-Policy", "no-referrer").
			says("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "+
				"base-uri 'none'; form-action 'none'; frame-ancestors 'none'").
			says("Cross-Origin-Opener-Policy", "same-origin").says("Cross-Origin-Resource-Policy", "same-origin")
		if got := got.header.Get("Permissions-Policy"); !strings.Contains(got, "camera=()") || !strings.Contains(got, "clipboard-write=(self)") {
			t.Errorf("%s: Permissions-Policy is %q", path, got)
		}
		if len(got.header.Values("Content-Security-Policy")) != 1 {
			t.Errorf("%s has several policies", path)
		}
	}
}

func TestAssetsThatAreNone(t *testing.T) {
	w := start(t, options{Pages: site})
	for _, path := range []string{
		"/assets", "/assets/", "/assets/none.js", "/assets/page.js.gz", "/assets/page.js/", "/assets/..", "/assets/../index.html", "/assets/..%2Findex.html",
		"/assets/%2e%2e%2findex.html", "/assets/page%2Ejs%00", "/assets/%FF", "/assets/%2FF", "/assets/page.js%2F", "/assets/%252e", "/index.html", "/docs/", "/docs.html",
	} {
		w.anonymous(t).get(path).want(http.StatusNotFound)
	}
}
