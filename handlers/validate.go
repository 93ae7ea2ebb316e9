package handlers

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"
	strictjson "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/go-playground/validator/v10"

	"restante/api"
	"restante/rendezvous"
	"restante/session"
)

// validate knows the tags that are generated from the contract, and the rules below.
var validate = newValidator()

var (
	sessionKeyPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)
	sidePattern       = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,64}$`)
	mailboxPattern    = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,128}$`)
)

// textRules are the contract's own rules for texts, and what the client is told when one is broken.
var textRules = map[string]struct {
	holds func(text, param string) bool
	says  string
}{
	"sessionid":  {func(s, _ string) bool { _, err := session.ParseID(s); return err == nil }, "must be 22 to 64 characters of A-Z, a-z, 0-9, '_' and '-'"},
	"sessionkey": {func(s, _ string) bool { return sessionKeyPattern.MatchString(s) }, "must be 64 hexadecimal digits"},
	"side": {func(s, _ string) bool {
		return sidePattern.MatchString(s) && !rendezvous.ReservedSide(rendezvous.Side(s))
	}, "must be 1 to 64 characters of A-Z, a-z, 0-9, '.', '_', '~' and '-', and not begin with 'k.'"},
	"mailbox":   {func(s, _ string) bool { return isMailbox(s) }, "must be 1 to 128 characters of A-Z, a-z, 0-9, '.', '_', '~' and '-', and not '.' or '..'"},
	"nameplate": {func(s, _ string) bool { _, err := rendezvous.ParseNameplate(s); return err == nil }, "must be 1 to 40 digits"},
	"plain":     {func(s, _ string) bool { return !strings.ContainsFunc(s, unicode.IsControl) }, "must not contain control characters"},
	"maxbytes":  {func(s, param string) bool { n, err := strconv.Atoi(param); return err == nil && len(s) <= n }, "must be at most % bytes of UTF-8"},
}

// isMailbox reports whether a text can be the id of a mailbox. Clients and proxies resolve "." and ".." in a path.
func isMailbox(text string) bool {
	return mailboxPattern.MatchString(text) && text != "." && text != ".."
}

// says is what the client is told of the other tags, for texts and for everything else; % stands for the tag's
// parameter.
var says = map[string][2]string{
	"required": {"is required", "is required"},
	"min":      {"must be at least % characters", "must be at least %"},
	"max":      {"must be at most % characters", "must be at most %"},
	"len":      {"must be % characters", "must have % items"},
	"oneof":    {"must be one of: %", "must be one of: %"},
}

func newValidator() *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled())
	for name, rule := range textRules {
		err := v.RegisterValidation(name, func(field validator.FieldLevel) bool {
			return rule.holds(field.Field().String(), field.Param())
		})
		if err != nil {
			panic(err) // the validator reserves the tag: a mistake in the table above
		}
	}
	v.RegisterTagNameFunc(func(field reflect.StructField) string {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		return name
	})
	return v
}

// validRequest is strict middleware that checks each decoded request against its tags.
func (s *Server) validRequest(next api.StrictHandlerFunc, operation string) api.StrictHandlerFunc {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, request any) (any, error) {
		err := validate.StructCtx(ctx, request)
		if broken, is := errors.AsType[validator.ValidationErrors](err); is {
			if err := otherVersion(r); err != nil {
				return nil, err
			}
			bad := &invalid{code: malformed(operation)}
			for _, b := range broken {
				bad.violations = append(bad.violations, api.Violation{Pointer: pointer(b.Namespace()), Rule: b.Tag(), Message: explain(b)})
			}
			return nil, bad
		}
		if err != nil {
			return nil, err
		}
		return next(ctx, w, r, request)
	}
}

// malformed returns the code for malformed requests of an operation.
func malformed(operation string) rendezvous.Code {
	if operation == "BeginSession" {
		return rendezvous.MalformedHandshake
	}
	return rendezvous.InvalidRequest
}

// pointer returns where in the request a field is, as a JSON pointer in a URI fragment. A namespace is, for example,
// AddMessageRequestObject.Body.phase.
func pointer(namespace string) string {
	parts := strings.Split(namespace, ".")[1:]
	switch {
	case parts[0] == "Body":
		parts[0] = "body"
	case parts[0] != "Params":
		parts = append([]string{"path"}, parts...)
	case isHeader(parts[1]):
		parts[0] = "header"
	default:
		parts[0] = "query"
	}
	// The validator writes an item as name[0]; a JSON pointer is name/0.
	return "#/" + strings.NewReplacer("[", "/", "]", "").Replace(strings.Join(parts, "/"))
}

// isHeader reports whether a parameter is a header, and not one of the query.
func isHeader(name string) bool {
	switch name {
	case "Seq", "Ack", "Epoch", "Prefer", "Last-Event-ID", "Idempotency-Key":
		return true
	default:
		return false
	}
}

// explain returns what a field must be.
func explain(b validator.FieldError) string {
	text := 1
	if b.Kind() == reflect.String {
		text = 0
	}
	said, known := says[b.Tag()]
	switch rule, own := textRules[b.Tag()]; {
	case own:
		return strings.ReplaceAll(rule.says, "%", b.Param())
	case known:
		return strings.ReplaceAll(said[text], "%", b.Param())
	}
	return "is not valid"
}

func violations(pointer, rule, message string) []api.Violation {
	return []api.Violation{{Pointer: pointer, Rule: rule, Message: message}}
}

// invalidParameter answers for a parameter that is not what the contract says.
func (s *Server) invalidParameter(w http.ResponseWriter, r *http.Request, err error) {
	var format *api.InvalidParamFormatError
	var many *api.TooManyValuesForParamError
	bad := &invalid{code: rendezvous.InvalidRequest}
	switch {
	case errors.As(err, &format) && len(r.URL.Query()[format.ParamName]) > 1:
		bad.violations = violations(parameter(format.ParamName), "once", "must be given once")
	case errors.As(err, &format) && inPath(format.ParamName): // a text, which can only be empty
		bad.violations = violations(parameter(format.ParamName), "required", "is required")
	case errors.As(err, &format) && slices.Contains([]string{"open", "own", "presence", "receipts"}, format.ParamName):
		bad.violations = violations(parameter(format.ParamName), "type", "must be true or false")
	case errors.As(err, &format):
		bad.violations = violations(parameter(format.ParamName), "type", "must be an integer from 0 to 9007199254740991")
	case errors.As(err, &many):
		bad.violations = violations(parameter(many.ParamName), "once", "must be given once")
	default:
		bad.violations = violations("#", "format", "has a parameter that cannot be read")
	}
	s.fail(w, r, bad)
}

// validQuery is middleware that refuses a query that cannot be read. Otherwise, a broken parameter would count as absent,
// and a text that is not in UTF-8 as another one.
func (s *Server) validQuery(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := url.ParseQuery(r.URL.RawQuery)
		switch {
		case err != nil:
			s.fail(w, r, &invalid{rendezvous.InvalidRequest, violations("#/query", "format", "is not a query in percent-encoding")})
		case !inUTF8(query):
			s.fail(w, r, &invalid{rendezvous.InvalidRequest, violations("#/query", "utf8", "must be text in UTF-8")})
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// inUTF8 reports whether the names and values of a query are in UTF-8.
func inUTF8(query url.Values) bool {
	for name, values := range query {
		if !utf8.ValidString(name) || slices.ContainsFunc(values, func(v string) bool { return !utf8.ValidString(v) }) {
			return false
		}
	}
	return true
}

// parameter returns the JSON pointer of a parameter.
func parameter(name string) string {
	switch {
	case isHeader(name):
		return "#/header/" + name
	case inPath(name):
		return "#/path/" + name
	}
	return "#/query/" + name
}

// inPath reports whether a parameter is a part of the path.
func inPath(name string) bool {
	return name == "nameplate" || name == "mailbox" || name == "key"
}

// argumentAt returns the JSON pointer of what a use case calls an argument, or "" for none. To add a message and to read a
// log take a ttlMs in the query, because their bodies are for messages.
func argumentAt(r *http.Request, argument rendezvous.Argument) string {
	switch argument {
	case rendezvous.ArgumentAfter:
		return "#/query/after"
	case rendezvous.ArgumentGrace:
		return "#/body/graceMs"
	case rendezvous.ArgumentTTL:
		if strings.HasSuffix(chi.RouteContext(r.Context()).RoutePattern(), "/messages") {
			return "#/query/ttlMs"
		}
		return "#/body/ttlMs"
	}
	return ""
}

// invalidBody answers for a body that is not the JSON that the contract asks for. The text of the decoder's error stays
// here: the client is told where the mistake is, and which rule it breaks.
func (s *Server) invalidBody(w http.ResponseWriter, r *http.Request, err error) {
	code := bodyCode(r)
	if !needsSession(r) {
		if err := otherVersion(r); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	where, rule, said := decodingViolation(err)
	if code == rendezvous.MalformedHandshake && (where == "/metadata" || strings.HasPrefix(where, "/metadata/")) {
		code = rendezvous.MalformedHandshakeMeta
	}
	s.fail(w, r, &invalid{code, violations("#/body"+fragment(where), rule, said)})
}

// decodingViolation returns which rule a body breaks that could not be decoded, and where.
func decodingViolation(err error) (where, rule, said string) {
	rule, said = "json", "is not valid JSON"
	var syntactic *jsontext.SyntacticError
	var semantic *strictjson.SemanticError
	switch {
	case errors.Is(err, io.EOF) && !errors.As(err, &syntactic):
		rule, said = "required", "is required"
	case errors.As(err, &syntactic):
		where = string(syntactic.JSONPointer)
		if errors.Is(err, jsontext.ErrDuplicateName) {
			rule, said = "unique", "is given twice"
		}
	case errors.As(err, &semantic):
		where = string(semantic.JSONPointer)
		switch {
		case errors.Is(err, strictjson.ErrUnknownName):
			rule, said = "known", "is not known here"
		case errors.Is(err, api.ErrNull):
			rule, said = "type", "must not be null"
		default:
			rule, said = "type", "must be "+jsonType(semantic.GoType)
		}
	}
	return where, rule, said
}

// maxPointer is the length of the longest pointer into a body, in bytes: the client chose the names in it.
const maxPointer = 256

// fragment returns a JSON pointer as a URI fragment (RFC 6901, §6). A long one is shortened: it then points to what
// holds the mistake.
func fragment(pointer string) string {
	for len(pointer) > maxPointer {
		pointer = pointer[:strings.LastIndexByte(pointer, '/')]
	}
	return (&url.URL{Fragment: pointer}).EscapedFragment()
}

// otherVersion returns an error if a handshake is of another version of the protocol. What is malformed in this
// version may be right in the other.
func otherVersion(r *http.Request) error {
	if needsSession(r) {
		return nil
	}
	came := infoOf(r).content
	var said struct {
		ProtocolVersion string `json:"protocolVersion"`
	}
	_ = strictjson.Unmarshal(came.body, &said) // a body that cannot be read names no version
	if said.ProtocolVersion == "" || said.ProtocolVersion == protocolVersion {
		return nil
	}
	return versionMismatch
}

// jsonType returns the name of a type in JSON.
func jsonType(t reflect.Type) string {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil {
		return "of another type"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Int64:
		return "an integer"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "an array"
	default:
		return "an object"
	}
}
