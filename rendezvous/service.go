package rendezvous

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"restante/internal/hub"
	"restante/internal/presence"
	"restante/session"
)

// Config is the policy of a [Service]. [DefaultConfig] has the defaults.
type Config struct {
	HeartbeatInterval   time.Duration // the longest a receive is held
	HeartbeatsUntilDead int           // intervals of silence that detach a session
	ClientTimeout       time.Duration // after which a client should assume that the server is gone
	SessionGrace        time.Duration // how long a detached session is waited for
	MailboxTTL          time.Duration // how long a mailbox is kept without a sign of life
	MaxTTL              time.Duration // the longest grace or ttl a client may ask for
	TombstoneTTL        time.Duration // how long the end of a session is remembered
	BootGrace           time.Duration // how long nothing expires after a start or an outage
	PruneInterval       time.Duration // between two runs of pruning
	LookupBatchWindow   time.Duration // how long lookups that expect nothing are batched; 0: each is made alone
	DrainSpan           time.Duration // over which held receives are answered at a stop
	UsageRetention      time.Duration // how long usage records and client versions are kept
	NameplateRest       time.Duration // before a nameplate that was retired is allocated again
	Blur                time.Duration // usage records' start times are rounded down to it; 0 keeps them
	Limits              Limits
}

// Limits bound what clients may take. Zero allows none of it; it does not mean "no limit".
type Limits struct {
	MailboxMessages int64 // messages in a mailbox
	MailboxBytes    int64 // and the bytes of their bodies
	// AddressBytes is how many bytes are stored from an address, in mailboxes, messages and recorded replies, and
	// StoredBytes in all. Both are counted in steps of 8 KiB for each mailbox.
	AddressBytes, StoredBytes int64
	// UsageRecords is how many usage records of nameplates and of mailboxes, and how many client versions, are kept: so
	// many of each.
	UsageRecords int

	Nameplates int // nameplates held by a side
	// AddressNameplates is how many nameplates are held from an address. Here and below, four times that
	// apply to an IPv6 network of 48 bits. After a sixteenth of it, an address is allocated longer nameplates.
	AddressNameplates int
	// ClaimRate is how many nameplates are allocated and claimed from an address in a minute, and
	// ClaimBurst how many at once; a rate of 0 is no limit. Each process counts for itself.
	ClaimRate       float64
	ClaimBurst      int
	Mailboxes       int   // mailboxes that a side is in
	AddressSessions int   // live sessions, and tombstones, of an address
	Sessions        int64 // live sessions, and tombstones, in all
	WindowFrames    int64 // unacknowledged frames of a session
	WindowBytes     int64 // and their bytes
	AnswerFrames    int   // frames in one answer
	AnswerBytes     int64 // and their bytes
	StreamBytes     int64 // bytes of the frames or messages that a stream or a socket is given at a time
	ListBytes       int   // the list of nameplates
}

// DefaultConfig returns the configuration of a server without any settings.
func DefaultConfig() Config {
	return Config{
		HeartbeatInterval:   25 * time.Second,
		HeartbeatsUntilDead: 2,
		ClientTimeout:       time.Minute,
		SessionGrace:        10 * time.Minute,
		MailboxTTL:          11 * time.Minute,
		MaxTTL:              24 * time.Hour,
		TombstoneTTL:        24 * time.Hour,
		BootGrace:           11 * time.Minute,
		PruneInterval:       5 * time.Minute,
		DrainSpan:           2 * time.Second,
		NameplateRest:       time.Minute,
		UsageRetention:      90 * 24 * time.Hour,
		Limits: Limits{
			MailboxMessages: 100_000,
			MailboxBytes:    64 << 20,
			AddressBytes:    256 << 20,
			StoredBytes:     16 << 30,
			UsageRecords:    1_000_000,
			Nameplates:      16,

			AddressNameplates: 64,
			ClaimRate:         30,
			ClaimBurst:        60,

			Mailboxes:       64,
			AddressSessions: 1_000,
			Sessions:        1_000_000,
			WindowFrames:    10_000,
			WindowBytes:     16 << 20,
			AnswerFrames:    100,
			AnswerBytes:     256 << 10,
			StreamBytes:     16 << 10,
			ListBytes:       32 << 10,
		},
	}
}

// ClientInfo is what [Service.Admit] learns of a client that begins or resumes a session.
type ClientInfo struct {
	App      AppID
	Client   [2]string // implementation and version; empty if it did not say
	Metadata json.RawMessage
	Address  string
}

// Service has the use cases as methods. Its exported fields are set before the first use and not
// changed later.
type Service struct {
	Config Config
	Store  Store
	Log    *slog.Logger
	// Version is the version of the server, as which this process is recorded in the storage. If it is empty, this
	// process is recorded as none.
	Version string
	// Now is the clock of this process. nil means [time.Now].
	Now func() time.Time
	// AfterFunc calls a function once, after a time, unless stop is called before. It ends the holds of polls, and tells
	// when the heartbeats of streams are due. nil means [time.AfterFunc].
	AfterFunc func(d time.Duration, f func()) (stop func() bool)
	// Admit refuses a handshake by returning an error: a [Failure] as it is, any other as
	// REJECTED_BY_CUSTOM_HANDLER. nil admits every client.
	Admit func(context.Context, ClientInfo) error
	// VerifyToken verifies the token of a client at a time, and returns what it says. Its error is for the
	// client. nil: no token is asked for.
	VerifyToken func(token string, now time.Time) (Grant, error)
	// Announce is called after each commit with the topics that have news, to wake the readers in other
	// processes on the same storage. It must not block. It is nil for a process that has its storage to
	// itself.
	Announce func([]Topic)

	// OnDispatch is called after each commit with something to tell a webhook. It must not block. It may be nil.
	OnDispatch func()

	hub           hub.Hub[Topic]
	receivers     hub.Exclusive[session.Key]
	presence      presence.Table
	lookups       lookupBatches
	openMailboxes openMailboxes
	unrecorded    unrecorded // the record loop's own

	logs           mailboxLogs
	outboxes       outboxLogs
	clientVersions clientVersions
	health         health
	pruner         pruner
	countCache     countCache
	attachedCache  attachedCache
	sessionQuota   addressQuota
	claimQuota     addressQuota
	shortQuota     addressQuota // of the shortest nameplates
	freeRanges     freeRanges
	claimBudget    claimBudget
	shortBudget    claimBudget // of the shortest nameplates
	addressKeys    addressKeys
	stored         storedBytes
	stats          Stats

	webhooks   atomic.Pointer[map[AppID]bool] // nil: no app has one
	observer   atomic.Pointer[Observer]       // nil: nothing is told
	endedHere  endedHere
	draining   atomic.Bool
	clock      storeClock
	loggedSkew atomic.Int64              // nanoseconds: the skew of the clocks when it was logged last
	graceUntil atomic.Pointer[time.Time] // in local time: see session.Timing
	graceFrom  atomic.Pointer[time.Time] // in local time: since when clients can reach this process
	watchNews  hub.Event                 // set when there are mailboxes to watch
	recorded   atomic.Pointer[time.Time] // when recording last went well; nil before
	lastTick   atomic.Int64              // unix milliseconds: when watchLoop ticked last; 0 while it does not run
}

// Stats counts what the service did since it started. All of it only grows, except Parked, Streams and CodeDigits.
type Stats struct {
	Parked       atomic.Int64 // receives that are held now
	Frames       atomic.Int64 // frames handed out, repeated ones included
	Streams      atomic.Int64 // streams that are open now
	Heartbeats   atomic.Int64 // receives that ended without a frame, and heartbeats of streams
	Superseded   atomic.Int64 // receives that made way for another
	Replayed     atomic.Int64 // repeated commands that got their recorded reply
	Begun        atomic.Int64 // handshakes that began a session
	Resumed      atomic.Int64 // handshakes that resumed one
	Rejected     atomic.Int64 // refused handshakes
	Overflowed   atomic.Int64 // sessions that ended because too many frames were unacknowledged
	PruneRuns    atomic.Int64
	PruneGood    atomic.Int64 // runs in which nothing failed
	CodeDigits   atomic.Int64 // digits of the nameplate that was allocated last; 0 before
	PruneFailed  atomic.Int64 // things that could not be pruned, each time
	StorageFails atomic.Int64 // transactions that the storage could not serve
	Retried      atomic.Int64 // transactions that the storage ran again after a conflict
	Announced    atomic.Int64 // topics that other processes were told of
	Heard        atomic.Int64 // topics of which other processes had news
	Lost         atomic.Int64 // topics that other processes could not be told of
	Missed       atomic.Int64 // times that news of other processes may have been missed
	Told         atomic.Int64 // events that a webhook took
	NotTold      atomic.Int64 // attempts to tell a webhook that failed
	Refused      atomic.Int64 // of these, those to an address to which this process does not connect
}

// Stats returns this process's counters.
func (s *Service) Stats() *Stats { return &s.stats }

// timing returns when silence means something, at this moment.
func (s *Service) timing() session.Timing {
	if s.graceUntil.Load() == nil || s.paused(s.local()) > 0 {
		s.startBootGrace() // a request came before Run started, or before its loop could tick
	}
	return session.Timing{
		HeartbeatInterval:   s.Config.HeartbeatInterval,
		HeartbeatsUntilDead: s.Config.HeartbeatsUntilDead,
		BootGraceUntil:      s.clock.time(*s.graceUntil.Load()),
	}
}

// startBootGrace starts a time in which nothing expires, so that clients that could not reach this
// process find their things when they come back.
func (s *Service) startBootGrace() { s.graceFor(s.Config.BootGrace) }

// graceFor starts a time in which nothing expires. It does not shorten one that lasts longer.
func (s *Service) graceFor(d time.Duration) {
	from := s.local()
	s.graceFrom.Store(&from)
	until := from.Add(d)
	for {
		last := s.graceUntil.Load()
		if last != nil && !until.After(*last) || s.graceUntil.CompareAndSwap(last, &until) {
			return
		}
	}
}

// Run does the work that needs no request, until ctx ends: pruning, storing signs of life, watching
// the storage and the clock. When it returns, it has stored what must not be lost.
func (s *Service) Run(ctx context.Context) {
	s.startBootGrace()
	loops := []func(context.Context){s.pruneLoop, s.recordLoop, s.watchLoop, s.countLoop, s.addressLoop, s.tokenLoop, s.storedLoop, s.serverLoop, s.attendanceLoop}
	done := make(chan struct{}, len(loops))
	for _, loop := range loops {
		go func() {
			defer func() { done <- struct{}{} }()
			loop(ctx)
		}()
	}
	for range cap(done) {
		<-done
	}
}

// Drain answers every held receive with a heartbeat, spread over the drain span, and refuses new
// handshakes and receives.
func (s *Service) Drain() {
	s.draining.Store(true)
	s.hub.Close()
}

// Stopping returns a channel that is closed when the server begins to stop.
func (s *Service) Stopping() <-chan struct{} { return s.hub.Done() }

// clientError turns an error into what the client is told.
func (s *Service) clientError(err error) error {
	var failure *Failure
	switch {
	case err == nil:
		s.health.served()
		return nil
	case errors.As(err, &failure):
		_ = s.observeLimit(failure) // which is the same
		return err
	case isCanceled(err):
		return err // the caller has left, so no reply is sent
	case errors.Is(err, ErrUnavailable):
		s.stats.StorageFails.Add(1)
		if !errors.Is(err, ErrBusy) { // reads go on meanwhile
			s.health.markDown(s.local())
		}
		return &Failure{Code: StorageUnavailable, Detail: "the storage cannot be used at the moment; nothing was changed, try again", Err: err}
	case errors.Is(err, ErrOutcomeUnknown):
		s.stats.StorageFails.Add(1)
		s.health.markDown(s.local())
		return &Failure{Code: OutcomeUnknown, Detail: "the storage failed while committing, and whether it did cannot be known; look before you repeat it", Err: err}
	}
	return &Failure{Code: Internal, Detail: "something failed here; nothing was changed", Err: err}
}

// state returns the state of a stored session at now, given the signs of life of its client that this
// process has seen and not stored yet.
func (s *Service) state(stored Session, now time.Time) session.State {
	stored.Known = s.presence.LastSeenWithin(stored.Key, stored.Seen, now, 0)
	stored.Seen = s.lastSeen(stored, now)
	if s.VerifyToken == nil {
		stored.Token = session.Token{} // which counts no longer
	}
	return stored.State(now, s.timing())
}

// lastSeen returns the latest moment at which the last sign of life of a session's client can have
// been. Where there are other processes, the client may be at one of those now, so what this process
// saw of it is not all.
func (s *Service) lastSeen(stored Session, now time.Time) time.Time {
	seen := s.presence.LastSeen(stored.Key, stored.Seen, now)
	if s.Announce != nil {
		seen = latest(seen, stored.Seen.Add(presence.MaxLag))
	}
	return seen
}

// sweepAt returns when a living session has to be looked at for pruning: no earlier than it may
// expire.
func (s *Service) sweepAt(seen time.Time, grace time.Duration) time.Time {
	return seen.Add(s.timing().Silence()).Add(grace).Add(presence.MaxLag)
}
