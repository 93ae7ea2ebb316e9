package rendezvous

import (
	"context"
	"time"

	"restante/session"
)

// A Store keeps everything, in transactions.
//
// It answers [ErrUnavailable] when the storage cannot be used and nothing was
// changed, and [ErrOutcomeUnknown] when a commit was sent and its outcome cannot be
// known. Every other error is the one that the function returned, or a fault.
type Store interface {
	// View runs f on a consistent snapshot that it cannot change.
	View(ctx context.Context, f func(Tx) error) error
	// Update runs f in a transaction and commits if f returns nil; if f fails or panics,
	// nothing of what it did is kept, and a panic is returned as an error. No other transaction
	// changes what f has loaded as one thing (a session, a mailbox with its sides, a nameplate
	// with its claims and its mailbox), or what it listed of a side, before this one has ended.
	// f may run twice: it must touch nothing but its Tx, and set, not add to, what it hands out.
	// When ctx ends before f has begun, f never runs. When it ends later, Update returns
	// ctx's error at once and the transaction goes on without the caller.
	Update(ctx context.Context, f func(Tx) error) error
	// Probe writes and commits something without meaning, to learn whether the storage can be used.
	Probe(ctx context.Context) error
}

// Tx is one transaction: what can be loaded and saved in it. It holds nouns, not
// rules. Methods that load a single thing answer [ErrNotFound] when there is none.
// A Tx is used by one goroutine and not after its function returned.
type Tx interface {
	// Now is the transaction's time, in whole milliseconds.
	Now() time.Time
	// AfterCommit has f run once this transaction has committed, also when its caller
	// has gone; never if it did not commit.
	AfterCommit(f func())

	SessionTx
	OutboxTx
	MailboxTx
	NameplateTx

	// RecordClients notes which clients came.
	RecordClients([]ClientVersion) error
	// Counts are how many of everything there are.
	Counts() (Counts, error)
	// Updated is the time of the last committed modification.
	Updated() (time.Time, error)
}

// SessionTx is about sessions and the replies that their commands got.
type SessionTx interface {
	Session(session.Key) (Session, error)
	// Sessions are those of the keys that there are, for a View.
	Sessions([]session.Key) ([]Session, error)
	// IdleSession is Session, unless another transaction has it: then it answers
	// [ErrNotFound], and not after a wait that could cross another one.
	IdleSession(session.Key) (Session, error)
	// SideOwner is the session, live or ended, that began last with this side.
	SideOwner(AppID, Side) (Session, error)
	// LiveSession is the session of this side that has not ended in storage.
	LiveSession(AppID, Side) (Session, error)
	// CreateSession stores a new session with an empty outbox.
	CreateSession(s Session, sweepAt time.Time) error
	// UpdateSession stores its record, except the frames' counters, which [OutboxTx]
	// keeps. sweepAt is when [SessionTx.SessionsToSweep] names it.
	UpdateSession(s Session, sweepAt time.Time) error
	// EmptySession removes what only a living session has: frames, replies, subscriptions.
	EmptySession(session.Key) error
	DeleteSession(session.Key) error
	// CountSessions counts an address's sessions that have (not) ended, up to atMost.
	CountSessions(address string, ended bool, atMost int) (int, error)
	// CountTombstones counts all ended sessions, up to atMost.
	CountTombstones(atMost int) (int, error)
	// OldestTombstone is the one of this address (of any, if empty) that ended first.
	OldestTombstone(address string) (session.Key, error)
	// SessionsToSweep are up to limit sessions whose sweepAt is at or before now, in
	// order of (sweepAt, key), from after the one named by the cursor.
	SessionsToSweep(now time.Time, after SweepCursor, limit int) ([]SweepCursor, error)
	// UpdateLastSeen moves the stored sign of life forward, never back, for sessions that live.
	UpdateLastSeen([]session.Sighting) error

	// Reply is the recorded reply to command n.
	Reply(k session.Key, n session.Seq) (Reply, error)
	// Complete counts command n as done, with its reply, marks the session as used, and
	// forgets the replies before the last [session.Window]. It fails if n is not the command that is wanted.
	Complete(k session.Key, n session.Seq, r Reply) error
	// MarkUsed notes that the session did something.
	MarkUsed(session.Key) error
}

// OutboxTx is about frames. A session's outbox is touched last in a
// transaction, and outboxes in the order of their keys, so that no two transactions wait for each other.
type OutboxTx interface {
	// Subscribe has the session sent what happens in the mailbox; it reports whether that is new.
	Subscribe(session.Key, MailboxKey) (bool, error)
	Unsubscribe(session.Key, MailboxKey) error
	// Subscribers are the sessions subscribed to a mailbox, in the order of their keys.
	Subscribers(MailboxKey) ([]Subscriber, error)
	// Send appends a frame to a session's outbox. encode gives its bytes for a number, and may be
	// asked for more than one; the number stands in them once, in decimal digits.
	Send(k session.Key, encode func(session.Seq) []byte) (Backlog, error)
	// Frames are the frames from from on, at most count, and at most size bytes but at least one.
	Frames(k session.Key, from session.Seq, count int, size int64) ([][]byte, error)
	// Backlog is what the session has not acknowledged.
	Backlog(session.Key) (Backlog, error)
	// Acknowledge forgets the frames that are acknowledged, if the epoch is still the session's; it never goes back.
	Acknowledge(...session.Ack) error
}

// MailboxTx is about mailboxes and their messages.
type MailboxTx interface {
	Mailbox(AppID, MailboxID) (Mailbox, error)
	MailboxByKey(MailboxKey) (Mailbox, error)
	// IdleMailbox is MailboxByKey, unless another transaction has it: then it answers [ErrNotFound].
	IdleMailbox(MailboxKey) (Mailbox, error)
	// CreateMailbox stores a new mailbox with its sides and gives it its key.
	CreateMailbox(Mailbox) (Mailbox, error)
	// UpdateMailbox stores everything but the messages; sides are added and changed, never removed.
	UpdateMailbox(Mailbox) error
	// MailboxesOf are the mailboxes of the app that the side is in, in the order of their keys.
	MailboxesOf(AppID, Side) ([]Mailbox, error)
	// CountMailboxesOf counts those mailboxes.
	CountMailboxesOf(AppID, Side) (int, error)
	// Append stores messages, at least one, and what they changed of their mailbox, as [Mailbox.Appended] gave it.
	Append(Mailbox, ...Message) error
	// Messages are those after a position, oldest first, at most count, and at most
	// size bytes of bodies but at least one.
	Messages(k MailboxKey, after Position, count int, size int64) ([]Message, error)
	// RetireMailbox removes it with its sides, messages and subscriptions, and records its usage.
	// No nameplate may point to it any more.
	RetireMailbox(m Mailbox, u Usage) error
	// StaleMailboxes are up to limit mailboxes whose StaleAt is at or before now, in
	// order of (StaleAt, key), from after the one named by the cursor.
	StaleMailboxes(now time.Time, after MailboxCursor, limit int) ([]MailboxCursor, error)
	// Holders are the live sessions whose side is in the mailbox.
	Holders(MailboxKey) ([]Session, error)
	// SocketsSeen moves the mailboxes' Held forward, never back.
	SocketsSeen(keys []MailboxKey, at time.Time) error
}

// NameplateTx is about nameplates.
type NameplateTx interface {
	Nameplate(AppID, NameplateID) (Nameplate, error)
	CreateNameplate(Nameplate) error
	// UpdateNameplate stores it; claims are added and changed, never removed.
	UpdateNameplate(Nameplate) error
	// NameplatesOf are the nameplates of the app on which the side has a claim that it has not released.
	NameplatesOf(AppID, Side) ([]Nameplate, error)
	// CountNameplatesOf counts those nameplates.
	CountNameplatesOf(AppID, Side) (int, error)
	// NameplatesTo are the nameplates that point to a mailbox.
	NameplatesTo(MailboxKey) ([]Nameplate, error)
	// WaitingNameplates are up to limit nameplates of the app that wait for a partner, sorted.
	WaitingNameplates(app AppID, limit int) ([]NameplateID, error)
	// TakenNumbers are the numbers from low to high that are nameplates of the app, sorted.
	TakenNumbers(app AppID, low, high int) ([]int, error)
	// TakenOf are those of some numbers that are nameplates of the app.
	TakenOf(app AppID, numbers []int) ([]int, error)
	// RetireNameplate removes it with its claims, and records its usage.
	RetireNameplate(n Nameplate, u Usage) error
	// StaleNameplates are up to limit nameplates whose StaleAt is at or before now, in
	// order of (StaleAt, app, id), from after the one named by the cursor.
	StaleNameplates(now time.Time, after NameplateCursor, limit int) ([]NameplateCursor, error)
}

// Session is a session and whose it is.
type Session struct {
	Key     session.Key
	App     AppID
	Side    Side
	Address string // where it was begun from, for the limits by address
	Began   time.Time
	session.Record
}

// Subscriber is a session that subscribes to a mailbox.
type Subscriber struct {
	Key  session.Key
	Side Side
}

// Reply is what a numbered command was answered with, and which command it was.
type Reply struct {
	Fingerprint [32]byte // of method, path and body
	Outcome     []byte
}

// Backlog is what a session has not acknowledged.
type Backlog struct {
	Frames int64
	Bytes  int64
}

// Counts are how many of everything there are.
type Counts struct{ Nameplates, Mailboxes, Messages, Sessions int64 }

// MailboxCursor names a stale mailbox and its place in the order of staleness.
type MailboxCursor struct {
	StaleAt time.Time
	Key     MailboxKey
}

// NameplateCursor names a stale nameplate and its place in the order of staleness.
type NameplateCursor struct {
	StaleAt time.Time
	App     AppID
	ID      NameplateID
}

// SweepCursor names a session to sweep and its place in the order of sweeping.
type SweepCursor struct {
	SweepAt time.Time
	Key     session.Key
}
