package memstore

import (
	"bytes"
	"cmp"
	"maps"
	"time"

	"restante/rendezvous"
	"restante/session"
)

// tables are all tables. A copy of the struct is a snapshot.
type tables struct {
	sessions   table[session.Key, *sessionRow]
	mailboxes  table[rendezvous.MailboxKey, *mailboxRow]
	logs       table[rendezvous.MailboxKey, *logRow] // of mailboxes, also of retired ones
	nameplates table[nameplateKey, *nameplateRow]
	rested     table[restedKey, *restedRow]
	replies    table[[32]byte, *replyRow] // under idempotency keys
	dispatches table[rendezvous.MailboxKey, *dispatchRow]
	servers    table[string, *serverRow]
	keys       table[int64, *keyRow] // for addresses

	records  []record // of usage
	clients  []rendezvous.ClientVersion
	totals   rendezvous.UsageTotals // never changed: replaced
	lastKey  rendezvous.MailboxKey
	lastTurn int64
	updated  time.Time
}

// sessionRow is a session with its outbox.
type sessionRow struct {
	made
	rendezvous.Session
	sweepAt time.Time
	turn    int64 // rises with each session that begins
	live    bool  // the outbox takes frames
	backlog rendezvous.Backlog
	outbox  []entry
	replies []numberedReply
}

// entry is a frame, or a run of messages of a log. It is never changed.
type entry struct {
	seq     session.Seq
	count   int64
	mailbox rendezvous.MailboxKey // 0 for a frame
	first   rendezvous.Position
	payload []byte
}

func (e entry) end() session.Seq { return e.seq + session.Seq(e.count) }

type numberedReply struct {
	seq session.Seq
	rendezvous.Reply
}

// mailboxRow is a mailbox with its subscriptions, in the order of the sessions' keys.
type mailboxRow struct {
	made
	rendezvous.Mailbox
	subscribers []subscriber
	stored      []rendezvous.AddressBytes
}

type subscriber struct {
	key      session.Key
	watch    rendezvous.Watch
	examined session.Seq
}

// logRow is the messages of a mailbox.
type logRow struct {
	made
	key      rendezvous.MailboxKey
	id       rendezvous.MailboxID
	retired  bool
	messages []rendezvous.Message // never changed: more are appended, and the first are cut off
	stored   []rendezvous.AddressBytes
}

type nameplateKey struct {
	app rendezvous.AppID
	id  rendezvous.NameplateID
}

type nameplateRow struct {
	made
	rendezvous.Nameplate
}

type restedKey struct {
	app    rendezvous.AppID
	number int
}

type restedRow struct {
	made
	restedKey
	until time.Time
}

type replyRow struct {
	made
	id [32]byte
	rendezvous.Reply
	until  time.Time
	counts rendezvous.AddressBytes
}

type dispatchRow struct {
	made
	rendezvous.Dispatch
}

type serverRow struct {
	made
	rendezvous.Server
}

type keyRow struct {
	made
	day    int64
	secret []byte
}

// record is a usage record.
type record struct {
	rendezvous.Usage
	kind    rendezvous.Kind
	counted bool
}

func newTables() tables {
	t := tables{updated: time.UnixMilli(0)}
	t.sessions.key, t.sessions.compare = func(r *sessionRow) session.Key { return r.Key }, func(a, b session.Key) int { return bytes.Compare(a[:], b[:]) }
	t.mailboxes.key, t.mailboxes.compare = func(r *mailboxRow) rendezvous.MailboxKey { return r.Key }, cmp.Compare[rendezvous.MailboxKey]
	t.logs.key, t.logs.compare = func(r *logRow) rendezvous.MailboxKey { return r.key }, cmp.Compare[rendezvous.MailboxKey]
	t.nameplates.key = func(r *nameplateRow) nameplateKey { return nameplateKey{r.App, r.ID} }
	t.nameplates.compare = func(a, b nameplateKey) int { return cmp.Or(cmp.Compare(a.app, b.app), cmp.Compare(a.id, b.id)) }
	t.rested.key = func(r *restedRow) restedKey { return r.restedKey }
	t.rested.compare = func(a, b restedKey) int { return cmp.Or(cmp.Compare(a.app, b.app), cmp.Compare(a.number, b.number)) }
	t.replies.key, t.replies.compare = func(r *replyRow) [32]byte { return r.id }, func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) }
	t.dispatches.key, t.dispatches.compare = func(r *dispatchRow) rendezvous.MailboxKey { return r.Mailbox }, cmp.Compare[rendezvous.MailboxKey]
	t.servers.key, t.servers.compare = func(r *serverRow) string { return r.ID }, cmp.Compare[string]
	t.keys.key, t.keys.compare = func(r *keyRow) int64 { return r.day }, cmp.Compare[int64]
	return t
}

// count adds to the totals.
func (t *tables) count(of rendezvous.UsageTotal) {
	totals := maps.Clone(t.totals)
	if totals == nil {
		totals = rendezvous.UsageTotals{}
	}
	totals[of]++
	t.totals = totals
}
