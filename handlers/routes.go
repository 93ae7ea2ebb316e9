package handlers

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"restante/api"
	"restante/handlers/welcome"
	"restante/handlers/wormhole"
	"restante/rendezvous"
)

// Handler is everything that is served: what the contract describes, and
// nothing else. A failure on any of its paths is written by fail.
func (s *Server) Handler() http.Handler {
	s.limiters, s.challenges, s.origins = newLimiters(s.Limits), welcome.NewChallenges(), crossOrigin(s.Origins)
	s.wormhole = wormhole.NewServer(wormhole.Options{
		Service: s.Service, Log: s.Log, Settings: s.currentSettings, Throttle: s.limiters.wait,
		BindTimeout: s.Limits.Identify, Linger: s.Limits.Linger,
	})
	metrics := newMetrics(s)
	r := chi.NewRouter()
	r.Use(s.observe(metrics)) // a log line, a metric, a problem for a panic
	r.Use(secured)            // headers that every answer has
	r.Use(s.hosted)           // not for somebody else's host
	if s.origins != nil {
		r.Use(s.origins.Handler) // a browser asks before it asks: with no credential, and not against any limit
	}
	r.Use(s.addressed()...) // whose request is it, through trusted proxies
	r.Use(s.limited)        // not too many of an address
	r.NotFound(s.notFound)
	r.MethodNotAllowed(func(w http.ResponseWriter, req *http.Request) {
		allowed := allowedMethods(r, req.URL)
		if allowed == "" { // also asked about a method that chi does not know, wherever that leads
			s.notFound(w, req)
			return
		}
		w.Header().Set("Allow", allowed)
		s.fail(w, req, &rendezvous.Failure{Code: methodNotAllowed, Detail: "this path takes " + allowed})
	})
	r.Get("/", s.getHome)
	r.Get("/docs", s.getReference)
	r.Get("/assets/{name}", s.getAsset)
	r.Get("/v1", s.serveWormhole)
	r.Get("/v1/", s.serveWormhole)
	r.With(uncached).Get("/v1/session/socket", s.socket)
	r.Get("/openapi.yaml", s.getContract)
	r.Get("/openapi.json", s.getContractAsJSON)
	r.Get("/metrics", metrics.ServeHTTP)

	// What is generated from the contract, in two groups that differ in who may ask.
	strict := api.NewStrictHandlerWithOptions(s, []api.StrictMiddlewareFunc{s.marked, s.validated}, api.StrictHTTPServerOptions{
		RequestErrorHandlerFunc:  s.undecodable,
		ResponseErrorHandlerFunc: s.fail,
	})
	wrapped := api.ServerInterfaceWrapper{Handler: strict, ErrorHandlerFunc: s.unbindable}
	r.Group(func(r chi.Router) {
		r.Get("/livez", wrapped.GetLiveness)
		r.Get("/readyz", wrapped.GetReadiness)
		r.Get("/v1/status", wrapped.GetStatus)
		r.With(uncached, s.embodied).Post("/v1/sessions", wrapped.BeginSession)
	})
	r.Group(func(r chi.Router) {
		r.Use(uncached, s.bound, s.queried)
		r.Group(func(r chi.Router) {
			r.Use(s.embodied)
			r.Post("/v1/session/ack", wrapped.Acknowledge)
			r.Post("/v1/nameplates", wrapped.AllocateNameplate)
			r.Put("/v1/nameplates/{nameplate}", wrapped.ClaimNameplate)
			r.Put("/v1/mailboxes/{mailbox}", wrapped.OpenMailbox)
			r.Post("/v1/mailboxes/{mailbox}/messages", wrapped.AddMessage)
		})
		r.Group(func(r chi.Router) {
			r.Use(s.bodiless)
			r.Get("/v1/session", wrapped.GetSession)
			r.Delete("/v1/session", wrapped.EndSession)
			r.With(s.receives).Get("/v1/session/events", wrapped.Receive)
			r.Get("/v1/nameplates", wrapped.ListNameplates)
			r.Delete("/v1/nameplates/{nameplate}", wrapped.ReleaseNameplate)
			r.Get("/v1/mailboxes/{mailbox}", wrapped.GetMailbox)
			r.Delete("/v1/mailboxes/{mailbox}", wrapped.CloseMailbox)
			r.Get("/v1/mailboxes/{mailbox}/messages", wrapped.ListMessages)
		})
	})
	s.routes = r
	return r
}

// addressed finds the address of the client: the peer's, unless that is a
// trusted proxy that says whose request it forwards.
func (s *Server) addressed() []func(http.Handler) http.Handler {
	chain := []func(http.Handler) http.Handler{middleware.ClientIPFromRemoteAddr}
	if len(s.TrustedProxies) > 0 {
		trusted := make([]string, len(s.TrustedProxies))
		for i, p := range s.TrustedProxies {
			trusted[i] = p.String()
		}
		chain = append(chain, middleware.ClientIPFromHeader("X-Real-IP", trusted...), middleware.ClientIPFromXFF(trusted...))
	}
	return chain
}

// secured sets the headers that every answer has.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// uncached has the answers to a session, of which the first holds its credential, kept by nobody.
func uncached(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// notFound is whatever the contract does not describe.
func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	s.fail(w, r, &rendezvous.Failure{Code: rendezvous.NotFound, Detail: "there is nothing at this path; GET /openapi.yaml describes what there is"})
}

// allowedMethods lists what a path takes.
func allowedMethods(routes chi.Routes, at *url.URL) string {
	path := at.Path
	if at.RawPath != "" {
		path = at.RawPath // as chi does: %2F separates nothing
	}
	var allowed []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		if routes.Match(chi.NewRouteContext(), m, path) {
			allowed = append(allowed, m)
		}
	}
	return strings.Join(allowed, ", ")
}
