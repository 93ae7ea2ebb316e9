package rendezvous

import (
	"errors"
	"fmt"
	"time"

	"restante/session"
)

// Code names a failure. It is the `code` of the problem document that the client gets. The contract
// says what each code means and what to do next.
type Code string

// The codes with which the use cases refuse.
const (
	InvalidRequest           Code = "INVALID_REQUEST"
	MalformedHandshake       Code = "MALFORMED_HANDSHAKE"
	MalformedHandshakeMeta   Code = "MALFORMED_HANDSHAKE_META"
	ProtocolVersionMismatch  Code = "PROTOCOL_VERSION_MISMATCH"
	SessionRequired          Code = "SESSION_REQUIRED"
	SessionUnknown           Code = "SESSION_UNKNOWN"
	SessionEnded             Code = "SESSION_ENDED"
	SessionStateMismatch     Code = "SESSION_STATE_MISMATCH"
	SessionIdentityMismatch  Code = "SESSION_IDENTITY_MISMATCH"
	SideTaken                Code = "SIDE_TAKEN"
	SeqGap                   Code = "SEQ_GAP"
	SeqReused                Code = "SEQ_REUSED"
	KeyReused                Code = "IDEMPOTENCY_KEY_REUSED"
	ReplyForgotten           Code = "REPLY_FORGOTTEN"
	Crowded                  Code = "CROWDED"
	Reclaimed                Code = "RECLAIMED"
	Superseded               Code = "SUPERSEDED"
	RejectedByCustomHandler  Code = "REJECTED_BY_CUSTOM_HANDLER"
	RejectedUnsupportedAgent Code = "REJECTED_UNSUPPORTED_CLIENT"
	PermissionRequired       Code = "PERMISSION_REQUIRED"
	TokenRequired            Code = "TOKEN_REQUIRED"
	NotOpen                  Code = "NOT_OPEN"
	NotFound                 Code = "NOT_FOUND"
	RateLimited              Code = "RATE_LIMITED"
	WindowFull               Code = "WINDOW_FULL"
	QuotaExceeded            Code = "QUOTA_EXCEEDED"
	StorageUnavailable       Code = "STORAGE_UNAVAILABLE"
	Draining                 Code = "DRAINING"
	Overloaded               Code = "OVERLOADED"
	OutcomeUnknown           Code = "OUTCOME_UNKNOWN"
	Internal                 Code = "INTERNAL"
)

// Failure is an error that the client is told about.
type Failure struct {
	Code   Code
	Detail string // for the client: what happened and what to do
	Err    error  // for the log only
	Limit  Limit  // that it is for, if it is for one of the limits that operators set
	// Argument is what of the request is not valid, if it is one of those that only a use case can judge.
	Argument Argument

	Expected *session.Seq    // SEQ_GAP: the command that is wanted
	Wanted   *session.Seq    // the next command wanted, where the session is known
	Ended    *session.Closed // where the session is known to have ended
	Work     *Work           // PERMISSION_REQUIRED: what to do first
	SlowDown bool            // SUPERSEDED within one epoch: slow down instead of stopping
	Replayed bool            // the recorded refusal of a repeated command
	// RetryAfter is how long to wait before the same is tried again; 0 where it is not known.
	RetryAfter time.Duration
}

// Argument names a part of a request by what it means to a use case.
type Argument string

// The arguments that use cases refuse.
const (
	ArgumentAfter Argument = "after" // the position in a log after which a side reads
	ArgumentGrace Argument = "grace" // how long a session stays when its client is gone
	ArgumentTTL   Argument = "ttl"   // how long a nameplate or a mailbox is kept
)

// Work is what a client has to do before it is admitted: find a hashcash stamp of so many bits for a
// resource.
type Work struct {
	Bits     int
	Resource string
}

func (f *Failure) Error() string {
	if f.Err != nil {
		return fmt.Sprintf("%s: %s: %v", f.Code, f.Detail, f.Err)
	}
	return fmt.Sprintf("%s: %s", f.Code, f.Detail)
}

func (f *Failure) Unwrap() error { return f.Err }

// final reports whether the refusal is an answer: what was written before it is committed, and it
// consumes the command's number. Any other failure undoes everything.
func (f *Failure) final() bool {
	switch f.Code {
	case Crowded, Reclaimed, NotOpen, NotFound:
		return true
	default:
		return false
	}
}

// refuseFor is refuse for a limit.
func refuseFor(limit Limit, code Code, format string, args ...any) *Failure {
	f := refuse(code, format, args...)
	f.Limit = limit
	return f
}

// refuseArgument is refuse for a part of the request that is not valid.
func refuseArgument(argument Argument, code Code, format string, args ...any) *Failure {
	f := refuse(code, format, args...)
	f.Argument = argument
	return f
}

func refuse(code Code, format string, args ...any) *Failure {
	return &Failure{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// The errors of a [Store], besides those of the functions it runs.
var (
	// ErrNotFound reports that there is no such thing.
	ErrNotFound = errors.New("not found")
	// ErrUnavailable reports that the storage cannot be used now and that nothing was changed.
	ErrUnavailable = errors.New("storage unavailable")
	// ErrBusy reports, beside [ErrUnavailable], that another program has locked the storage for
	// longer than an update waits. The storage can be read.
	ErrBusy = errors.New("storage locked by another program")
	// ErrUnwritable reports, beside [ErrUnavailable], that the storage takes no changes, as on a full disk. It can be
	// read, and what is read is the latest.
	ErrUnwritable = errors.New("storage takes no changes")
	// ErrOutcomeUnknown reports that a commit was sent and that its outcome cannot be known.
	ErrOutcomeUnknown = errors.New("outcome of the commit unknown")
)
