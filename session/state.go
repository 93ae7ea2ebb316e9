package session

import (
	"errors"
	"fmt"
	"time"
)

// ErrUnsent reports that a client acknowledges a frame that was never numbered.
var ErrUnsent = errors.New("acknowledges a frame that was never sent")

// Reason is why a session ended.
type Reason string

// The reasons for which a session ends.
const (
	Expired  Reason = "expired"  // its grace ran out
	Replaced Reason = "replaced" // a handshake named it in `replaces`
	Deleted  Reason = "deleted"  // its client ended it
	Overflow Reason = "overflow" // it left twice the window of frames unacknowledged
	Removed  Reason = "ended"    // the operator ended it
	// TokenExpired: its client's token expired, and no newer one came.
	TokenExpired Reason = "unauthorized"
)

// Record is what is stored of a session.
type Record struct {
	Ledger
	Epoch Epoch
	// Seen is the last sign of life. It is stored lazily, so the caller of State first moves it to the
	// latest moment at which the true one can have been.
	Seen time.Time
	// Known is the last sign of life that is known, if State's caller has moved Seen to a later moment; else zero. It
	// is not stored.
	Known time.Time
	// Grace is how long the session survives detached.
	Grace time.Duration
	// Used reports that the session did something, so that its end leaves a tombstone.
	Used bool
	// Token is that of its client; zero if it has none.
	Token Token
	// Ended is nil while the session lives.
	Ended *Ending
}

// Ending is when and why a session ended.
type Ending struct {
	At     time.Time
	Reason Reason
	// Text is what the operator tells the client, if Reason is [Removed].
	Text string
}

// State is what a record says at a moment: [Attached], [Detached] or [Closed].
//
//sumtype:decl
type State interface{ state() }

// life is what both living states have in common.
type life struct {
	Ledger
	Epoch Epoch
	Seen  time.Time
	Grace time.Duration
	Used  bool
	Token Token
}

// Attached is a session whose client is present.
type Attached struct{ life }

// Detached is a session whose client has been silent for too long. The session waits for it until the
// grace runs out.
type Detached struct {
	life
	Until time.Time // when the grace runs out
}

// Closed is a session that ended: everything that its tombstone says.
type Closed struct {
	Ending
	Ledger Ledger
	Epoch  Epoch
	Used   bool
	// Token is the one that expired, if Reason is [TokenExpired].
	Token Token
}

func (Attached) state() {}
func (Detached) state() {}
func (Closed) state()   {}

// Deadline returns when the grace of a silent session runs out, if there is no other sign of life
// until then.
func (r Record) Deadline(t Timing) time.Time {
	until := r.Seen.Add(t.Silence()).Add(r.Grace)
	if until.Before(t.BootGraceUntil) {
		return t.BootGraceUntil
	}
	return until
}

// State returns the state of the record at now. Expiry is computed here, when reading, and nowhere
// else.
func (r Record) State(now time.Time, t Timing) State {
	alive := life{r.Ledger, r.Epoch, r.Seen, r.Grace, r.Used, r.Token}
	lost := r.Seen.Add(t.Silence())
	lapse, lapses := r.lapse(t)
	switch {
	case r.Ended != nil:
		return Closed{*r.Ended, r.Ledger, r.Epoch, r.Used, r.Token}
	case lapses && !now.Before(lapse):
		return Attached{alive}.Lapse(lapse)
	case now.Before(lost):
		return Attached{alive}
	}
	detached := Attached{alive}.Detach(lost)
	detached.Until = r.Deadline(t)
	if now.Before(detached.Until) {
		return detached
	}
	return detached.Expire()
}

// Open returns a new session: epoch 1, both counters 0.
func Open(now time.Time, grace time.Duration) Attached {
	return Attached{life{Epoch: 1, Seen: now, Grace: grace}}
}

// Receive returns what becomes of command n.
func (a Attached) Receive(n Seq) Receipt {
	switch {
	case n < a.Wanted:
		return Repeated{}
	case n > a.Wanted:
		return Missing{a.Wanted}
	}
	a.Wanted++
	a.Used = true
	return Accepted{a}
}

// Acknowledge forgets the frames below upTo. Acknowledging less than before changes nothing.
// Acknowledging what was never numbered returns [ErrUnsent].
func (a Attached) Acknowledge(upTo Seq) (Attached, error) {
	if upTo > a.Next {
		return a, fmt.Errorf("%w: frame %d, and the next is %d", ErrUnsent, upTo-1, a.Next)
	}
	a.Kept = max(a.Kept, upTo)
	return a, nil
}

// Reconnect returns the session after an accepted handshake: in a new epoch, with the frames below
// expected acknowledged. If they were never numbered, it returns [ErrUnsent] and the session
// unchanged.
func (a Attached) Reconnect(now time.Time, expected Seq) (Attached, error) {
	next, err := a.Acknowledge(expected)
	if err != nil {
		return a, err
	}
	next.Epoch++
	next.Seen = now
	return next, nil
}

// Detach returns the session after its client has been silent for too long.
func (a Attached) Detach(at time.Time) Detached {
	return Detached{a.life, at.Add(a.Grace)}
}

// Close returns the session as it ends.
func (a Attached) Close(now time.Time, why Reason) Closed {
	return Closed{Ending: Ending{At: now, Reason: why}, Ledger: a.Ledger, Epoch: a.Epoch, Used: a.Used}
}

// Lapse returns the session as it ends because its token has expired. It leaves a tombstone: the client is
// to learn why.
func (a Attached) Lapse(at time.Time) Closed {
	closed := a.Close(at, TokenExpired)
	closed.Used, closed.Token = true, a.Token
	return closed
}

// Renew returns the session with a token, if that expires later than the one it has.
func (a Attached) Renew(t Token) Attached {
	a.Token = a.Token.Newer(t)
	return a
}

// Record returns what to store.
func (a Attached) Record() Record {
	return Record{Ledger: a.Ledger, Epoch: a.Epoch, Seen: a.Seen, Grace: a.Grace, Used: a.Used, Token: a.Token}
}

// Resume returns the session after its client came back within the grace.
func (d Detached) Resume(now time.Time) Attached {
	d.Seen = now
	return Attached{d.life}
}

// Close returns the session as it ends.
func (d Detached) Close(now time.Time, why Reason) Closed {
	return Closed{Ending: Ending{At: now, Reason: why}, Ledger: d.Ledger, Epoch: d.Epoch, Used: d.Used}
}

// Expire returns the session after its grace ran out.
func (d Detached) Expire() Closed { return d.Close(d.Until, Expired) }

// Record returns what to store of a session that ended.
func (c Closed) Record() Record {
	return Record{Ledger: c.Ledger, Epoch: c.Epoch, Seen: c.At, Used: c.Used, Token: c.Token, Ended: &c.Ending}
}

// Because returns the session with what the operator tells its client.
func (c Closed) Because(text string) Closed {
	c.Text = text
	return c
}
