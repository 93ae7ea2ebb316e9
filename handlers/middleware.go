package handlers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-playground/validator/v10"

	"restante/api"
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

// toItsEnd is strict middleware by which an operation is done also if its client sends no more meanwhile: a client that
// has closed only its own half of the connection still reads the answer, and a client that has left is one whose reply
// is lost. Only the operations that wait for news end with the request's context, when they wait.
func toItsEnd(next api.StrictHandlerFunc, operation string) api.StrictHandlerFunc {
	if operation == "Receive" || operation == "ListMessages" {
		return next
	}
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, request any) (any, error) {
		return next(context.WithoutCancel(ctx), w, r, request)
	}
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
		next.ServeHTTP(w, r)
	})
}

// caller returns the session of a request.
func caller(ctx context.Context) session.Key {
	if key := infoIn(ctx).session; key != nil {
		return *key
	}
	return session.Key{}
}

// requireCaller is middleware for the operations of a session that a client may also ask for without one, with an app
// and a secret (RFC 7617). It is never asked for them: a browser would offer a form, and send them with any request.
func (s *Server) requireCaller(next http.Handler) http.Handler {
	withSession := s.requireSession(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		app, secret, is := basicAuth(r)
		if !is || len(r.Header.Values("Authorization")) != 1 {
			withSession.ServeHTTP(w, r)
			return
		}
		infoOf(r).bound, infoOf(r).keyed = true, true
		if err := checkKey(r, app, secret); err != nil {
			s.fail(w, r, err)
			return
		}
		if err := s.admitKeyed(r.Context(), rendezvous.AppID(app)); err != nil {
			s.fail(w, r, err)
			return
		}
		infoOf(r).side = rendezvous.SideRef{App: rendezvous.AppID(app), Side: rendezvous.KeyedSide(rendezvous.AppID(app), secret), Address: addressOf(r.Context())}
		next.ServeHTTP(w, r)
	})
}

// basicAuth returns the user and the password of a request (RFC 7617). Several spaces may stand before them.
func basicAuth(r *http.Request) (user, password string, ok bool) {
	scheme, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.HasPrefix(credentials, " ") {
		return r.BasicAuth()
	}
	alone := http.Request{Header: http.Header{"Authorization": {scheme + " " + strings.TrimLeft(credentials, " ")}}}
	return alone.BasicAuth()
}

// checkKey refuses an app and a secret that do not make a side.
func checkKey(r *http.Request, app, secret string) error {
	var detail string
	switch {
	case r.Header.Get("Sec-Fetch-Site") == "cross-site":
		detail = "a page of another site may not use an app and a secret; begin a session with POST /v1/sessions"
	case app == "" || utf8.RuneCountInString(app) > maxApp || !rendezvous.Storable(app) || strings.ContainsFunc(app, unicode.IsControl):
		detail = "the user name is the app: 1 to 128 characters, and no control characters (curl: -u example.org/tea:$KEY)"
	case strings.HasPrefix(secret, "//"):
		detail = "the user name ends at the first colon, so an app such as https://example.org/tea is cut there: use an app without a colon, or a secret that does not begin with //"
	case len(secret) < rendezvous.MinSecret:
		detail = "the password is a secret that you make up, of at least 22 characters (KEY=$(openssl rand -hex 16))"
	case r.Header.Get("Seq") != "" || r.Header.Get("Ack") != "" || r.Header.Get("Epoch") != "":
		detail = "Seq, Ack and Epoch are of sessions; a request with an app and a secret has none"
		return &invalid{rendezvous.InvalidRequest, violations("#/header", "session", detail)}
	default:
		return nil
	}
	return &rendezvous.Failure{Code: rendezvous.SessionRequired, Detail: detail}
}

// maxApp is the length of the longest app, in characters.
const maxApp = 128

// keyedCaller returns the side that a request without a session acts as. Its App is empty if there is a session.
func keyedCaller(ctx context.Context) rendezvous.SideRef {
	return infoIn(ctx).side
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

// content is the body of a request, and what identifies the request.
type content struct {
	body           []byte
	fingerprint    [32]byte
	idempotencyKey string
}

// readBody is middleware that reads the body: whole, in time, not too large, and JSON if there is one. It computes the
// fingerprint of the request, by which a repeated command is told from another one with the same number.
func (s *Server) readBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := s.plainBodyOf(w, r)
		if err == nil && len(body) > 0 && mediaOf(r) != "application/json" { // whatever its charset says: RFC 8259, §11
			err = &rendezvous.Failure{Code: unsupportedMediaType, Detail: "send the body with 'Content-Type: application/json' (curl: --json)"}
		}
		if err != nil {
			s.fail(w, r, err)
			return
		}
		replaceBody(r, fingerprint(r, body, ""), bytes.TrimPrefix(body, []byte("\ufeff"))) // a byte order mark says nothing
		next.ServeHTTP(w, r)
	})
}

// replaceBody gives a request whose body was read the JSON that the operation is to read instead.
func replaceBody(r *http.Request, fingerprint [32]byte, asJSON []byte) {
	infoOf(r).content = content{asJSON, fingerprint, r.Header.Get("Idempotency-Key")}
	r.Body = io.NopCloser(bytes.NewReader(asJSON))
}

// readMessage is readBody for a message, which may also be sent as a text, and as anything if the query names its phase.
func (s *Server) readMessage(next http.Handler) http.Handler {
	asJSON := s.readBody(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		phase, readAs := textPhase, "text"
		switch query, media := r.URL.Query(), mediaOf(r); {
		case query.Has("phase"):
			phase, readAs = query.Get("phase"), "" // the query says how the body is read
		case media == "text/plain" && !isUTF8(r):
			s.fail(w, r, &rendezvous.Failure{Code: unsupportedMediaType, Detail: "a text is taken in UTF-8; send it so, with 'Content-Type: text/plain; charset=utf-8'"})
			return
		case media == "text/plain":
		case media == "application/x-www-form-urlencoded": // what curl -d says if it is not told
			s.fail(w, r, &rendezvous.Failure{Code: unsupportedMediaType, Detail: "for a text, add -H 'Content-Type: text/plain' to curl -d; for JSON, use --json"})
			return
		default:
			asJSON.ServeHTTP(w, r)
			return
		}
		body, err := s.plainBodyOf(w, r)
		if err == nil {
			err = checkText(body)
		}
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if !mayBeMessage(body) {
			readAs = "" // and so it has the fingerprint that earlier versions have stored for it
		}
		text := string(body)
		replaceBody(r, fingerprint(r, body, readAs), encode(api.Draft{Phase: phase, Body: &text}))
		r.Header.Set("Content-Type", "application/json")
		next.ServeHTTP(w, r)
	})
}

// checkText refuses a body that cannot be the body of a message.
func checkText(body []byte) error {
	if !utf8.Valid(body) {
		return &invalid{rendezvous.InvalidRequest, violations("#/body", "utf8", "must be text in UTF-8")}
	}
	text := string(body)
	err := validate.StructPartial(api.Draft{Body: &text}, "Body")
	if broken, is := errors.AsType[validator.ValidationErrors](err); is {
		return &invalid{rendezvous.InvalidRequest, violations("#/body", broken[0].Tag(), explain(broken[0]))}
	}
	return err
}

// mayBeMessage reports whether a text could also be read as a message in JSON, or as a list of messages.
func mayBeMessage(text []byte) bool {
	begins := bytes.TrimLeft(bytes.TrimPrefix(text, []byte("\ufeff")), " \t\r\n")
	return len(begins) > 0 && (begins[0] == '{' || begins[0] == '[')
}

// textPhase is the phase of a message that was sent as a text.
const textPhase = "text"

// rejectBody is middleware for operations without a body. A body is refused: a mood in the wrong place, for example,
// must not be ignored in silence.
func (s *Server) rejectBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, err := s.bodyOf(w, r); err != nil || len(body) > 0 && !isEmptyObject(r, body) {
			s.fail(w, r, &invalid{rendezvous.InvalidRequest, violations("#/body", "empty", "is not taken here")})
			return
		}
		infoOf(r).content = content{nil, fingerprint(r, nil, ""), r.Header.Get("Idempotency-Key")}
		next.ServeHTTP(w, r)
	})
}

// isEmptyObject reports whether a DELETE has the body {}, which some libraries send with every request.
func isEmptyObject(r *http.Request, body []byte) bool {
	return r.Method == http.MethodDelete && string(bytes.TrimSpace(body)) == "{}"
}

// plainBodyOf reads the body of a request whose operation takes one. A body that is compressed is refused.
func (s *Server) plainBodyOf(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := s.bodyOf(w, r)
	if err == nil && len(body) > 0 && isEncoded(r) {
		w.Header().Set("Accept-Encoding", "identity") // RFC 9110, §15.5.16
		return nil, &rendezvous.Failure{Code: unsupportedMediaType, Detail: "send the body without Content-Encoding"}
	}
	return body, err
}

// isEncoded reports whether the body of a request is compressed, or encoded in another way.
func isEncoded(r *http.Request) bool {
	for coding := range strings.SplitSeq(strings.Join(r.Header.Values("Content-Encoding"), ","), ",") {
		if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
			return true
		}
	}
	return false
}

// bodyOf reads the body of a request.
func (s *Server) bodyOf(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	infoOf(r).bodyRead = true
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if r.ContentLength > s.Limits.Body { // to read of it would be to ask for it, if the client waits for that
		infoOf(r).bodyUnread = true
		return nil, &http.MaxBytesError{Limit: s.Limits.Body}
	}
	// The deadline is for the body only: if it stayed, it would end a receive that is held.
	deadlines := http.NewResponseController(w)
	_ = deadlines.SetReadDeadline(time.Now().Add(s.Limits.BodyTime)) // a test's ResponseWriter may have none
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.Limits.Body))
	infoOf(r).bodyUnread = err != nil
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, err
	}
	if isCutOff(err) {
		return nil, &rendezvous.Failure{Code: bodyIncomplete, Detail: "the body did not arrive whole, so nothing was done; send the request again", Err: err}
	}
	if err != nil {
		return nil, &invalid{bodyCode(r), violations("#/body", "readable", "cannot be read")}
	}
	_ = deadlines.SetReadDeadline(time.Time{})
	return body, nil
}

// isCutOff reports whether a body ended too early, or did not come in time. The request itself may be in order.
func isCutOff(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded)
}

// bodyCode returns the code for a body that cannot be read. Only the handshake has a body and no session.
func bodyCode(r *http.Request) rendezvous.Code {
	if needsSession(r) {
		return rendezvous.InvalidRequest
	}
	return rendezvous.MalformedHandshake
}

// mediaOf returns the media type of the body of a request, or "" if it names none or several.
func mediaOf(r *http.Request) string {
	contentTypes := r.Header.Values("Content-Type")
	if len(contentTypes) != 1 {
		return ""
	}
	if contentTypes[0] == "application/json" { // as most write it
		return contentTypes[0]
	}
	media, _, err := mime.ParseMediaType(contentTypes[0])
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return ""
	}
	return media
}

// isUTF8 reports whether the body of a request is in UTF-8, of which ASCII is a part, as far as its media type says.
func isUTF8(r *http.Request) bool {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset, given := params["charset"]
	return err == nil && (!given || slices.Contains([]string{"utf-8", "utf8", "us-ascii"}, strings.ToLower(charset)))
}

// fingerprint identifies a request by its method, its path and query, how its body was read, and a hash of that. A body
// that was read as usual, or that can be read in one way only, has an empty readAs.
func fingerprint(r *http.Request, body []byte, readAs string) [32]byte {
	content := sha256.Sum256(body)
	h := sha256.New()
	parts := []string{r.Method, r.URL.EscapedPath(), r.URL.RawQuery}
	if readAs != "" {
		parts = append(parts, readAs)
	}
	for _, part := range parts {
		_, _ = io.WriteString(h, part)
		_, _ = h.Write([]byte{0})
	}
	_, _ = h.Write(content[:])
	return [32]byte(h.Sum(nil))
}
