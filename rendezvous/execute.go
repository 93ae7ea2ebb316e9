package rendezvous

import (
	"context"
	"errors"
	"fmt"
	"time"

	"restante/session"
)

// Command is a request that changes something, of a session or of a side without one.
type Command struct {
	Session session.Key
	// Keyed is the side that acts without a session, with a secret; its App is empty if a session acts.
	Keyed SideRef
	// Seq numbers the command, so that it is executed once however often it arrives. nil: the command
	// is executed each time.
	Seq *session.Seq
	// Ack says that every frame below it is processed; nil acknowledges nothing.
	Ack *session.Seq
	// Epoch is that of the handshake the acknowledgement goes with; nil means the current one. Of an
	// older epoch, Ack acknowledges nothing; of one that was never given, it is refused.
	Epoch *session.Epoch
	// IdempotencyKey identifies a command without a number, so that it is executed once within 24 hours. "":
	// the command is executed each time.
	IdempotencyKey string
	// Fingerprint distinguishes commands that have the same number: it is a hash of method, path and
	// body.
	Fingerprint [32]byte
	// Address is the [Service.AddressID] from which it came; "" counts against no limit.
	Address string
}

// Answer is the answer to a command or a query.
type Answer[R any] struct {
	Result R
	// Wanted is the next command wanted.
	Wanted session.Seq
	// Replayed reports that this is the recorded reply to a command that was executed before.
	Replayed bool
}

// Query is a request that changes nothing, of a session or of a side without one.
type Query struct {
	Session session.Key
	Keyed   SideRef      // acts if there is no session; its App is empty if a session acts
	Ack     *session.Seq // every frame below it is processed; nil acknowledges nothing
	// Epoch is that of the handshake the acknowledgement goes with; nil means the current one. Of an
	// older epoch, Ack acknowledges nothing; of one that was never given, it is refused.
	Epoch *session.Epoch
}

// outcome is a recorded reply: a result, or the refusal that was the answer.
type outcome[R any] struct {
	Result  R      `json:"result"`
	Refusal Code   `json:"refusal,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

// execute runs a command in one transaction with the counter and the recorded reply.
//
// A final refusal is an answer. What was written before it is kept, and it is recorded. Any other
// failure undoes everything and consumes no number.
func execute[R any](ctx context.Context, s *Service, c Command, work func(*txn) (R, error)) (Answer[R], error) {
	if c.Keyed.App != "" {
		return executeKeyed(ctx, s, c, work)
	}
	if !s.presence.StartCommand(c.Session) {
		return Answer[R]{}, refuse(WindowFull, "%d commands of this session are unanswered; wait for their replies", session.Window)
	}
	defer s.presence.EndCommand(c.Session)
	var (
		answer  Answer[R]
		refusal *Failure
		actor   *Session
	)
	err := s.transact(ctx, func(t *txn) (err error) {
		answer, refusal, err = executeOnce(t, c, work)
		actor = t.actor
		return err
	})
	if isCanceled(err) {
		return Answer[R]{}, err // the transaction may still run, and write its results
	}
	switch {
	case err == nil && refusal != nil:
		err = refusal
	case err != nil && actor != nil:
		answer.Wanted = actor.Wanted // the command was undone, or is not known to be committed
	}
	s.recordRequest(ctx, c.Session, actor, c.Ack, c.Epoch, err)
	if answer.Replayed {
		s.stats.Replayed.Add(1)
	}
	return answer, annotate(err, actor, answer.Wanted, c.repeatable())
}

// executeOnce runs a command, or finds the recorded reply if the command was executed before.
func executeOnce[R any](t *txn, c Command, work func(*txn) (R, error)) (answer Answer[R], refusal *Failure, err error) {
	t.address = c.Address
	attached, err := t.attachAcking(c.Session, c.Ack, c.Epoch)
	answer.Wanted = attached.Wanted
	if err != nil {
		return answer, nil, err
	}
	if c.Seq == nil {
		answer.Result, refusal, answer.Replayed, err = executeUnnumbered(t, c, work)
		if err == nil && !t.actor.Used {
			err = t.MarkUsed(t.actor.Key)
		}
		return answer, refusal, err
	}
	switch receipt := attached.Receive(*c.Seq).(type) {
	case session.Missing:
		return answer, nil, &Failure{Code: SeqGap, Detail: fmt.Sprintf("command %d is wanted next; send it and those after it, then this one again", receipt.Expected), Expected: &receipt.Expected}
	case session.Repeated:
		answer.Result, refusal, err = recordedReply[R](t, c)
		answer.Replayed = true
		return answer, refusal, err
	case session.Accepted:
		if answer.Result, refusal, err = splitRefusal(work(t)); err != nil {
			return answer, nil, err
		}
		answer.Wanted = receipt.Attached.Wanted
		t.AfterCommit(func() {
			t.s.outboxes.UpdateMeta(c.Session, func(stored *Session) {
				stored.Wanted, stored.Used = max(stored.Wanted, receipt.Attached.Wanted), true
			})
		})
		return answer, refusal, recordReply(t, c, answer.Result, refusal)
	}
	panic("unreachable: Receipt is sealed")
}

// recordRequest records a request of a session: it is a sign of life, and may acknowledge frames. A
// request that failed with err, or that goes with another epoch, acknowledges nothing. actor is nil if
// the session was not found. If that is because of the storage, the request is a sign of life of a
// client that is known here.
func (s *Service) recordRequest(ctx context.Context, k session.Key, actor *Session, ack *session.Seq, epoch *session.Epoch, err error) {
	if actor == nil {
		s.touchIfUnavailable(k, err)
		return
	}
	s.presence.Touch(actor.Key, s.now(), actor.Grace)
	if ack != nil && err == nil && isCurrent(epoch, actor.Epoch) {
		// What cannot be acknowledged comes again.
		_, _ = s.acknowledge(ctx, session.Ack{Session: actor.Key, Epoch: actor.Epoch, UpTo: *ack})
	}
}

// isCurrent reports whether an acknowledgement that goes with a handshake counts. One of an older epoch may
// be of a page that has gone: the page that took its place may not know what it had processed.
func isCurrent(epoch *session.Epoch, current session.Epoch) bool {
	return epoch == nil || *epoch == current
}

// touchIfUnavailable records a sign of life in a request that failed because of the storage.
func (s *Service) touchIfUnavailable(k session.Key, err error) {
	if f, ok := errors.AsType[*Failure](err); ok && f.Code == StorageUnavailable {
		s.presence.TouchKnown(k, s.now())
	}
}

// executeAs runs a use case for a side without a session, in one transaction. A final refusal keeps
// what was written before it.
func executeAs[R any](ctx context.Context, s *Service, ref SideRef, work func(*txn) (R, error)) (R, error) {
	var (
		result  R
		refusal *Failure
	)
	err := s.transact(ctx, func(t *txn) (err error) {
		t.address = ref.Address
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

// query answers a query from one snapshot.
func query[R any](ctx context.Context, s *Service, q Query, look func(*txn) (R, error)) (Answer[R], error) {
	if q.Keyed.App != "" {
		return queryKeyed(ctx, s, q, look)
	}
	var (
		answer Answer[R]
		actor  *Session
	)
	err := s.read(ctx, func(t *txn) error {
		attached, err := t.attachAcking(q.Session, q.Ack, q.Epoch)
		actor, answer.Wanted = t.actor, attached.Wanted
		if err != nil {
			return err
		}
		answer.Result, err = look(t)
		return err
	})
	s.recordRequest(ctx, q.Session, actor, q.Ack, q.Epoch, err)
	return answer, annotate(err, actor, answer.Wanted, false)
}

// read runs f in a view, and turns its error into one for the client.
func (s *Service) read(ctx context.Context, f func(*txn) error) error {
	if err := s.health.unreadable(); err != nil {
		return err
	}
	began := s.local()
	defer s.observeTransaction(ctx, time.Now(), false)
	err := s.Store.View(ctx, func(tx Tx) error { return f(s.newTxn(tx, began)) })
	return s.clientError(err)
}

// transact runs f and then delivers the frames it published, in one transaction, and turns its error
// into one for the client.
func (s *Service) transact(ctx context.Context, f func(*txn) error) error {
	if err := s.health.unwritable(); err != nil {
		return err
	}
	began := s.local()
	defer s.observeTransaction(ctx, time.Now(), true)
	err := s.Store.Update(ctx, func(tx Tx) error {
		t := s.newTxn(tx, began)
		t.caller = ctx
		t.AfterUnknown(func() { s.doubt(t) }) // also if the caller has left
		if err := f(t); err != nil {
			return err
		}
		return t.deliver()
	})
	return s.clientError(err)
}

// doubt forgets all that is remembered of what a transaction was about, and wakes its readers: it may
// have committed.
func (s *Service) doubt(t *txn) {
	topics := t.topics
	if t.actor != nil {
		topics = append(topics, Topic{Session: t.actor.Key})
	}
	s.stored.forget()
	for _, topic := range topics {
		s.logs.Invalidate(topic.Mailbox)
		s.outboxes.Invalidate(topic.Session)
	}
	s.announce(topics)
}

// isCanceled reports that the caller went away before the transaction was over. A connection to the storage that timed out
// has the same error, but is marked as the storage's.
func isCanceled(err error) bool {
	return !errors.Is(err, ErrUnavailable) && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
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
	recorded, err := encodeOutcome(result, refusal)
	if err != nil {
		return err
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
	return decodeOutcome[R](reply)
}

// annotate adds the command that is wanted next to the failure of a command. A repeatable command whose
// commit is in doubt may be sent again, because it is executed once. actor is nil for a side without a
// session.
func annotate(err error, actor *Session, wanted session.Seq, repeatable bool) error {
	var failure *Failure
	if !errors.As(err, &failure) {
		return err
	}
	f := *failure
	if actor != nil {
		f.Wanted = &wanted
	}
	if f.Code == OutcomeUnknown && repeatable {
		f.Code, f.Detail = StorageUnavailable, "the storage failed while committing; send the same command with the same number or key again"
	}
	return &f
}
