package rendezvous

import (
	"context"
	"time"

	"restante/session"
)

// A Store keeps everything, in transactions.
//
// It returns [ErrUnavailable] if the storage cannot be used and nothing was changed, and
// [ErrOutcomeUnknown] if a commit was sent and its outcome cannot be known. Every other error is the
// one that the function returned, or a fault.
type Store interface {
	// View runs f on a consistent snapshot that it cannot change.
	View(ctx context.Context, f func(Tx) error) error
	// Update runs f in a transaction and commits if f returns nil. If f fails or panics, nothing that
	// it did is kept; a panic is returned as an error. Until the transaction has ended, no other
	// transaction changes what f has loaded as one thing (a session, a mailbox with its sides, a
	// nameplate with its claims and its mailbox), or what it listed of a side. f may run twice: it must
	// use nothing but its Tx, and set its results, not add to them. If ctx ends before f has begun, f
	// never runs. If it ends later, Update returns ctx's error at once and the transaction goes on
	// without the caller. A store that runs updates in the order in which it takes them in calls
	// [Queued] as soon as it has taken in this one.
	Update(ctx context.Context, f func(Tx) error) error
	// Probe writes and commits something without meaning, to learn whether the storage can be used.
	Probe(ctx context.Context) error
}

// Tx is one transaction: what can be loaded and saved in it. It has nouns, no rules. A method that
// loads a single thing returns [ErrNotFound] if there is none. A method that changes something may return nil, and a later
// method or the commit fail instead: changing what does not exist fails the transaction. A Tx is used by one goroutine, and not
// after its function has returned.
type Tx interface {
	// Now returns the transaction's time, in whole milliseconds. It is the zero time if the storage fails, and the
	// transaction with it.
	Now() time.Time
	// AfterCommit runs f once this transaction has committed, even if its caller has left. If the
	// transaction does not commit, f never runs.
	AfterCommit(f func())
	// AfterUnknown runs f instead if it cannot be known whether this transaction committed
	// ([ErrOutcomeUnknown]), even if its caller has left.
	AfterUnknown(f func())

	SessionTx
	ReplyTx
	OutboxTx
	MailboxTx
	AttendanceTx
	NameplateTx

	// RecordClients stores which clients connected.
	RecordClients([]ClientVersion) error
	// DeleteStatistics deletes usage records that are counted, of what ended before a time, and client versions that
	// connected before it: of each kind at most limit, the oldest first. It returns how many.
	DeleteStatistics(before time.Time, limit int) (int, error)
	// CountStatistics counts the records of a kind, which is one of [StatisticKinds], up to atMost.
	CountStatistics(kind Kind, atMost int) (int, error)
	// DeleteOldestStatistics deletes at most limit records of a kind, usage records only if they are counted: those of
	// what began first. It returns how many.
	DeleteOldestStatistics(kind Kind, limit int) (int, error)
	// AddressKey returns the key for the addresses of a day, counted from the epoch. If there is none,
	// fresh becomes it. The keys of days before yesterday are forgotten.
	AddressKey(day int64, fresh []byte) ([]byte, error)
	// Counts returns how many of everything there are.
	Counts() (Counts, error)
	// StorageSize returns how much storage the database takes.
	StorageSize() (StorageSize, error)
	// FreeSpace gives back some of the space that is free in the storage, and reports whether there is more. It
	// takes a few milliseconds.
	FreeSpace() (more bool, err error)
	// Updated returns the time of the last committed modification.
	Updated() (time.Time, error)

	OperatorTx
	DispatchTx
}

// SessionTx is about sessions and the replies to their commands.
type SessionTx interface {
	Session(session.Key) (Session, error)
	// Sessions returns those sessions of the keys that exist, for a View.
	Sessions([]session.Key) ([]Session, error)
	// IdleSession is Session, unless another transaction has locked it: then it returns [ErrNotFound]
	// at once, because waiting could end in a deadlock.
	IdleSession(session.Key) (Session, error)
	// LockHandshake makes other transactions that lock one of these keys, or this side, wait until this
	// one ends, also if nothing is stored yet. A handshake calls it first, once. No side is locked if side is empty.
	LockHandshake(keys []session.Key, app AppID, side Side) error
	// HandshakeSessions loads those of the sessions that exist. Neither they nor their outboxes change
	// before this transaction ends.
	HandshakeSessions(keys []session.Key) ([]Session, error)
	// SideOf returns what never changes of a session: its app and its side.
	SideOf(session.Key) (AppID, Side, error)
	// SideOwner returns the session, live or ended, that began last with this side.
	SideOwner(AppID, Side) (Session, error)
	// LiveSession returns the session of this side that has not ended in storage.
	LiveSession(AppID, Side) (Session, error)
	// CreateSession stores a new session with an empty outbox.
	CreateSession(s Session, sweepAt time.Time) error
	// UpdateSession stores its record, except the epoch and the frames' counters, which [OutboxTx] keeps. sweepAt is
	// when [SessionTx.SessionsToSweep] returns it.
	UpdateSession(s Session, sweepAt time.Time) error
	// EmptySession removes what only a living session has: frames, replies, subscriptions.
	EmptySession(session.Key) error
	DeleteSession(session.Key) error
	// CountSessions counts an address's sessions that have (not) ended, up to atMost. An address that stands
	// for an IPv6 network of 48 bits counts all that have not ended from there.
	CountSessions(address string, ended bool, atMost int) (int, error)
	// CountTombstones counts all ended sessions, up to atMost.
	CountTombstones(atMost int) (int, error)
	// OldestTombstone returns the session of this address (of any, if empty) that ended first.
	OldestTombstone(address string) (session.Key, error)
	// SessionsToSweep returns at most limit sessions whose sweepAt is at or before now, in the order of
	// (sweepAt, key), starting after the cursor.
	SessionsToSweep(now time.Time, after SweepCursor, limit int) ([]SweepCursor, error)
	// SessionsToAsk returns at most limit sessions that have not ended in storage, and whose client is to be asked
	// for a newer token at now or before, the longest due first.
	SessionsToAsk(now time.Time, limit int) ([]session.Key, error)
	// UpdateLastSeen moves the stored sign of life forward, never back, for sessions that have not
	// ended.
	UpdateLastSeen([]session.Sighting) error

	// Reply returns the recorded reply to command n.
	Reply(k session.Key, n session.Seq) (Reply, error)
	// Complete records that command n is done, with its reply. It marks the session as used, and
	// forgets the replies before the last [session.Window]. It fails if n is not the command that is
	// wanted.
	Complete(k session.Key, n session.Seq, r Reply) error
	// MarkUsed records that the session did something.
	MarkUsed(session.Key) error
}

// ReplyTx is about the replies to commands with an idempotency key.
type ReplyTx interface {
	// ReserveReply reserves a place for a reply, until it is forgotten. It returns false if there is one that is
	// not forgotten yet, and else what one counted that was in its place. Until this transaction ends, every other one
	// that reserves the same id waits.
	ReserveReply(id, fingerprint [32]byte, until time.Time) (before AddressBytes, reserved bool, err error)
	// RecordReply stores the outcome of a reply whose place is reserved, and how much it counts for which address.
	RecordReply(id [32]byte, outcome []byte, counts AddressBytes) error
	KeyedReply(id [32]byte) (Reply, error)
	// DeleteReplies forgets at most limit replies whose time is over. It returns what each of them counted.
	DeleteReplies(now time.Time, limit int) ([]AddressBytes, error)
}

// OutboxTx is about frames. The outboxes of sessions are locked last in a transaction, and in the
// order of their keys, so that no two transactions wait for each other.
type OutboxTx interface {
	// Subscribe subscribes the session to what happens in the mailbox. It reports whether the
	// subscription is new, and what the session wants that it did not want before; that it never forgets.
	Subscribe(session.Key, MailboxKey, Watch) (fresh bool, asked Watch, err error)
	Unsubscribe(session.Key, MailboxKey) error
	// Subscribers returns the sessions subscribed to a mailbox, in the order of their keys.
	Subscribers(MailboxKey) ([]Subscriber, error)
	// SendFrame appends a frame to a session's outbox, and returns the session's backlog. encode gives the
	// frame's bytes for a number, and may be asked for more than one; the number stands in them once, in
	// decimal digits. It returns [ErrNotFound] if the session has ended.
	SendFrame(k session.Key, encode func(session.Seq) []byte) (Backlog, error)
	// SendMessages appends count messages of a mailbox's log, from position first on, to a session's outbox,
	// which refers to them and does not copy them. It returns the number of the first, or
	// [ErrNotFound] if the session has ended.
	SendMessages(k session.Key, m MailboxKey, first Position, count int64) (session.Seq, error)
	// Frames returns the frames from number from on, as they are sent: at most count, and at most size
	// bytes but at least one. A message is sent as [Encode] encodes it, also when its mailbox is retired.
	Frames(k session.Key, from session.Seq, count int, size int64) ([][]byte, error)
	// Backlog returns what is stored for this session alone and not acknowledged. Messages do not
	// count: their log holds them anyway.
	Backlog(session.Key) (Backlog, error)
	// BeginEpoch stores the epoch of a session that was resumed. It fails unless the epoch is a later one.
	BeginEpoch(session.Key, session.Epoch) error
	// Acknowledge forgets the frames that are acknowledged, if the epoch is still the session's; it never goes back.
	Acknowledge(...session.Ack) error
}

// MailboxTx is about mailboxes and their messages.
type MailboxTx interface {
	Mailbox(AppID, MailboxID) (Mailbox, error)
	MailboxByKey(MailboxKey) (Mailbox, error)
	// IdleMailbox is MailboxByKey, unless another transaction has locked it: then it returns
	// [ErrNotFound].
	IdleMailbox(MailboxKey) (Mailbox, error)
	// CreateMailbox stores a new mailbox with its sides; it is not watched yet. The returned mailbox has its key.
	CreateMailbox(Mailbox) (Mailbox, error)
	// UpdateMailbox stores everything but the messages. Sides are added and changed, never removed.
	UpdateMailbox(Mailbox) error
	// MailboxesOf returns the mailboxes of the app that the side is in, in the order of their keys.
	MailboxesOf(AppID, Side) ([]Mailbox, error)
	// CountMailboxesOf counts those mailboxes.
	CountMailboxesOf(AppID, Side) (int, error)
	// Append stores messages, at least one, and what they changed of their mailbox, as
	// [Mailbox.Appended] returned it.
	Append(Mailbox, ...Message) error
	// Messages returns those after a position, oldest first: at most count, and at most size bytes of
	// bodies but at least one.
	Messages(k MailboxKey, after Position, count int, size int64) ([]Message, error)
	// MessagesOfOthers is Messages without those that a side added, up to a position. seen is up to where these are
	// all. It loads nothing of the messages that it passes over, but walks over their rows.
	MessagesOfOthers(k MailboxKey, than Side, after, upTo Position, count int, size int64) (_ []Message, seen Position, err error)
	// RetireMailbox removes a mailbox with its sides and subscriptions, and records its usage. Its messages
	// stay readable to the outboxes that refer to them. No nameplate may point to it any more.
	RetireMailbox(m Mailbox, u Usage) error
	// RetiredLogs returns up to limit logs of retired mailboxes that no outbox refers to any more, with
	// keys above after.
	RetiredLogs(after MailboxKey, limit int) ([]MailboxKey, error)
	// DeleteRetiredLog deletes a page of such a log, and reports whether nothing is left to delete.
	DeleteRetiredLog(MailboxKey) (gone bool, err error)
	// CountBytes counts more bytes of a mailbox for an address.
	CountBytes(k MailboxKey, more AddressBytes) error
	// ReleaseBytes forgets what counts for a mailbox that is retired, and returns it. While the mailbox's log is
	// kept, it does nothing.
	ReleaseBytes(MailboxKey) ([]AddressBytes, error)
	// StoredBytes returns how much counts for each address: mailboxes, and recorded replies.
	StoredBytes() ([]AddressBytes, error)
	// StaleMailboxes returns at most limit mailboxes whose StaleAt is at or before now, in the order of
	// (StaleAt, key), starting after the cursor.
	StaleMailboxes(now time.Time, after MailboxCursor, limit int) ([]MailboxCursor, error)
	// Holders returns the live sessions whose side is in the mailbox.
	Holders(MailboxKey) ([]Session, error)
	// SocketsSeen moves the mailboxes' SocketSeen forward, never back.
	SocketsSeen(keys []MailboxKey, at time.Time) error
}

// AttendanceTx is about what sides are told of each other.
type AttendanceTx interface {
	// WatchedMailboxes returns the keys of at most limit mailboxes that are watched, above after, sorted. It reads
	// nothing else of them, so that one that cannot be read does not hide the others.
	WatchedMailboxes(after MailboxKey, limit int) ([]MailboxKey, error)
	// WatchedIn returns the watched mailboxes with keys from first to last, in the order of their keys, for a View.
	WatchedIn(first, last MailboxKey) ([]Mailbox, error)
	// OwnersIn returns, for the sides that are in watched mailboxes with keys from first to last, the session that
	// began last with that side, live or ended. They may change before this transaction ends.
	OwnersIn(first, last MailboxKey) ([]Session, error)
	// MailboxesToExamine returns the watched mailboxes with keys from first to last in which a session has acknowledged
	// more than [AttendanceTx.Examined] says.
	MailboxesToExamine(first, last MailboxKey) ([]MailboxKey, error)
	// Progress returns how far the sessions that subscribe to the mailbox are, in the order of their keys.
	Progress(MailboxKey) ([]Progress, error)
	// Unacknowledged returns the position of the first message of the mailbox among a session's frames, from this one
	// on; 0 if there is none.
	Unacknowledged(m MailboxKey, k session.Key, from session.Seq) (Position, error)
	// Examined records that Progress was looked at when kept was the oldest frame that the session had not acknowledged.
	Examined(m MailboxKey, k session.Key, kept session.Seq) error
}

// NameplateTx is about nameplates.
type NameplateTx interface {
	Nameplate(AppID, NameplateID) (Nameplate, error)
	CreateNameplate(Nameplate) error
	// UpdateNameplate stores the nameplate. Claims are added and changed, never removed.
	UpdateNameplate(Nameplate) error
	// NameplatesOf returns the nameplates of the app on which the side has a claim that it has not
	// released.
	NameplatesOf(AppID, Side) ([]Nameplate, error)
	// CountNameplatesOf counts those nameplates.
	CountNameplatesOf(AppID, Side) (int, error)
	// CountClaimsFrom counts the claims from an address that stand, up to atMost. An address that stands for
	// an IPv6 network of 48 bits counts all from there.
	CountClaimsFrom(address string, atMost int) (int, error)
	// NameplatesTo returns the nameplates that point to a mailbox.
	NameplatesTo(MailboxKey) ([]Nameplate, error)
	// WaitingNameplates returns at most limit nameplates of the app that wait for a partner, sorted.
	WaitingNameplates(app AppID, limit int) ([]NameplateID, error)
	// RestNumber has TakenNumbers and TakenOf return a number until then, also while it is no nameplate.
	RestNumber(app AppID, number int, until time.Time) error
	// DeleteRested forgets at most limit numbers whose rest is over. It returns how many.
	DeleteRested(now time.Time, limit int) (int, error)
	// TakenNumbers returns the numbers from low to high that are nameplates of the app, sorted.
	TakenNumbers(app AppID, low, high int) ([]int, error)
	// TakenOf returns those of some numbers that are nameplates of the app.
	TakenOf(app AppID, numbers []int) ([]int, error)
	// RetireNameplate removes the nameplate with its claims, and records its usage.
	RetireNameplate(n Nameplate, u Usage) error
	// StaleNameplates returns at most limit nameplates whose StaleAt is at or before now, in the order
	// of (StaleAt, app, id), starting after the cursor.
	StaleNameplates(now time.Time, after NameplateCursor, limit int) ([]NameplateCursor, error)
}

// OperatorTx is about what operators look at. It may be slow.
type OperatorTx interface {
	// LiveSessions returns sessions that have not ended in storage, those that began last first.
	LiveSessions(SessionFilter) ([]Session, error)
	// UsageSince returns how the nameplates and mailboxes ended that began at a time or later, by day (the latest
	// first for each kind), app and result.
	UsageSince(time.Time) ([]UsageGroup, error)
	// VersionsSince returns how many clients connected at a time or later, by app and version, the most frequent
	// first and at most limit of them.
	VersionsSince(since time.Time, limit int) ([]VersionCount, error)
	// UsageTotals returns how many nameplates and mailboxes ended since the storage was made.
	UsageTotals() (UsageTotals, error)
	// UsageEndedSince returns how many nameplates and mailboxes ended at a time or later, of those whose usage
	// records are kept.
	UsageEndedSince(time.Time) (UsageTotals, error)
	// CountUsage adds at most limit usage records of each kind to the totals, so that they may be deleted. It returns
	// how many.
	CountUsage(limit int) (int, error)
	// Flaws returns at most limit flaws of a kind.
	Flaws(kind FlawKind, usage UsageKeeping, limit int) ([]Flaw, error)
	// MendRows mends a flaw that is about rows alone: it deletes rows that belong to nothing, or counts again.
	MendRows(Flaw) error
	// RecordServer stores a server, with its sign of life, and forgets those that were not seen since forget.
	RecordServer(s Server, forget time.Time) error
	// Servers returns at most limit servers, the one that was seen last first.
	Servers(limit int) ([]Server, error)
}

// DispatchTx is about what the webhooks of apps are still to be told.
type DispatchTx interface {
	// QueueDispatch stores a dispatch. If there is one for the mailbox, only Last, Reason and Retired change.
	QueueDispatch(Dispatch) error
	// DispatchesDue reports whether there are dispatches of the app that are due and not abandoned.
	DispatchesDue(AppID) (bool, error)
	// ClaimDispatches makes at most limit of them due at until, for the sender: those first that are due longest. It returns
	// their mailboxes. No two transactions get the same one.
	ClaimDispatches(app AppID, sender string, until time.Time, limit int) ([]MailboxKey, error)
	Dispatch(MailboxKey) (Dispatch, error)
	// UpdateDispatch stores everything but what is to be told.
	UpdateDispatch(Dispatch) error
	DeleteDispatch(MailboxKey) error
	// DeleteDispatches deletes at most limit dispatches whose Since is at or before a time. It returns how many.
	DeleteDispatches(before time.Time, limit int) (int, error)
	// ReviveDispatches makes those due that are abandoned, or wait after a failure.
	ReviveDispatches(now time.Time) error
	DispatchCounts() (DispatchCounts, error)
}

// Session is a session, and the app and side it belongs to.
type Session struct {
	Key     session.Key
	App     AppID
	Side    Side
	Address string // from where it was begun, for the limits by address
	Began   time.Time
	session.Record
}

// Subscriber is a session that subscribes to a mailbox.
type Subscriber struct {
	Key  session.Key
	Side Side
	Watch
}

// Reply is what a numbered command was answered with, and which command it was.
type Reply struct {
	Fingerprint [32]byte // of method, path and body
	Outcome     []byte
}

// Backlog is how much a session has not acknowledged.
type Backlog struct {
	Frames int64
	Bytes  int64
}

// StorageSize is the size of a database in bytes.
type StorageSize struct {
	Database int64
	Log      int64 // SQLite's write-ahead log; 0 on PostgreSQL
	Used     int64 // of Database, without what is free; 0 if the engine cannot tell
}

// Counts are how many of everything there are.
type Counts struct{ Nameplates, Mailboxes, Messages, Sessions int64 }

// MailboxCursor is a stale mailbox's place in the order of staleness.
type MailboxCursor struct {
	StaleAt time.Time
	Key     MailboxKey
}

// NameplateCursor is a stale nameplate's place in the order of staleness.
type NameplateCursor struct {
	StaleAt time.Time
	App     AppID
	ID      NameplateID
}

// SweepCursor is a session's place in the order in which sessions are pruned.
type SweepCursor struct {
	SweepAt time.Time
	Key     session.Key
}
