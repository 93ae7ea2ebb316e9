package rendezvous

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"restante/session"
)

// Command is a request of a session that changes something.
type Command struct {
	Session session.Key
	// Seq numbers the command, so that it is executed once however often it arrives. nil: the command
	// is executed each time.
	Seq *session.Seq
	// Ack says that every frame below it is processed; nil acknowledges nothing.
	Ack *session.Seq
	// Fingerprint distinguishes commands that have the same number: it is a hash of method, path and
	// body.
	Fingerprint [32]byte
}

// Answer is the answer to a command or a query.
type Answer[R any] struct {
	Result R
	// Wanted is the next command wanted.
	Wanted session.Seq
	// Replayed reports that this is the recorded reply to a command that was executed before.
	Replayed bool
}

// outcome is a recorded reply: a result, or the refusal that was the answer.
type outcome[R any] struct {
	Result  R      `json:"result"`
	Refusal Code   `json:"refusal,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

// execute runs a command once: in one transaction with the counter and the recorded reply.
//
// A final refusal is an answer. What was written before it is kept, and it is recorded. Any other
// failure undoes everything and consumes no number.
func execute[R any](ctx context.Context, s *Service, c Command, work func(*txn) (R, error)) (Answer[R], error) {
	if !s.presence.StartCommand(c.Session) {
		return Answer[R]{}, refuse(WindowFull, "%d commands of this session are unanswered; wait for their replies", session.Window)
	}
	defer s.presence.EndCommand(c.Session)
	var (
		answer  Answer[R]
		refusal *Failure
		me      *Session
	)
	err := s.transact(ctx, func(t *txn) error {
		answer, refusal, me = Answer[R]{}, nil, nil
		attached, err := t.attach(c.Session)
		if err != nil {
			return err
		}
		me, answer.Wanted = t.actor, attached.Wanted
		if c.Ack != nil {
			if _, err := attached.Acknowledge(*c.Ack); err != nil {
				return refuse(SessionStateMismatch, "%v", err)
			}
		}
		if c.Seq == nil {
			answer.Result, refusal, err = splitRefusal(work(t))
			if err == nil && !me.Used {
				err = t.MarkUsed(me.Key)
			}
			return err
		}
		switch receipt := attached.Receive(*c.Seq).(type) {
		case session.Missing:
			return &Failure{Code: SeqGap, Detail: fmt.Sprintf("command %d is wanted next; send it and those after it, then this one again", receipt.Expected), Expected: &receipt.Expected}
		case session.Repeated:
			answer.Result, refusal, err = recordedReply[R](t, c)
			answer.Replayed = true
			return err
		case session.Accepted:
			answer.Result, refusal, err = splitRefusal(work(t))
			if err != nil {
				return err
			}
			answer.Wanted = receipt.Attached.Wanted
			t.AfterCommit(func() {
				s.outboxes.UpdateMeta(c.Session, func(me *Session) { me.Wanted, me.Used = receipt.Attached.Wanted, true })
			})
			return recordReply(t, c, answer.Result, refusal)
		}
		panic("unreachable: Receipt is sealed")
	})
	if isCanceled(err) {
		return Answer[R]{}, err // the transaction may still run, and write its results
	}
	if err == nil && refusal != nil {
		err = refusal
	}
	if me != nil {
		s.presence.Touch(me.Key, s.now(), me.Grace)
		if c.Ack != nil && err == nil {
			s.presence.Acknowledge(me.Key, me.Epoch, *c.Ack)
		}
	}
	if answer.Replayed {
		s.stats.Replayed.Add(1)
	}
	return answer, annotate(err, me, answer.Wanted, c.Seq)
}

// executeAs runs a use case for a side without a session, in one transaction. A final refusal keeps
// what was written before it.
func executeAs[R any](ctx context.Context, s *Service, work func(*txn) (R, error)) (R, error) {
	var (
		result  R
		refusal *Failure
	)
	err := s.transact(ctx, func(t *txn) (err error) {
		result, refusal, err = splitRefusal(work(t))
		return err
	})
	if isCanceled(err) {
		var none R
		return none, err // the transaction may still run, and write result
	}
	if err == nil && refusal != nil {
		err = refusal
	}
	return result, err
}

// isCanceled reports that the caller went away before the transaction was over.
func isCanceled(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// splitRefusal separates a final refusal, which is kept, from a failure, which undoes everything.
func splitRefusal[R any](result R, err error) (R, *Failure, error) {
	var failure *Failure
	if errors.As(err, &failure) && failure.final() {
		return result, failure, nil
	}
	return result, nil, err
}

func recordReply[R any](t *txn, c Command, result R, refusal *Failure) error {
	o := outcome[R]{Result: result}
	if refusal != nil {
		o.Refusal, o.Detail = refusal.Code, refusal.Detail
	}
	recorded, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("record the reply: %w", err)
	}
	return t.Complete(c.Session, *c.Seq, Reply{c.Fingerprint, recorded})
}

// recordedReply returns the reply to a command that was executed before.
func recordedReply[R any](t *txn, c Command) (R, *Failure, error) {
	var o outcome[R]
	reply, err := t.Reply(c.Session, *c.Seq)
	switch {
	case errors.Is(err, ErrNotFound):
		return o.Result, nil, refuse(ReplyForgotten, "command %d was done, but its reply is older than the last %d and is no longer known", *c.Seq, session.Window)
	case err != nil:
		return o.Result, nil, err
	case reply.Fingerprint != c.Fingerprint:
		return o.Result, nil, refuse(SeqReused, "command %d was another request; two clients seem to use one session", *c.Seq)
	}
	if err := json.Unmarshal(reply.Outcome, &o); err != nil {
		return o.Result, nil, fmt.Errorf("recorded reply %d: %w", *c.Seq, err)
	}
	if o.Refusal != "" {
		return o.Result, &Failure{Code: o.Refusal, Detail: o.Detail, Replayed: true}, nil
	}
	return o.Result, nil, nil
}

// annotate adds the command that is wanted next to the failure of a command. A numbered command whose
// commit is in doubt may be sent again, because it is executed once.
func annotate(err error, me *Session, wanted session.Seq, seq *session.Seq) error {
	var failure *Failure
	if !errors.As(err, &failure) || me == nil {
		return err
	}
	f := *failure
	f.Wanted = &wanted
	if f.Code == OutcomeUnknown && seq != nil {
		f.Code, f.Detail = StorageUnavailable, "the storage failed while committing; send the same command with the same number again"
	}
	return &f
}
