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

type keyOfContent struct{}

// content is a request's body, and what tells the request from others.
type content struct {
	body  []byte
	print [32]byte
}

// embodied is middleware that takes in the body: whole, in time, not too large,
// and JSON if there is any. It fingerprints the request, so that a repeated command can be told
// from another one with the same number.
func (s *Server) embodied(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := s.takeBody(w, r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if len(body) > 0 && !isJSON(r.Header.Values("Content-Type")) {
			s.fail(w, r, &rendezvous.Failure{Code: unsupportedMediaType, Detail: "send the body with 'Content-Type: application/json' (curl: --json)"})
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), keyOfContent{}, content{body, fingerprint(r, body)})))
	})
}

// bodiless is middleware for what takes no body. One is refused: what was meant by
// it, a mood in the wrong place say, must not be lost in silence.
func (s *Server) bodiless(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, err := s.takeBody(w, r); err != nil || len(body) > 0 {
			s.fail(w, r, &invalid{rendezvous.InvalidRequest, violations("#/body", "empty", "is not taken here")})
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), keyOfContent{}, content{print: fingerprint(r, nil)})))
	})
}

func (s *Server) takeBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	note(r).took = true
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	// Only the reading is bounded: a deadline that stood would end a receive that is held.
	deadlines := http.NewResponseController(w)
	_ = deadlines.SetReadDeadline(time.Now().Add(s.Limits.BodyTime)) // a test's ResponseWriter may have none
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.Limits.Body))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, err
	}
	if err != nil {
		return nil, &invalid{unreadable(r), violations("#/body", "complete", "did not arrive whole")}
	}
	_ = deadlines.SetReadDeadline(time.Time{})
	return body, nil
}

// unreadable is the code of a body that cannot be read. Only the handshake's comes without a session.
func unreadable(r *http.Request) rendezvous.Code {
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

// fingerprint tells one request from another: method, path with its query, and a hash of the body.
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
