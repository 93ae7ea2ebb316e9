package handlers

import (
	"context"
	"net/http"
	"strings"

	"restante/rendezvous"
	"restante/session"
)

// credential is the session that a request says it belongs to (RFC 6750, §2.1).
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

// bound is middleware for the operations of a session: no request without a
// credential gets any further.
func (s *Server) bound(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := note(r)
		n.bound = true
		key, err := credential(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		n.session = &key
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), keyOfSession{}, key)))
	})
}

type keyOfSession struct{}

// caller is the session that acts.
func caller(ctx context.Context) session.Key {
	key, _ := ctx.Value(keyOfSession{}).(session.Key)
	return key
}

// needsSession tells whether the request came to an operation of a session.
func needsSession(r *http.Request) bool { return note(r).bound }
