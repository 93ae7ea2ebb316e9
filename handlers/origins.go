package handlers

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rs/cors"
)

// preflightAge is for how long a browser need not ask again. It caps that itself, at two hours or a day.
const preflightAge = 24 * time.Hour

// crossOrigin is how pages of other origins may ask: nil if none may. There are
// no cookies, so there are no credentials in the sense of CORS.
func crossOrigin(origins []string) *cors.Cors {
	if len(origins) == 0 {
		return nil // to the library, none is all
	}
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete},
		AllowedHeaders: []string{"Authorization", "Content-Type", "Accept", "Seq", "Ack", "Prefer", "Last-Event-ID"},
		ExposedHeaders: []string{"Ack", "Replayed", "Retry-After"},
		MaxAge:         int(preflightAge.Seconds()),
	})
}

// sameOrigin tells whether a WebSocket comes from a page that may ask, or from no
// page. CORS does not cover these. The scheme is not compared: behind a proxy, ours is not known.
func (s *Server) sameOrigin(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	if len(origins) > 1 {
		return false // no browser says so
	}
	if s.origins != nil && s.origins.OriginAllowed(r) {
		return true
	}
	origin, err := url.Parse(origins[0])
	return err == nil && strings.EqualFold(origin.Host, r.Host)
}
