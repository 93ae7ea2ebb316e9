package handlers

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"

	"restante/api"
	"restante/handlers/welcome"
	"restante/handlers/wormhole"
	"restante/rendezvous"
)

// eventsPath is where sessions receive.
const eventsPath = "/v1/session/events"

// Handler returns the handler of everything that is served: what the contract describes, and nothing else. On every
// path, fail writes the failures.
func (s *Server) Handler() http.Handler {
	s.limiters, s.challenges, s.origins = newLimiters(s.Limits), welcome.NewChallenges(func() []byte { return s.Service.DeriveSecret("hashcash") }), newCORS(s.Origins)
	s.metrics = newMetrics(s)
	s.wormhole = wormhole.NewServer(wormhole.Options{
		Observe: s.metrics.command, ClosedAt: s.closedAt, Slowed: s.logSlowed, Tracer: s.Tracer, Refused: s.logRefused,
		Service: s.Service, Log: s.Log, Settings: s.wormholeSettings, Rules: s.rules.Load, Throttle: s.throttle,
		BindTimeout: s.Limits.Identify, Linger: s.Limits.Linger,
	})
	r := chi.NewRouter()
	r.Use(s.observe(s.metrics)) // a log line, a metric, a problem for a panic
	r.Use(securityHeaders)      // headers that every answer has
	r.Use(s.belowPath)          // the server may be reached below a path
	r.Use(s.allowedHost)        // only the hosts that are allowed
	if s.origins != nil {
		r.Use(s.origins.Handler) // preflight requests have no credential, and count against no limit
	}
	r.Use(s.clientAddress) // the client, also behind trusted proxies
	r.Use(s.rateLimit)     // not too many requests of an address
	r.Use(s.ruleOut)       // what the operator's rules say of the address
	r.NotFound(s.notFound)
	r.MethodNotAllowed(s.refuseMethod(r))
	get(r, "/", s.getHome)
	get(r, "/docs", s.getReference)
	get(r, "/assets/{name}", s.getAsset)
	get(r, "/v1", s.serveWormhole)
	get(r, "/v1/", s.serveWormhole)
	r.With(noStore).Get("/v1/session/socket", s.socket)
	get(r, "/openapi.yaml", s.getContract)
	get(r, "/openapi.json", s.getContractAsJSON)
	if !s.Admin {
		get(r.With(noStore), "/metrics", s.metrics.ServeHTTP)
	}

	// What is generated from the contract, in three groups: for everyone, with a session, and with a session or a secret.
	wrapped := s.generated()
	r.Group(func(r chi.Router) {
		r.Use(noStore)
		get(r, "/livez", wrapped.GetLiveness)
		get(r, "/readyz", wrapped.GetReadiness)
		if !s.Admin {
			get(r, "/v1/status", wrapped.GetStatus)
		}
		r.With(s.readBody).Post("/v1/sessions", wrapped.BeginSession)
	})
	r.Group(func(r chi.Router) {
		r.Use(noStore, s.requireSession, s.validQuery)
		r.With(s.readBody).Post("/v1/session/ack", wrapped.Acknowledge)
		r.With(s.readBody).Put("/v1/session/metadata", wrapped.UpdateMetadata)
		r.Group(func(r chi.Router) {
			r.Use(s.rejectBody)
			get(r, "/v1/session", wrapped.GetSession)
			r.Delete("/v1/session", wrapped.EndSession)
			r.With(s.negotiateReceive).Get(eventsPath, wrapped.Receive)
		})
	})
	r.Group(func(r chi.Router) {
		r.Use(noStore, s.requireCaller, s.validQuery)
		r.Group(func(r chi.Router) {
			r.Use(s.readBody)
			r.Post("/v1/nameplates", wrapped.AllocateNameplate)
			r.Put("/v1/nameplates/{nameplate}", wrapped.ClaimNameplate)
			r.Put("/v1/mailboxes/{mailbox}", wrapped.OpenMailbox)
		})
		r.With(s.readMessage).Post("/v1/mailboxes/{mailbox}/messages", wrapped.AddMessage)
		r.Group(func(r chi.Router) {
			r.Use(s.rejectBody)
			get(r, "/v1/nameplates", wrapped.ListNameplates)
			r.Delete("/v1/nameplates/{nameplate}", wrapped.ReleaseNameplate)
			get(r, "/v1/mailboxes/{mailbox}", wrapped.GetMailbox)
			r.Delete("/v1/mailboxes/{mailbox}", wrapped.CloseMailbox)
			get(r.With(s.negotiateMessages), "/v1/mailboxes/{mailbox}/messages", wrapped.ListMessages)
		})
	})
	s.routes = r
	s.noCommand = chi.Chain(s.observe(s.metrics), s.clientAddress, s.rateLimit, s.ruleOut).HandlerFunc(s.refuseCommand)
	return r
}

// generated returns the operations that are generated from the contract.
func (s *Server) generated() *api.ServerInterfaceWrapper {
	strict := api.NewStrictHandlerWithOptions(s, []api.StrictMiddlewareFunc{s.withReplyHeaders, s.validRequest, withEpochOfRequest, toItsEnd}, api.StrictHTTPServerOptions{
		RequestErrorHandlerFunc:  s.invalidBody,
		ResponseErrorHandlerFunc: s.fail,
	})
	return &api.ServerInterfaceWrapper{Handler: strict, ErrorHandlerFunc: s.invalidParameter}
}

// refuseMethod returns the handler for methods that a path does not take.
func (s *Server) refuseMethod(routes chi.Routes) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		allowed := allowedMethods(routes, r.URL)
		if allowed == "" { // chi also asks about methods that it does not know, on any path
			s.notFound(w, r)
			return
		}
		w.Header().Set("Allow", allowed)
		s.fail(w, r, &rendezvous.Failure{Code: methodNotAllowed, Detail: "this path takes " + allowed})
	}
}

// get routes GET, and HEAD with it: net/http sends no body in answer to HEAD. A GET that does more than look is routed
// without HEAD: to receive would take the place of another receiver, and a socket cannot be opened by HEAD.
func get(r chi.Router, path string, handler http.HandlerFunc) {
	r.Get(path, handler)
	r.Head(path, handler)
}

// notFound answers for every path that the contract does not describe.
func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	detail := "there is nothing at this path; GET /openapi.yaml describes what there is"
	if topic := strings.TrimPrefix(r.URL.Path, "/"); isMailbox(topic) {
		line, then := "-H 'Accept: text/plain'", "&wait=20"
		if r.Method == http.MethodPost || r.Method == http.MethodPut {
			line, then = "-H 'Content-Type: text/plain' -d TEXT", ""
		}
		detail += "; for a mailbox, make up a secret of 22 characters or more: curl -u APP:SECRET " + line + " '…/v1/mailboxes/" + topic + "/messages?open=true" + then + "'"
	}
	s.fail(w, r, &rendezvous.Failure{Code: rendezvous.NotFound, Detail: detail})
}

// allowedMethods returns the methods that a path takes, as a list.
func allowedMethods(routes chi.Routes, at *url.URL) string {
	path := at.Path
	if at.RawPath != "" {
		path = at.RawPath // as chi does: %2F separates nothing
	}
	var allowed []string
	for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete} {
		if routes.Match(chi.NewRouteContext(), m, path) {
			allowed = append(allowed, m)
		}
	}
	return strings.Join(allowed, ", ")
}
