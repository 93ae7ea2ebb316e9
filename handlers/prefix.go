package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// prefixPattern is a path under which a server may be reached: no slash at its end, and nothing that a page or the
// contract would have to escape.
var prefixPattern = regexp.MustCompile(`^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$`)

// routePattern is a path that begins as one that is served.
var routePattern = regexp.MustCompile(`^/(assets|docs|livez|metrics|openapi\.json|openapi\.yaml|readyz|v1)(/|$)`)

// CheckBasePath reports why a path cannot be the base path.
func CheckBasePath(path string) error {
	if path != "" && !prefixPattern.MatchString(path) {
		return errors.New("it must begin with a slash, end without one, and have only letters, digits, '.', '_', '~' and '-' between slashes: /mail")
	}
	if route := routePattern.FindStringSubmatch(path); route != nil {
		return fmt.Errorf("the server has a path /%s of its own, which could not be reached any more; choose another, for example /mail", route[1])
	}
	return nil
}

type prefixKey struct{}

// prefixOf returns the path under which the client of a request reaches the server; "" stands for the root.
func prefixOf(r *http.Request) string {
	prefix, _ := r.Context().Value(prefixKey{}).(string)
	return prefix
}

// belowPath is middleware that takes the base path off a request, if it is there: a proxy may take it off or leave it.
// A trusted proxy may also name the path that it has taken off.
func (s *Server) belowPath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		prefix := s.BasePath
		if named := strings.TrimSuffix(r.Header.Get("X-Forwarded-Prefix"), "/"); prefixPattern.MatchString(named) && s.fromTrustedProxy(r) {
			prefix = named
		}
		if prefix == "" {
			next.ServeHTTP(w, r)
			return
		}
		if s.BasePath != "" && r.URL.Path == s.BasePath && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			w.Header().Set("Cache-Control", "no-cache")
			w.Header().Set("Location", prefix+"/") // what the page names is relative to it
			w.WriteHeader(http.StatusPermanentRedirect)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), prefixKey{}, prefix))
		if rest, below := strings.CutPrefix(r.URL.Path, s.BasePath); below && strings.HasPrefix(rest, "/") {
			inside := new(url.URL)
			*inside = *r.URL
			inside.Path, inside.RawPath = rest, strings.TrimPrefix(r.URL.RawPath, s.BasePath)
			r.URL = inside
		}
		next.ServeHTTP(w, r)
	})
}

// fromTrustedProxy reports whether the connection of a request is that of a trusted proxy.
func (s *Server) fromTrustedProxy(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && s.trusts(peer.Addr().Unmap().WithZone(""))
}
