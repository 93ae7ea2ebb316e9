package session

import (
	"errors"
	"fmt"
	"time"
)

// ErrUnsent tells that a client acknowledges a frame that was never numbered.
var ErrUnsent = errors.New("acknowledges a frame that was never sent")

// Reason tells why a session ended.
type Reason string

// The reasons for which a session ends.
const (
	Expired  Reason = "expired"  // its grace ran out
	Replaced Reason = "replaced" // a handshake named it in `replaces`
	Deleted  Reason = "deleted"  // its client ended it
	Overflow Reason = "overflow" // it let twice the window of frames pile up
)

// Record is what is stored of a session.
type Record struct {
	Ledger
	Epoch Epoch
	// Seen is the last sign of life. Where it is written lazily, whoever asks for the
	// state first moves it to the latest that the true one can have been.
	Seen time.Time
	// Grace is how long it survives detached.
	Grace time.Duration
	// Used tells that it did something, so that its end leaves a tombstone.
	Used bool
	// Ended is nil while the session lives.
	Ended *Ending
}

// Ending is when and why a session ended.
type Ending struct {
	At     time.Time
	Reason Reason
}

// State is what a record says at a moment: [Attached], [Detached] or [Closed].
//
//sumtype:decl
type State interface{ state() }

// life is what both living states hold.
type life struct {
	Ledger
	Epoch Epoch
	Seen  time.Time
	Grace time.Duration
	Used  bool
}

// Attached is a session whose client is there.
type Attached struct{ life }

// Detached is a session whose client has been silent for too long and is waited for.
type Detached struct {
	life
	Since time.Time // when the silence became a loss
	Until time.Time // when the grace runs out
}

// Closed is a session that ended: all that its tombstone says.
type Closed struct {
	Ending
	Ledger Ledger
	Epoch  Epoch
	Used   bool
}

func (Attached) state() {}
func (Detached) state() {}
func (Closed) state()   {}

// Deadline is when a silent session's grace runs out, if nothing is seen of its
// client until then.
func (r Record) Deadline(t Timing) time.Time {
	until := r.Seen.Add(t.Silence()).Add(r.Grace)
	if until.Before(t.BootGraceUntil) {
		return t.BootGraceUntil
	}
	return until
}

// State is the state that the record is in at now. Expiry is computed here, on
// reading, and nowhere else.
func (r Record) State(now time.Time, t Timing) State {
	alive := life{r.Ledger, r.Epoch, r.Seen, r.Grace, r.Used}
	lost := r.Seen.Add(t.Silence())
	switch {
	case r.Ended != nil:
		return Closed{*r.Ended, r.Ledger, r.Epoch, r.Used}
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

// Open begins a session: epoch 1, both counters 0.
func Open(now time.Time, grace time.Duration) Attached {
	return Attached{life{Epoch: 1, Seen: now, Grace: grace}}
}

// Receive takes command n.
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

// Send numbers one frame.
func (a Attached) Send() (Attached, Seq) {
	n := a.Next
	a.Next++
	a.Used = true
	return a, n
}

// Acknowledge forgets the frames below upTo. Acknowledging less than before
// changes nothing; acknowledging what was never numbered is [ErrUnsent].
func (a Attached) Acknowledge(upTo Seq) (Attached, error) {
	if upTo > a.Next {
		return a, fmt.Errorf("%w: frame %d, and the next is %d", ErrUnsent, upTo-1, a.Next)
	}
	a.Kept = max(a.Kept, upTo)
	return a, nil
}

// Reconnect is an accepted handshake: a new epoch, with the frames below expected
// acknowledged. If they were never numbered, nothing changes: [ErrUnsent].
func (a Attached) Reconnect(now time.Time, expected Seq) (Attached, error) {
	next, err := a.Acknowledge(expected)
	if err != nil {
		return a, err
	}
	next.Epoch++
	next.Seen = now
	return next, nil
}

// Detach notices that the client has been silent for too long.
func (a Attached) Detach(at time.Time) Detached {
	return Detached{a.life, at, at.Add(a.Grace)}
}

// Close ends the session.
func (a Attached) Close(now time.Time, why Reason) Closed {
	return Closed{Ending{now, why}, a.Ledger, a.Epoch, a.Used}
}

// Record is what to store.
func (a Attached) Record() Record {
	return Record{Ledger: a.Ledger, Epoch: a.Epoch, Seen: a.Seen, Grace: a.Grace, Used: a.Used}
}

// Resume is the client coming back within its grace.
func (d Detached) Resume(now time.Time) Attached {
	d.Seen = now
	return Attached{d.life}
}

// Close ends the session.
func (d Detached) Close(now time.Time, why Reason) Closed {
	return Closed{Ending{now, why}, d.Ledger, d.Epoch, d.Used}
}

// Expire is the grace running out.
func (d Detached) Expire() Closed { return d.Close(d.Until, Expired) }

// Record is what to store of a session that ended.
func (c Closed) Record() Record {
	return Record{Ledger: c.Ledger, Epoch: c.Epoch, Seen: c.At, Used: c.Used, Ended: &c.Ending}
}
