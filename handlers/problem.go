package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-playground/validator/v10"

	"restante/api"
	"restante/rendezvous"
	"restante/session"
)

// The codes that exist only over HTTP.
const (
	adminRequired        rendezvous.Code = "ADMIN_REQUIRED"
	bodyIncomplete       rendezvous.Code = "BODY_INCOMPLETE"
	methodNotAllowed     rendezvous.Code = "METHOD_NOT_ALLOWED"
	notAcceptable        rendezvous.Code = "NOT_ACCEPTABLE"
	payloadTooLarge      rendezvous.Code = "PAYLOAD_TOO_LARGE"
	unsupportedMediaType rendezvous.Code = "UNSUPPORTED_MEDIA_TYPE"
	misdirectedRequest   rendezvous.Code = "MISDIRECTED_REQUEST"
	upgradeRequired      rendezvous.Code = "UPGRADE_REQUIRED"
)

// meaning is what a code means over HTTP.
type meaning struct {
	status int
	action api.Action
	title  string
}

// meanings is the only table of failures. It restates the table of the contract.
var meanings = map[rendezvous.Code]meaning{
	rendezvous.InvalidRequest:           {400, api.ActionStop, "The request is not valid"},
	rendezvous.MalformedHandshake:       {400, api.ActionStop, "The handshake is malformed"},
	rendezvous.MalformedHandshakeMeta:   {400, api.ActionStop, "The handshake's metadata is malformed"},
	rendezvous.ProtocolVersionMismatch:  {400, api.ActionStop, "The protocol version is not spoken here"},
	bodyIncomplete:                      {400, api.ActionRetry, "The body did not arrive whole"},
	rendezvous.SessionRequired:          {401, api.ActionRestart, "A session is required"},
	rendezvous.SessionUnknown:           {401, api.ActionRestart, "The session is not known"},
	adminRequired:                       {401, api.ActionReauth, "The operator's token is required"},
	rendezvous.RejectedByCustomHandler:  {403, api.ActionStop, "The client is not admitted"},
	rendezvous.RejectedUnsupportedAgent: {403, api.ActionStop, "The client's version is not supported"},
	rendezvous.PermissionRequired:       {403, api.ActionReauth, "Permission is required"},
	rendezvous.TokenRequired:            {403, api.ActionReauth, "A token is required"},
	rendezvous.NotOpen:                  {403, api.ActionStop, "The mailbox is not open"},
	rendezvous.NotFound:                 {404, api.ActionStop, "There is no such thing"},
	methodNotAllowed:                    {405, api.ActionStop, "The method is not allowed"},
	notAcceptable:                       {406, api.ActionStop, "No acceptable form"},
	rendezvous.SessionStateMismatch:     {409, api.ActionRestart, "The session's numbers do not match"},
	rendezvous.SessionIdentityMismatch:  {409, api.ActionStop, "The session is another's"},
	rendezvous.SideTaken:                {409, api.ActionStop, "The side is taken"},
	rendezvous.SeqGap:                   {409, api.ActionRetry, "An earlier command is missing"},
	rendezvous.SeqReused:                {409, api.ActionStop, "The number was another command's"},
	rendezvous.KeyReused:                {409, api.ActionStop, "The key was another command's"},
	rendezvous.ReplyForgotten:           {409, api.ActionStop, "The reply is no longer known"},
	rendezvous.Superseded:               {409, api.ActionStop, "Another receiver took over"},
	rendezvous.Crowded:                  {409, api.ActionStop, "Crowded"},
	rendezvous.Reclaimed:                {409, api.ActionStop, "Reclaimed"},
	rendezvous.SessionEnded:             {410, api.ActionRestart, "The session has ended"},
	payloadTooLarge:                     {413, api.ActionStop, "The body is too large"},
	unsupportedMediaType:                {415, api.ActionStop, "The body's form is not taken"},
	misdirectedRequest:                  {421, api.ActionStop, "The host is not served here"},
	upgradeRequired:                     {426, api.ActionStop, "An upgrade is required"},
	rendezvous.RateLimited:              {429, api.ActionSlowDown, "Too many requests"},
	rendezvous.WindowFull:               {429, api.ActionSlowDown, "Too much is unacknowledged"},
	rendezvous.QuotaExceeded:            {429, api.ActionSlowDown, "A quota is used up"},
	rendezvous.Internal:                 {500, api.ActionRetry, "Something failed here"},
	rendezvous.StorageUnavailable:       {503, api.ActionRetry, "The storage is unavailable"},
	rendezvous.Draining:                 {503, api.ActionRetry, "The server is stopping"},
	rendezvous.Overloaded:               {503, api.ActionRetry, "The server is overloaded"},
	rendezvous.OutcomeUnknown:           {503, api.ActionStop, "The outcome is not known"},
}

// retryAfter is how long a client is asked to wait.
const retryAfter = time.Second

// invalid is a request that breaks rules of the contract.
type invalid struct {
	code       rendezvous.Code
	violations []api.Violation
}

// add adds what a validator found in the object to which a pointer leads, with a slash at its end.
func (e *invalid) add(pointer string, broken validator.ValidationErrors) {
	for _, b := range broken {
		e.violations = append(e.violations, api.Violation{Pointer: pointer + b.Field(), Rule: b.Tag(), Message: explain(b)})
	}
}

func (e *invalid) Error() string {
	said := make([]string, len(e.violations))
	for i, v := range e.violations {
		said[i] = v.Pointer + " " + v.Message
	}
	return string(e.code) + ": " + strings.Join(said, "; ")
}

// fail is the only writer of failures. The details of what went wrong go to the log.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil && errors.Is(err, context.Cause(r.Context())) {
		infoOf(r).err = err // the client has left, or waits for nothing any more: there is no answer
		return
	}
	if infoOf(r).wrote {
		infoOf(r).err = err // the answer had begun: writing it failed
		return
	}
	failure, violations := failureOf(err)
	if at := argumentAt(r, failure.Argument); at != "" {
		violations = []api.Violation{{Pointer: at, Rule: "max", Message: failure.Detail}}
	}
	if failure.Code != rendezvous.RateLimited && failure.Wanted == nil {
		failure = s.authenticateFirst(r, failure)
	}
	failure, p := problemOf(failure, violations)
	header := w.Header()
	writeReplyHeaders(header, failure.Wanted, failure.Replayed)
	if asksToWait(p) {
		header.Set("Retry-After", strconv.Itoa(int(waitOf(failure).Seconds())))
	}
	nameAddress(&p, addressOf(r.Context()))
	switch {
	case failure.Code == adminRequired:
		header.Set("WWW-Authenticate", `Basic realm="restante admin", charset="UTF-8"`) // which a browser asks for
	case p.Status == http.StatusUnauthorized:
		header.Set("WWW-Authenticate", `Bearer realm="restante"`)
	}
	infoOf(r).err, infoOf(r).code = failure, failure.Code
	s.metrics.limits.refused(failure)
	header.Set("Content-Type", "application/problem+json")
	header.Set("Cache-Control", "no-store")
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // people read it, and no browser takes it for HTML
	_ = encoder.Encode(p)        // of what can be encoded, into a buffer
	// With its length, the client has all of the answer before the request has ended: see readOn.
	header.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(int(p.Status))
	_, _ = w.Write(body.Bytes()) // a client that left does not read it
}

// finalProblem returns the problem document that ends a stream or a socket.
func (s *Server) finalProblem(err error, address string) api.Problem {
	failure, p := problemOf(failureOf(err))
	s.metrics.limits.refused(failure)
	if asksToWait(p) {
		p.RetryAfterMs = new(waitOf(failure).Milliseconds())
	}
	nameAddress(&p, address)
	return p
}

// waitOf returns how long a client is asked to wait, in whole seconds.
func waitOf(failure *rendezvous.Failure) time.Duration {
	return max(retryAfter, (failure.RetryAfter + time.Second - 1).Truncate(time.Second))
}

// nameAddress tells a client that is refused for its address how the server calls that.
func nameAddress(p *api.Problem, address string) {
	if (p.Status == http.StatusTooManyRequests || rendezvous.Code(p.Code) == rendezvous.RejectedByCustomHandler) && address != "" {
		p.AddressID = &address
	}
}

// asksToWait reports whether the client is asked to wait before it continues.
func asksToWait(p api.Problem) bool {
	return p.Action == api.ActionSlowDown || p.Status == http.StatusServiceUnavailable
}

// problemOf returns the problem document of a failure. A failure that the contract does not know is INTERNAL.
func problemOf(failure *rendezvous.Failure, violations []api.Violation) (*rendezvous.Failure, api.Problem) {
	means, known := meanings[failure.Code]
	if !known {
		means = meanings[rendezvous.Internal]
		failure = &rendezvous.Failure{Code: rendezvous.Internal, Detail: "something failed here; nothing was changed", Err: failure}
	}
	p := api.Problem{
		Type:   "urn:restante:problem:" + strings.ReplaceAll(strings.ToLower(string(failure.Code)), "_", "-"),
		Title:  means.title,
		Status: int64(means.status),
		Detail: failure.Detail,
		Code:   api.Code(failure.Code),
		Action: means.action,
	}
	if failure.SlowDown {
		p.Action = api.ActionSlowDown
	}
	p.Retriable = p.Action != api.ActionStop
	if failure.Code != rendezvous.SessionEnded && violations != nil && hasViolations(failure.Code) {
		p.Errors = &violations
	}
	if failure.Expected != nil {
		p.ExpectedSeq = new(int64(*failure.Expected))
	}
	if failure.Work != nil {
		p.PermissionRequired = &api.PermissionRequired{Hashcash: api.HashcashChallenge{Bits: int64(failure.Work.Bits), Resource: failure.Work.Resource}}
	}
	if failure.Ended != nil {
		p.Reason = new(api.EndReason(failure.Ended.Reason))
		p.NextExpectedSeq = new(int64(failure.Ended.Ledger.Wanted))
	}
	return failure, p
}

// hasViolations reports whether the problem documents of a code list what is wrong, and where.
func hasViolations(code rendezvous.Code) bool {
	switch code {
	case rendezvous.InvalidRequest, rendezvous.MalformedHandshake, rendezvous.MalformedHandshakeMeta:
		return true
	default:
		return false
	}
}

// failureOf returns the failure that an error stands for, and the violations that the client is told.
func failureOf(err error) (*rendezvous.Failure, []api.Violation) {
	var failure *rendezvous.Failure
	var bad *invalid
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &failure):
		copied := *failure
		return &copied, nil
	case errors.As(err, &bad):
		detail := "the request is not valid"
		if len(bad.violations) > 0 {
			detail = bad.violations[0].Pointer + " " + bad.violations[0].Message
		}
		if more := len(bad.violations) - 1; more > 0 {
			detail += ", and " + strconv.Itoa(more) + " more"
		}
		return &rendezvous.Failure{Code: bad.code, Detail: detail}, bad.violations
	case errors.As(err, &tooLarge):
		return &rendezvous.Failure{Code: payloadTooLarge, Limit: limitBody, Detail: "a request body is at most " + strconv.FormatInt(tooLarge.Limit, 10) + " bytes"}, nil
	}
	return &rendezvous.Failure{Code: rendezvous.Internal, Detail: "something failed here; nothing was changed", Err: err}, nil
}

// authenticateFirst returns the failure with which a request is refused that was refused before its session was looked
// up: a session that is unknown or has ended comes first. It does not replace a failure of the server's own, because
// there the client asks again: what may have been wanted is just the end of the session, which is then confirmed. If the
// session is live, the request was a sign of life, and the answer says which command is wanted.
func (s *Server) authenticateFirst(r *http.Request, failure *rendezvous.Failure) *rendezvous.Failure {
	if !needsSession(r) || infoOf(r).keyed {
		return failure
	}
	key, err := credential(r)
	if err == nil {
		awaitTurn(r.Context())
		var wanted session.Seq
		if wanted, err = s.Service.Authenticate(r.Context(), key); err == nil {
			failure.Wanted = &wanted
			return failure
		}
	}
	var authFailure *rendezvous.Failure
	if isServersOwn(failure) || !errors.As(err, &authFailure) || isServersOwn(authFailure) {
		return failure
	}
	return authFailure
}

// isServersOwn reports whether the request is not to blame for a failure.
func isServersOwn(failure *rendezvous.Failure) bool {
	return meanings[failure.Code].status >= http.StatusInternalServerError
}
