package handlers

import (
	"errors"
	"fmt"
	"net"
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
// who asks for what, and those of a trace (W3C Trace Context, W3C Baggage). A test holds both lists against the contract.
var sendableHeaders = []string{
	"Authorization", "Content-Type", "Accept", "Seq", "Ack", "Epoch", "Idempotency-Key", "Prefer", "Last-Event-ID", "Traceparent", "Tracestate", "Baggage",
}

// readableHeaders are the headers of an answer that such a page may read: those that the contract promises.
var readableHeaders = []string{
	"Ack", "Replayed", "After", "Retry-After", "Allow", "WWW-Authenticate", "Location", "ETag", "Vary", "Accept-Encoding", "Server",
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

// sameOrigin reports whether a WebSocket comes from a page that is allowed, from one of this server, or from no page.
// CORS does not cover WebSockets.
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
	if said := r.Header.Values("Sec-Fetch-Site"); len(said) == 1 && said[0] == "same-origin" {
		return true // the browser says so, and a page cannot
	}
	origin, err := url.Parse(origins[0])
	if err != nil || origin.Hostname() == "" {
		return false
	}
	page := authority(origin.Scheme, origin.Host)
	return page == authority(origin.Scheme, r.Host) || page == authority(origin.Scheme, s.forwardedHost(r))
}

// forwardedHost returns the host for which a trusted proxy was asked, or "" if none says so. Of several proxies, the
// first one was asked by the client.
func (s *Server) forwardedHost(r *http.Request) string {
	if !s.fromTrustedProxy(r) {
		return ""
	}
	host, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Host"), ",")
	return strings.TrimSpace(host)
}

// usualPorts are the ports that browsers leave out, by scheme. The scheme of a request is that of its page's origin: behind a
// proxy, the server does not know its own.
var usualPorts = map[string]string{"http": "80", "https": "443"}

// authority returns a host and its port as all ways to write them have it: in lower case, and without a final dot and
// the usual port.
func authority(scheme, host string) string {
	port := ""
	if name, given, err := net.SplitHostPort(host); err == nil {
		host, port = name, given
	}
	if port == usualPorts[scheme] {
		port = ""
	}
	return canonicalName(host) + ":" + port
}

// CheckOrigin reports why an origin would never match what a browser sends. An origin is a scheme, a host, and a port
// unless it is the usual one of the scheme. A * stands for every origin, for the names below a domain, or for any
// port.
func CheckOrigin(origin string) error {
	if origin == "*" {
		return nil
	}
	scheme, host, _ := strings.Cut(origin, "://")
	port, known := usualPorts[scheme]
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
	case strings.HasSuffix(host, ":"+port):
		return fmt.Errorf("browsers leave out the usual port: write %s://%s", scheme, strings.TrimSuffix(host, ":"+port))
	case strings.ContainsFunc(host, func(r rune) bool { return r > '~' }):
		return errors.New("browsers write hosts in ASCII, as in https://xn--bcher-kva.example")
	}
	return nil
}
