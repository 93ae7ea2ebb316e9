package rendezvous

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"
)

// replySpan is how long a reply is kept that was recorded under an idempotency key.
const replySpan = 24 * time.Hour

// replyID returns under what the reply to a command with an idempotency key is recorded. Keys of different
// sessions and sides have nothing to do with each other.
func (c Command) replyID() [32]byte {
	h := sha256.New()
	for _, part := range []string{string(c.Session[:]), string(c.Keyed.App), string(c.Keyed.Side), c.IdempotencyKey} {
		_, _ = fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return [32]byte(h.Sum(nil))
}

// executeUnnumbered runs a command without a number. If it has an idempotency key that was used before, it
// finds the recorded reply instead. Two commands with one key come one after the other, because the first
// reserves the key before it does anything.
func executeUnnumbered[R any](t *txn, c Command, work func(*txn) (R, error)) (result R, refusal *Failure, replayed bool, err error) {
	if c.IdempotencyKey == "" {
		result, refusal, err = splitRefusal(work(t))
		return result, refusal, false, err
	}
	id := c.replyID()
	before, fresh, err := t.ReserveReply(id, c.Fingerprint, t.Now().Add(replySpan))
	if err != nil {
		return result, nil, false, err
	}
	if !fresh {
		reply, err := t.KeyedReply(id)
		if err != nil {
			return result, nil, false, err
		}
		if reply.Fingerprint != c.Fingerprint {
			return result, nil, false, refuse(KeyReused, "this Idempotency-Key was another request's within the last 24 hours; choose a new one for each command")
		}
		result, refusal, err = decodeOutcome[R](reply)
		return result, refusal, true, err
	}
	t.replaces(before)
	if result, refusal, err = splitRefusal(work(t)); err != nil {
		return result, nil, false, err
	}
	recorded, err := encodeOutcome(result, refusal)
	if err != nil {
		return result, nil, false, err
	}
	size := keyedReplySize + int64(len(recorded))
	if err := t.mayStore(size); err != nil {
		return result, nil, false, err
	}
	t.addCharge(size)
	return result, refusal, false, t.RecordReply(id, recorded, AddressBytes{t.address, size})
}

// encodeOutcome returns a reply as it is recorded.
func encodeOutcome[R any](result R, refusal *Failure) ([]byte, error) {
	o := outcome[R]{Result: result}
	if refusal != nil {
		o.Refusal, o.Detail = refusal.Code, refusal.Detail
	}
	recorded, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("record the reply: %w", err)
	}
	return recorded, nil
}

// decodeOutcome returns a recorded reply.
func decodeOutcome[R any](reply Reply) (R, *Failure, error) {
	var o outcome[R]
	if err := json.Unmarshal(reply.Outcome, &o); err != nil {
		return o.Result, nil, fmt.Errorf("recorded reply: %w", err)
	}
	if o.Refusal != "" {
		return o.Result, &Failure{Code: o.Refusal, Detail: o.Detail, Replayed: true}, nil
	}
	return o.Result, nil, nil
}

// repeatable reports whether the command is executed once however often it arrives.
func (c Command) repeatable() bool { return c.Seq != nil || c.IdempotencyKey != "" }
