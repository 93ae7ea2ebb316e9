package rendezvous

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"strings"
	"time"

	"restante/session"
)

const (
	// keyedPrefix begins the sides that are derived from a secret. No other side may begin with it.
	keyedPrefix = "k."
	// MinSecret is the length of the shortest secret, in bytes: 22 characters of base64 hold 128 bits.
	MinSecret = 22
	// visitInterval is how long a visit of a keyed side to a mailbox is taken for fresh, and is not stored
	// again.
	visitInterval = time.Minute
)

// KeyedSide returns the side that acts without a session, with an app and a secret. Only a client that
// knows the secret can be this side: the side does not tell the secret, and [ReservedSide] keeps all
// others from it.
func KeyedSide(app AppID, secret string) Side {
	h := sha256.New()
	for _, part := range []string{"restante side of a secret", string(app), secret} {
		_, _ = h.Write([]byte(part))
		_, _ = h.Write([]byte{0})
	}
	return Side(keyedPrefix + strings.ToLower(base32.StdEncoding.EncodeToString(h.Sum(nil)[:20])))
}

// ReservedSide reports whether a side can only be derived from a secret, so that a client may not name
// it.
func ReservedSide(s Side) bool { return strings.HasPrefix(string(s), keyedPrefix) }

// acting returns the side as the one that acts in a transaction. It has no session, and so no key.
func (r SideRef) acting() *Session {
	return &Session{App: r.App, Side: r.Side, Address: r.Address}
}

// executeKeyed runs a command of a side without a session.
func executeKeyed[R any](ctx context.Context, s *Service, c Command, work func(*txn) (R, error)) (Answer[R], error) {
	var answer Answer[R]
	var refusal *Failure
	err := s.transact(ctx, func(t *txn) (err error) {
		t.actor, t.address = c.Keyed.acting(), c.Address
		answer.Result, refusal, answer.Replayed, err = executeUnnumbered(t, c, work)
		return err
	})
	if isCanceled(err) {
		return Answer[R]{}, err // the transaction may still run, and write its results
	}
	if err == nil && refusal != nil {
		err = refusal
	}
	if answer.Replayed {
		s.stats.Replayed.Add(1)
	}
	return answer, annotate(err, nil, 0, c.repeatable())
}

// queryKeyed answers a query of a side without a session.
func queryKeyed[R any](ctx context.Context, s *Service, q Query, look func(*txn) (R, error)) (answer Answer[R], err error) {
	err = s.read(ctx, func(t *txn) error {
		t.actor = q.Keyed.acting()
		answer.Result, err = look(t)
		return err
	})
	return answer, err
}

// visit lets a keyed side into a mailbox that it wants to read. A visit is a sign of life: the mailbox
// lives on for its ttl. It writes nothing if the side is in and was there a moment ago.
func (s *Service) visit(ctx context.Context, ref SideRef, r ReadRequest) (key MailboxKey, err error) {
	fresh := false
	err = s.read(ctx, func(t *txn) error {
		m, err := t.Mailbox(ref.App, r.Mailbox)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		key = m.Key
		in := m.Has(ref.Side) && (!r.Open || m.HasOpen(ref.Side))
		fresh = in && r.After <= m.Last && r.TTL <= m.TTL && t.Now().Sub(m.Updated) < visitInterval
		return err
	})
	if err != nil || fresh {
		return key, err
	}
	m, err := executeAs(ctx, s, ref, func(t *txn) (Mailbox, error) {
		t.actor = ref.acting()
		if r.Open && r.Session != (session.Key{}) { // before the mailbox, which is locked later
			if err := t.MarkUsed(r.Session); err != nil {
				return Mailbox{}, err
			}
		}
		m, err := t.visited(r)
		if err != nil {
			return m, err
		}
		m = m.touch(t.Now())
		return m, t.UpdateMailbox(m)
	})
	var failure *Failure
	if errors.As(err, &failure) && failure.Code == OutcomeUnknown {
		err = storageUnavailable() // to enter again changes nothing
	}
	return m.Key, err
}

// visited loads the mailbox that the acting side reads, and lets the side in if it asks for that.
func (t *txn) visited(r ReadRequest) (Mailbox, error) {
	if r.Open {
		return t.open(t.actor.App, t.actor.Side, r.Mailbox, r.After, r.TTL)
	}
	m, err := t.enteredMailbox(r.Mailbox)
	if err == nil && r.After > m.Last {
		err = afterTheLast(r.After, m.Last)
	}
	return m, err
}
