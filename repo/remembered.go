package repo

import (
	"context"
	"regexp"
	"slices"

	"restante/rendezvous"
	"restante/session"
)

// maxRemembered is how many rows of a kind are remembered. Where there are more, all are forgotten, and those that are
// in use are soon there again.
const maxRemembered = 10_000

// remembered are sessions, mailboxes and subscribers as the connection that writes a SQLite file has read or written them last, so
// that it does not read them again. Only that connection writes the file, so what it remembers is what its transaction would read:
//
//   - A statement that may write such a row has all rows of that kind forgotten (see [remembered.before]). The few that are
//     frequent do not: the methods that run them tell what they have changed.
//   - With a transaction that is rolled back, or ends in any other way than by a commit, everything is forgotten.
//   - So it is when another program has written the file.
//
// Some changes of such rows wait in [unwritten].
//
// A nil *remembered remembers nothing: that of connections that read, and of PostgreSQL, where others write, too.
type remembered struct {
	sessions    map[session.Key]rendezvous.Session
	live        map[session.Key]bool // of the sessions: those that are known to take frames
	mailboxes   map[rendezvous.MailboxKey]rendezvous.Mailbox
	keys        map[mailboxName]rendezvous.MailboxKey // of the mailboxes
	subscribers map[rendezvous.MailboxKey][]rendezvous.Subscriber
	subscribed  map[session.Key][]rendezvous.MailboxKey // where a session may be among the subscribers

	most        int               // normally the constant; a test has fewer
	effects     map[string]effect // of the statements that have run
	dataVersion int64             // changes when another program writes the file
	unwritten   unwritten
}

// mailboxName is how clients name a mailbox.
type mailboxName struct {
	app rendezvous.AppID
	id  rendezvous.MailboxID
}

// effect says which kinds of rows a statement may write.
type effect struct{ sessions, mailboxes, subscribers bool }

var everything = effect{sessions: true, mailboxes: true, subscribers: true}

func newRemembered() *remembered {
	r := &remembered{most: maxRemembered, effects: map[string]effect{}}
	r.forget()
	return r
}

// forget forgets everything, also what is unwritten.
func (r *remembered) forget() {
	if r != nil {
		r.forgetKinds(everything)
		r.unwritten = unwritten{}
	}
}

func (r *remembered) forgetKinds(e effect) {
	if e.sessions {
		r.sessions, r.live = map[session.Key]rendezvous.Session{}, map[session.Key]bool{}
	}
	if e.mailboxes {
		r.mailboxes, r.keys = map[rendezvous.MailboxKey]rendezvous.Mailbox{}, map[mailboxName]rendezvous.MailboxKey{}
	}
	if e.subscribers {
		r.subscribers, r.subscribed = map[rendezvous.MailboxKey][]rendezvous.Subscriber{}, map[session.Key][]rendezvous.MailboxKey{}
	}
}

// before forgets what a statement may change.
func (r *remembered) before(query string) {
	if r == nil {
		return
	}
	e, known := r.effects[query]
	if !known {
		e = effectOf(query)
		r.effects[query] = e
	}
	if e == everything { // a rollback, or what was written is not unwritten any more
		r.forget()
	} else if e != (effect{}) {
		r.forgetKinds(e)
	}
}

// frequent are the statements that forget nothing by themselves.
var frequent = map[string]bool{
	insertSession: true, insertOutbox: true, updateSession: true, deleteSubscriptionsOf: true, emptyOutbox: true, deleteSession: true,
	updateSeen: true, markUsed: true, countCommand: true,
	insertMessageWithReply: true, countCommandsInMessages: true, forgetChain: true,
	insertMailbox: true, updateMailbox: true, putSide: true, deleteMailbox: true, updateHeld: true, extendMailbox: true, extendAndKeepMailbox: true,
	insertSubscription: true, updateSubscription: true, deleteSubscription: true, updateExamined: true,
	numberFrame: true, numberMessages: true, numberMessagesFrom: true, beginEpoch: true, acknowledge: true,
}

var (
	// tables finds the tables that a statement names.
	tables = regexp.MustCompile(`\b(sessions|outboxes|mailboxes|mailbox_sides|subscriptions)\b`)
	// harmless matches what changes no row, and undoes what undoes changes.
	harmless = regexp.MustCompile(`^\s*(SELECT|BEGIN|COMMIT|SAVEPOINT|RELEASE|PRAGMA)\b`)
	undoes   = regexp.MustCompile(`^\s*ROLLBACK\b`)
)

// effectOf tells what a statement may change. It need not be exact in what it does not know: what only reads a table may
// count as a write.
func effectOf(query string) (e effect) {
	switch {
	case frequent[query], harmless.MatchString(query):
		return effect{}
	case undoes.MatchString(query):
		return everything
	}
	for _, table := range tables.FindAllString(query, -1) {
		switch table {
		case "sessions": // a subscription goes with its session
			e.sessions, e.subscribers = true, true
		case "outboxes":
			e.sessions = true
		case "mailboxes": // or with its mailbox
			e.mailboxes, e.subscribers = true, true
		case "mailbox_sides":
			e.mailboxes = true
		case "subscriptions":
			e.subscribers = true
		}
	}
	return e
}

func (r *remembered) session(k session.Key) (s rendezvous.Session, known bool) {
	if r == nil {
		return s, false
	}
	s, known = r.sessions[k]
	return s, known
}

// putSession remembers a session as it is stored.
func (r *remembered) putSession(s rendezvous.Session) {
	if r == nil {
		return
	}
	if len(r.sessions) >= r.most {
		r.forgetKinds(effect{sessions: true})
	}
	r.sessions[s.Key] = s
}

// changeSession changes a session, if it is remembered, as the database was changed.
func (r *remembered) changeSession(k session.Key, change func(*rendezvous.Session)) {
	if s, known := r.session(k); known {
		change(&s)
		r.sessions[k] = s
	}
}

func (r *remembered) forgetSession(k session.Key) {
	if r != nil {
		delete(r.sessions, k)
		delete(r.live, k)
	}
}

// isLive notes that a session takes frames.
func (r *remembered) isLive(k session.Key) {
	if _, known := r.session(k); known {
		r.live[k] = true
	}
}

func (r *remembered) mailbox(k rendezvous.MailboxKey) (m rendezvous.Mailbox, known bool) {
	if r == nil {
		return m, false
	}
	m, known = r.mailboxes[k]
	m.Sides = slices.Clone(m.Sides)
	return m, known
}

func (r *remembered) mailboxNamed(app rendezvous.AppID, id rendezvous.MailboxID) (m rendezvous.Mailbox, known bool) {
	if r == nil {
		return m, false
	}
	k, known := r.keys[mailboxName{app, id}]
	if !known {
		return m, false
	}
	return r.mailbox(k)
}

// putMailbox remembers a mailbox as it is stored.
func (r *remembered) putMailbox(m rendezvous.Mailbox) {
	if r == nil {
		return
	}
	if len(r.mailboxes) >= r.most {
		r.forgetKinds(effect{mailboxes: true})
	}
	m.Sides = slices.Clone(m.Sides)
	r.mailboxes[m.Key] = m
	r.keys[mailboxName{m.App, m.ID}] = m.Key
}

// changeMailbox changes a mailbox, if it is remembered, as the database was changed.
func (r *remembered) changeMailbox(k rendezvous.MailboxKey, change func(*rendezvous.Mailbox)) {
	if m, known := r.mailbox(k); known {
		change(&m)
		r.mailboxes[k] = m
	}
}

// forgetMailbox forgets a mailbox that is gone, with its subscribers.
func (r *remembered) forgetMailbox(k rendezvous.MailboxKey) {
	if m, known := r.mailbox(k); known {
		delete(r.mailboxes, k)
		delete(r.keys, mailboxName{m.App, m.ID})
	}
	r.forgetSubscribers(k)
}

func (r *remembered) subscribersOf(m rendezvous.MailboxKey) (list []rendezvous.Subscriber, known bool) {
	if r == nil {
		return nil, false
	}
	list, known = r.subscribers[m]
	return slices.Clone(list), known
}

// putSubscribers remembers who subscribes to a mailbox.
func (r *remembered) putSubscribers(m rendezvous.MailboxKey, list []rendezvous.Subscriber) {
	if r == nil {
		return
	}
	if len(r.subscribers) >= r.most || len(r.subscribed) >= r.most {
		r.forgetKinds(effect{subscribers: true})
	}
	r.subscribers[m] = slices.Clone(list)
	for _, s := range list {
		if at := r.subscribed[s.Key]; !slices.Contains(at, m) {
			r.subscribed[s.Key] = append(at, m)
		}
	}
}

func (r *remembered) forgetSubscribers(m rendezvous.MailboxKey) {
	if r == nil {
		return
	}
	for _, s := range r.subscribers[m] {
		r.subscribed[s.Key] = slices.DeleteFunc(r.subscribed[s.Key], func(at rendezvous.MailboxKey) bool { return at == m })
		if len(r.subscribed[s.Key]) == 0 {
			delete(r.subscribed, s.Key)
		}
	}
	delete(r.subscribers, m)
}

// forgetSubscriptions forgets the subscribers of the mailboxes to which a session subscribes.
func (r *remembered) forgetSubscriptions(k session.Key) {
	if r == nil {
		return
	}
	for _, m := range slices.Clone(r.subscribed[k]) {
		r.forgetSubscribers(m)
	}
}

// forgetIfChanged forgets everything if another program has written the file since this was called last. It is no statement of a
// transaction's, and so none that a hook sees.
func (c *conn) forgetIfChanged() error {
	const query = "PRAGMA data_version"
	if c.remembered == nil {
		return nil
	}
	version := int64(0)
	s, err := c.prepare(query) //nolint:sqlclosecheck // it is closed with the connection
	if err == nil {
		err = s.QueryRowxContext(context.Background()).Scan(&version)
	}
	if err != nil {
		return c.classify(err)
	}
	if version != c.remembered.dataVersion {
		c.remembered.forget()
		c.remembered.dataVersion = version
	}
	return nil
}
