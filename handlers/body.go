package handlers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"restante/rendezvous"
)

type contentKey struct{}

// content is the body of a request, and what identifies the request.
type content struct {
	body        []byte
	fingerprint [32]byte
}

// readBody is middleware that reads the body: whole, in time, not too large, and JSON if there is one. It computes the
// fingerprint of the request, by which a repeated command is told from another one with the same number.
func (s *Server) readBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := s.bodyOf(w, r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if len(body) > 0 && !isJSON(r.Header.Values("Content-Type")) {
			s.fail(w, r, &rendezvous.Failure{Code: unsupportedMediaType, Detail: "send the body with 'Content-Type: application/json' (curl: --json)"})
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contentKey{}, content{body, fingerprint(r, body)})))
	})
}

// rejectBody is middleware for operations without a body. A body is refused: a mood in the wrong place, for example,
// must not be ignored in silence.
func (s *Server) rejectBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, err := s.bodyOf(w, r); err != nil || len(body) > 0 {
			s.fail(w, r, &invalid{rendezvous.InvalidRequest, violations("#/body", "empty", "is not taken here")})
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contentKey{}, content{fingerprint: fingerprint(r, nil)})))
	})
}

// bodyOf reads the body of a request.
func (s *Server) bodyOf(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	infoOf(r).bodyRead = true
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	// The deadline is for the body only: if it stayed, it would end a receive that is held.
	deadlines := http.NewResponseController(w)
	_ = deadlines.SetReadDeadline(time.Now().Add(s.Limits.BodyTime)) // a test's ResponseWriter may have none
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.Limits.Body))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, err
	}
	if err != nil {
		return nil, &invalid{bodyCode(r), violations("#/body", "complete", "did not arrive whole")}
	}
	_ = deadlines.SetReadDeadline(time.Time{})
	return body, nil
}

// bodyCode returns the code for a body that cannot be read. Only the handshake has a body and no session.
func bodyCode(r *http.Request) rendezvous.Code {
	if needsSession(r) {
		return rendezvous.InvalidRequest
	}
	return rendezvous.MalformedHandshake
}

func isJSON(contentTypes []string) bool {
	if len(contentTypes) != 1 {
		return false
	}
	media, params, err := mime.ParseMediaType(contentTypes[0])
	charset, given := params["charset"]
	return err == nil && media == "application/json" && (!given || charset == "utf-8" || charset == "UTF-8")
}

// fingerprint identifies a request by its method, its path and query, and a hash of its body.
func fingerprint(r *http.Request, body []byte) [32]byte {
	content := sha256.Sum256(body)
	h := sha256.New()
	for _, part := range []string{r.Method, r.URL.EscapedPath(), r.URL.RawQuery} {
		_, _ = io.WriteString(h, part)
		_, _ = h.Write([]byte{0})
	}
	_, _ = h.Write(content[:])
	return [32]byte(h.Sum(nil))
}
