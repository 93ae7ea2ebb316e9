package handlers

import (
	"context"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"restante/rendezvous"
	"restante/session"
)

// securityHeaders is middleware that sets the headers that every answer has.
func securityHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// noStore is middleware that forbids caches to keep an answer. The first answer to a session holds its credential.
func noStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// requireSession is middleware for the operations of a session. A request without a credential is refused.
func (s *Server) requireSession(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := infoOf(r)
		info.bound = true
		key, err := credential(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		info.session = &key
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), sessionKey{}, key)))
	})
}

type sessionKey struct{}

// caller returns the session of a request.
func caller(ctx context.Context) session.Key {
	key, _ := ctx.Value(sessionKey{}).(session.Key)
	return key
}

// requireCaller is middleware for the operations of a session that a client may also ask for without one, with an app
// and a secret (RFC 7617). It is never asked for them: a browser would offer a form, and send them with any request.
func (s *Server) requireCaller(next http.Handler) http.Handler {
	withSession := s.requireSession(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		app, secret, is := r.BasicAuth()
		if !is || len(r.Header.Values("Authorization")) != 1 {
			withSession.ServeHTTP(w, r)
			return
		}
		infoOf(r).bound, infoOf(r).keyed = true, true
		if err := checkKey(r, app, secret); err != nil {
			s.fail(w, r, err)
			return
		}
		if s.Service.VerifyToken != nil {
			s.fail(w, r, rendezvous.TokenRequiredWithoutSession())
			return
		}
		side := rendezvous.SideRef{App: rendezvous.AppID(app), Side: rendezvous.KeyedSide(rendezvous.AppID(app), secret), Address: addressOf(r.Context())}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), keyedKey{}, side)))
	})
}

// checkKey refuses an app and a secret that do not make a side.
func checkKey(r *http.Request, app, secret string) error {
	var detail string
	switch {
	case r.Header.Get("Sec-Fetch-Site") == "cross-site":
		detail = "a page of another site may not use an app and a secret; begin a session with POST /v1/sessions"
	case app == "" || utf8.RuneCountInString(app) > maxApp || !rendezvous.Storable(app) || strings.ContainsFunc(app, unicode.IsControl):
		detail = "the user name is the app: 1 to 128 characters, and no control characters (curl: -u example.org/tea:$KEY)"
	case len(secret) < rendezvous.MinSecret:
		detail = "the password is a secret that you make up, of at least 22 characters (KEY=$(openssl rand -hex 16))"
	case r.Header.Get("Seq") != "" || r.Header.Get("Ack") != "":
		detail = "Seq and Ack are of sessions; a request with an app and a secret has none"
		return &invalid{rendezvous.InvalidRequest, violations("#/header", "session", detail)}
	default:
		return nil
	}
	return &rendezvous.Failure{Code: rendezvous.SessionRequired, Detail: detail}
}

// maxApp is the length of the longest app, in characters.
const maxApp = 128

type keyedKey struct{}

// keyedCaller returns the side that a request without a session acts as. Its App is empty if there is a session.
func keyedCaller(ctx context.Context) rendezvous.SideRef {
	side, _ := ctx.Value(keyedKey{}).(rendezvous.SideRef)
	return side
}

// needsSession reports whether the operation requires a session, or an app and a secret.
func needsSession(r *http.Request) bool { return infoOf(r).bound }

// credential returns the session that a request names (RFC 6750, §2.1).
func credential(r *http.Request) (session.Key, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 1 {
		scheme, token, _ := strings.Cut(values[0], " ")
		if id, err := session.ParseID(strings.TrimLeft(token, " ")); err == nil && strings.EqualFold(scheme, "Bearer") {
			return id.Key(), nil
		}
	}
	return session.Key{}, &rendezvous.Failure{
		Code:   rendezvous.SessionRequired,
		Detail: "send the session id as 'Authorization: Bearer <sessionId>'; POST /v1/sessions begins a session",
	}
}
