package handlers

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rs/cors"
)

// preflightAge is how long a browser may keep the answer to a preflight request. Browsers limit that to two hours or a
// day.
const preflightAge = 24 * time.Hour

// sendableHeaders are the headers that a page of another origin may send: those that the contract takes, those that say
// who asks for what, and those of a trace. A test holds both lists against the contract.
var sendableHeaders = []string{
	"Authorization", "Content-Type", "Accept", "Seq", "Ack", "Epoch", "Idempotency-Key", "Prefer", "Last-Event-ID", "Traceparent", "Tracestate",
}

// readableHeaders are the headers of an answer that such a page may read: those that the contract promises.
var readableHeaders = []string{
	"Ack", "Replayed", "After", "Retry-After", "Allow", "WWW-Authenticate", "Location", "ETag", "Vary", "Server",
	"X-Accel-Buffering", "RateLimit", "RateLimit-Policy", "X-Request-Id",
}

// newCORS returns the rules for pages of these origins, or nil if there are none. There are no cookies, so there are no
// credentials in the sense of CORS.
func newCORS(origins []string) *cors.Cors {
	if len(origins) == 0 {
		return nil // to the library, none stands for all
	}
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete},
		AllowedHeaders: sendableHeaders,
		ExposedHeaders: readableHeaders,
		MaxAge:         int(preflightAge.Seconds()),
	})
}

// sameOrigin reports whether a WebSocket comes from a page that is allowed, or from no page. CORS does not cover
// WebSockets. The scheme is not compared: behind a proxy, the server does not know its own.
func (s *Server) sameOrigin(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	if len(origins) > 1 {
		return false // no browser sends two
	}
	if s.origins != nil && s.origins.OriginAllowed(r) {
		return true
	}
	origin, err := url.Parse(origins[0])
	return err == nil && strings.EqualFold(origin.Host, r.Host)
}

// CheckOrigin reports why an origin would never match what a browser sends. An origin is a scheme, a host, and a port
// unless it is the usual one of the scheme. A * stands for every origin, for the names below a domain, or for any
// port.
func CheckOrigin(origin string) error {
	if origin == "*" {
		return nil
	}
	scheme, host, _ := strings.Cut(origin, "://")
	port, known := map[string]string{"http": ":80", "https": ":443"}[scheme]
	pattern := strings.TrimPrefix(host, "*.")
	if name, is := strings.CutSuffix(pattern, ":*"); is {
		pattern = name + ":1"
	}
	u, err := url.Parse("http://" + pattern)
	switch {
	case !known:
		return errors.New("it must begin with https:// or http://")
	case strings.ContainsAny(host, "/?#"):
		return fmt.Errorf("an origin has no path and no slash at its end: write %s://%s", scheme, host[:strings.IndexAny(host, "/?#")])
	case strings.Contains(pattern, "*"):
		return fmt.Errorf("a * stands alone, or as in %s://*.example.org, or in place of the port", scheme)
	case err != nil || u.Hostname() == "" || u.Host != pattern || strings.HasSuffix(pattern, ":"):
		return fmt.Errorf("after %s:// comes a host, and a port if it is not the usual one", scheme)
	case strings.HasSuffix(host, port):
		return fmt.Errorf("browsers leave out the usual port: write %s://%s", scheme, strings.TrimSuffix(host, port))
	case strings.ContainsFunc(host, func(r rune) bool { return r > '~' }):
		return errors.New("browsers write hosts in ASCII, as in https://xn--bcher-kva.example")
	}
	return nil
}
