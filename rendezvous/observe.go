package rendezvous

import (
	"context"
	"time"
)

// Observer is told what a [Service] does, as it does it. Its functions must not block, and run on many goroutines at
// once. One that is nil is not called.
type Observer struct {
	// Transaction is called after each transaction, with its caller's context and the time that it took for that.
	Transaction func(ctx context.Context, took time.Duration, wrote bool)
	// Batch is called after each commit that several updates may share, with how many did.
	Batch func(updates int)
	// Added is called for messages that were added to a mailbox, with their caller's context: once that is committed, and
	// before a receiver learns of them.
	Added func(ctx context.Context, app AppID, to MailboxID, messages []Message)
	// Delivered is called for each message that is handed to a client which was waiting when the message was added,
	// with the time between the two.
	Delivered func(to Transport, took time.Duration)
	// Poll is called when a poll has ended.
	Poll func(PollEnding)
	// Client is called for each client that begins a session or binds, with what it says it is.
	Client func(app AppID, version [2]string)
	// Retired is called for each nameplate and mailbox that is retired, once that is committed.
	Retired func(AppID, Kind, Result)
	// LimitHit is called for each request that was refused for a limit.
	LimitHit func(Limit)
}

// Transport is how a client receives messages.
type Transport string

// The transports.
const (
	ByPoll     Transport = "poll"
	ByStream   Transport = "stream" // an event stream or a session's socket
	ByWormhole Transport = "wormhole"
)

// Transports are all transports.
var Transports = []Transport{ByPoll, ByStream, ByWormhole}

// PollEnding is what became of a poll that was begun.
type PollEnding string

// The endings of polls.
const (
	PollAnswered   PollEnding = "answered"   // with something new
	PollHeartbeat  PollEnding = "heartbeat"  // nothing came in its time
	PollSuperseded PollEnding = "superseded" // another receiver took its session
	PollStopping   PollEnding = "stopping"   // the server stops
	PollAbandoned  PollEnding = "abandoned"  // its client left
	PollRefused    PollEnding = "refused"    // something else ended it: its session ended, for example
)

// PollEndings are all endings.
var PollEndings = []PollEnding{PollAnswered, PollHeartbeat, PollSuperseded, PollStopping, PollAbandoned, PollRefused}

// Limit is a limit that requests can hit, by the flag that sets it.
type Limit string

// The limits of the use cases.
const (
	LimitSessions          Limit = "max-sessions"
	LimitAddressSessions   Limit = "max-per-address"
	LimitNameplates        Limit = "max-nameplates"
	LimitAddressNameplates Limit = "max-nameplates-per-address"
	LimitClaims            Limit = "claim-rate"
	LimitMailboxes         Limit = "max-mailboxes"
	LimitMessages          Limit = "max-messages" // or max-bytes
	LimitAddressBytes      Limit = "max-bytes-per-address"
	LimitStoredBytes       Limit = "max-stored-bytes"
	LimitWindow            Limit = "max-window" // or max-window-bytes
)

// AllLimits are all limits of the use cases.
var AllLimits = []Limit{
	LimitSessions, LimitAddressSessions, LimitNameplates, LimitAddressNameplates, LimitClaims, LimitMailboxes, LimitMessages, LimitAddressBytes, LimitStoredBytes, LimitWindow,
}

// unobserved is the observer of a service until Observe is called.
var unobserved = Observer{}.complete()

// Observe has the observer told from now on, in place of an earlier one.
func (s *Service) Observe(o Observer) {
	o = o.complete()
	s.observer.Store(&o)
}

// complete replaces the functions that are nil.
func (o Observer) complete() Observer {
	if o.Transaction == nil {
		o.Transaction = func(context.Context, time.Duration, bool) {}
	}
	if o.Batch == nil {
		o.Batch = func(int) {}
	}
	if o.Added == nil {
		o.Added = func(context.Context, AppID, MailboxID, []Message) {}
	}
	if o.Delivered == nil {
		o.Delivered = func(Transport, time.Duration) {}
	}
	if o.Poll == nil {
		o.Poll = func(PollEnding) {}
	}
	if o.Client == nil {
		o.Client = func(AppID, [2]string) {}
	}
	if o.Retired == nil {
		o.Retired = func(AppID, Kind, Result) {}
	}
	if o.LimitHit == nil {
		o.LimitHit = func(Limit) {}
	}
	return o
}

// observing returns the observer.
func (s *Service) observing() *Observer {
	if o := s.observer.Load(); o != nil {
		return o
	}
	return &unobserved
}

// ObserveBatch tells the observer that so many updates were committed together. The storage calls it.
func (s *Service) ObserveBatch(updates int) { s.observing().Batch(updates) }

// ObserveDelivered tells the observer of a message that was handed to a client. The client has waited since a moment
// of this process's clock.
func (s *Service) ObserveDelivered(to Transport, waitingSince time.Time, m Message) {
	s.observeDelivered(to, s.clock.time(waitingSince), m.Received)
}

// observeDelivered is [Service.ObserveDelivered] for a message that was received at a time, in the storage's clock. A
// client that came later than the message says nothing about the server, and may have received it before.
func (s *Service) observeDelivered(to Transport, waitingSince, received time.Time) {
	if !received.Before(waitingSince.Truncate(time.Millisecond)) { // messages have whole milliseconds
		s.observing().Delivered(to, max(s.now().Sub(received), 0))
	}
}

// observeFrames tells the observer of the messages among frames.
func (s *Service) observeFrames(to Transport, waitingSince time.Time, frames [][]byte) {
	for _, frame := range frames {
		if received, is := receivedAt(frame); is {
			s.observeDelivered(to, waitingSince, received)
		}
	}
}

// observeTransaction tells the observer of a transaction that began at a time.
func (s *Service) observeTransaction(ctx context.Context, began time.Time, wrote bool) {
	s.observing().Transaction(ctx, time.Since(began), wrote)
}

// observeRetired tells the observer what is retired, once the transaction has committed.
func (t *txn) observeRetired(app AppID, kind Kind, result Result) {
	t.AfterCommit(func() {
		t.s.endedHere.add(kind, result)
		t.s.observing().Retired(app, kind, result)
	})
}

// observeLimit tells the observer of the limit that a failure is for, if it is for one, and returns the failure.
func (s *Service) observeLimit(f *Failure) *Failure {
	if f.Limit != "" {
		s.observing().LimitHit(f.Limit)
	}
	return f
}
