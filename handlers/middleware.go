package handlers

import (
	"context"
	"net/http"
	"strings"

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

// needsSession reports whether the operation requires a session.
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
