package handlers

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"regexp"
	"strings"

	"github.com/go-chi/chi/v5"
)

// newRequestID returns an id by which an answer is found in the log.
func newRequestID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// traceparent is the header of W3C Trace Context, of version 00 or one that adds to it.
var traceparent = regexp.MustCompile(`^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$`)

// traceOf returns the trace that a traceparent names, or "" if it names none.
func traceOf(header string) string {
	parts := traceparent.FindStringSubmatch(header)
	if parts == nil || strings.HasPrefix(header, "ff") || parts[1] == strings.Repeat("0", 32) {
		return ""
	}
	return parts[1]
}

// patternOf returns the pattern of the route of a request that was answered before it was routed, such as one that was
// refused for its rate.
func (s *Server) patternOf(r *http.Request) string {
	path := r.URL.Path
	if r.URL.RawPath != "" {
		path = r.URL.RawPath
	}
	if rest, below := strings.CutPrefix(path, s.BasePath); below && strings.HasPrefix(rest, "/") {
		path = rest
	}
	if routes, is := s.routes.(chi.Routes); is {
		if pattern := routes.Find(chi.NewRouteContext(), r.Method, path); pattern != "" {
			return pattern
		}
	}
	return "unmatched"
}
