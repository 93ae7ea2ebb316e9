package handlers

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"restante/api"
	"restante/rendezvous"
	"restante/session"
)

// AdminHandler returns the handler of the admin side, which only the operator reaches. [Server.Handler] must have been
// called. If token is not empty, each request must have it, except for the probes.
func (s *Server) AdminHandler(token string) http.Handler {
	wrapped := s.generated()
	r := chi.NewRouter()
	r.Use(s.observe(s.metrics), securityHeaders, noStore)
	r.Use(s.clientAddress)
	r.NotFound(s.notFound)
	r.MethodNotAllowed(s.refuseMethod(r))
	get(r, "/livez", wrapped.GetLiveness)
	get(r, "/readyz", wrapped.GetReadiness)
	r.Group(func(r chi.Router) {
		r.Use(s.requireAdmin(token))
		get(r, "/metrics", s.metrics.ServeHTTP)
		get(r, "/v1/status", wrapped.GetStatus)
		get(r, "/status", s.getStatusPage)
	})
	r.Group(func(r chi.Router) {
		r.Use(s.requireAdmin(token), s.validQuery)
		get(r, "/v1/admin/sessions", wrapped.ListSessions)
		r.With(s.rejectBody).Delete("/v1/admin/sessions/{key}", wrapped.RemoveSession)
		get(r, "/v1/admin/usage", wrapped.GetUsage)
	})
	return r
}

type adminKey struct{}

// isAdmin reports whether a request came to the admin side, and may be told everything.
func isAdmin(ctx context.Context) bool { return ctx.Value(adminKey{}) != nil }

// requireAdmin is middleware that refuses requests without the operator's token, if there is one. A browser sends it as
// a password. What another site makes a browser send is refused: the browser would add the password.
func (s *Server) requireAdmin(token string) func(http.Handler) http.Handler {
	want := sha256.Sum256([]byte(token))
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, got, basic := basicAuth(r)
			if !basic {
				scheme, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " ")
				if got = ""; strings.EqualFold(scheme, "Bearer") {
					got = strings.TrimSpace(bearer)
				}
			}
			digest := sha256.Sum256([]byte(got))
			site := r.Header.Get("Sec-Fetch-Site")
			switch {
			case token != "" && subtle.ConstantTimeCompare(digest[:], want[:]) == 0:
				s.fail(w, r, &rendezvous.Failure{Code: adminRequired, Detail: "send the operator's token (--admin-token) as a bearer token, or as the password of any user"})
			case token == "" && !allowsHost(LoopbackHosts(), r.Host):
				s.fail(w, r, &rendezvous.Failure{Code: misdirectedRequest, Detail: "the admin side has no token, and answers only for localhost, 127.0.0.1 and [::1]"})
			case site == "cross-site" || site == "same-site":
				s.fail(w, r, &rendezvous.Failure{Code: rendezvous.NotFound, Detail: "another site asks for this"})
			default:
				next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), adminKey{}, true)))
			}
		})
	}
}

// defaultListed is how many sessions are listed if no limit is given.
const defaultListed = 100

// ListSessions is GET /v1/admin/sessions.
func (s *Server) ListSessions(ctx context.Context, r api.ListSessionsRequestObject) (api.ListSessionsResponseObject, error) {
	f := rendezvous.SessionFilter{Limit: defaultListed}
	if r.Params.App != nil {
		f.App = rendezvous.AppID(*r.Params.App)
	}
	if r.Params.Address != nil {
		f.Address = *r.Params.Address
	}
	if r.Params.Limit != nil {
		f.Limit = int(*r.Params.Limit)
	}
	found, err := s.Service.LiveSessions(ctx, f)
	if err != nil {
		return nil, err
	}
	list := api.ListSessions200JSONResponse{Sessions: make([]api.ListedSession, len(found))}
	for i, one := range found {
		list.Sessions[i] = api.ListedSession{
			Key: hex.EncodeToString(one.Key[:]), AppID: string(one.App), State: api.ListedSessionStateAttached, Epoch: int64(one.Epoch),
			BeganAt: one.Began.UnixMilli(), SeenAt: one.Seen.UnixMilli(), UnacknowledgedFrames: int64(one.Next - one.Kept),
		}
		if _, detached := one.State.(session.Detached); detached {
			list.Sessions[i].State = api.ListedSessionStateDetached
		}
		if one.Address != "" {
			list.Sessions[i].Address = &one.Address
		}
	}
	return list, nil
}

// RemoveSession is DELETE /v1/admin/sessions/{key}.
func (s *Server) RemoveSession(ctx context.Context, r api.RemoveSessionRequestObject) (api.RemoveSessionResponseObject, error) {
	var key session.Key
	if _, err := hex.Decode(key[:], []byte(r.Key)); err != nil {
		return nil, err // validated
	}
	text := ""
	if r.Params.Text != nil {
		text = *r.Params.Text
	}
	if err := s.Service.RemoveSession(ctx, key, text); err != nil {
		return nil, err
	}
	s.Log.InfoContext(ctx, "the operator ended a session", "session", key)
	return api.RemoveSession204Response{}, nil
}

// defaultDays is how many days a usage report is about if none are given.
const defaultDays = 7

// GetUsage is GET /v1/admin/usage.
func (s *Server) GetUsage(ctx context.Context, r api.GetUsageRequestObject) (api.GetUsageResponseObject, error) {
	period := rendezvous.UsagePeriod{Days: defaultDays}
	if r.Params.Days != nil {
		period.Days = int(*r.Params.Days)
	}
	if r.Params.Hours != nil {
		period.Hours = int(*r.Params.Hours)
	}
	usage, err := s.Service.Usage(ctx, period)
	if err != nil {
		return nil, err
	}
	report := api.GetUsage200JSONResponse{
		Since: usage.Since.UnixMilli(), ServerTime: usage.Now.UnixMilli(),
		Groups: make([]api.UsageGroup, len(usage.Groups)), Versions: make([]api.VersionCount, len(usage.Versions)),
	}
	for i, g := range usage.Groups {
		report.Groups[i] = api.UsageGroup{
			Kind: api.UsageGroupKind(g.Kind), Day: g.Day.Format("2006-01-02"), AppID: string(g.App), Result: api.UsageGroupResult(g.Result),
			Count: g.Count, Total: quantiles(g.Total),
		}
		if g.Waiting.Count > 0 {
			report.Groups[i].Waiting = new(quantiles(g.Waiting))
		}
	}
	for i, v := range usage.Versions {
		report.Versions[i] = api.VersionCount{AppID: string(v.App), Implementation: v.Implementation, Version: v.Version, Clients: v.Clients}
	}
	return report, nil
}

func quantiles(q rendezvous.Quantiles) api.Quantiles {
	return api.Quantiles{Count: q.Count, P50Ms: q.Half.Milliseconds(), P90Ms: q.Most.Milliseconds(), P99Ms: q.NearlyAll.Milliseconds()}
}
