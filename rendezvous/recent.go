package rendezvous

import (
	"sync"

	"restante/session"
)

const (
	// recentBytes bounds what is remembered of one log, and of all: when that is reached, all is
	// forgotten.
	recentBytes    = 256 << 10
	recentAllBytes = 64 << 20
)

// recent remembers the ends of logs that somebody follows here, so that who is woken
// by a transaction of this process need not ask the storage what it wrote. It is never the only
// place where something is: whatever it does not know for certain, it does not know.
//
// A log's entries are numbered densely, in the order of their commits, and never change.
// Somebody looks it up, and knows how long it is; then entries are put, after their transactions
// have committed and before those who wait are woken. So what is remembered after a number is all
// that anybody was woken for, unless another process added more; its news of that has the log forgotten.
//
// About is what else is known of a log, which holds until the log is forgotten.
type recent[K comparable, N ~int64, E entry[N], About any] struct {
	mu    sync.Mutex
	tails map[K]*tail[N, E, About]
	bytes int // of all tails
	clock uint64
}

// entry is what has a number and a size.
type entry[N ~int64] interface {
	entry() (number N, size int)
}

// tail is the end of a log.
type tail[N ~int64, E entry[N], About any] struct {
	followers int
	left      bool   // nobody followed it at the last sweep
	version   uint64 // another one after each change
	known     bool   // what follows is
	about     About
	last      N   // the number of the newest entry
	entries   []E // those up to last, without a gap
	bytes     int
}

// follow has a log remembered until it is let go of, and for a while longer.
func (r *recent[K, N, E, A]) follow(k K) (letGo func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tails == nil {
		r.tails = map[K]*tail[N, E, A]{}
	}
	t := r.tails[k]
	if t == nil {
		t = &tail[N, E, A]{}
		r.tails[k] = t
		r.change(t)
	}
	t.followers++
	t.left = false
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if t.followers--; t.followers == 0 && !t.known {
			delete(r.tails, k)
		}
	}
}

// sweep forgets the logs that nobody has followed since the last sweep.
func (r *recent[K, N, E, A]) sweep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, t := range r.tails {
		if t.left {
			r.empty(t)
			delete(r.tails, k)
		}
		t.left = t.followers == 0
	}
}

// put adds entries to the end of a log.
func (r *recent[K, N, E, A]) put(k K, entries ...E) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tails[k]
	if t == nil {
		return
	}
	first, _ := entries[0].entry()
	switch {
	case t.known && first <= t.last:
		return // whoever looked it up saw that already
	case t.known && first > t.last+1:
		r.empty(t) // a transaction that committed before comes here later
	}
	r.change(t)
	if !t.known {
		return
	}
	for _, e := range entries {
		n, size := e.entry()
		t.last = n
		t.entries = append(t.entries, e)
		t.bytes += size
		r.bytes += size
	}
	for t.bytes > recentBytes {
		_, size := t.entries[0].entry()
		t.entries = t.entries[1:]
		t.bytes -= size
		r.bytes -= size
	}
	if r.bytes > recentAllBytes {
		r.emptyAll()
	}
}

// after are the entries after number n. known is false if they have to be looked up.
func (r *recent[K, N, E, A]) after(k K, n N) (entries []E, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tails[k]
	if t == nil || !t.known || n > t.last || n < t.last-N(len(t.entries)) {
		return nil, false
	}
	return t.entries[len(t.entries)-int(t.last-n):], true
}

// version is for know. Ask for it before looking the log up.
func (r *recent[K, N, E, A]) version(k K) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.tails[k]; t != nil {
		return t.version
	}
	return 0
}

// know takes in what was looked up: the number of the last entry, and what else there is
// to know. If the log has changed since it had that version, it is old news.
func (r *recent[K, N, E, A]) know(k K, version uint64, last N, about A) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tails[k]
	if t == nil || t.version != version || t.known {
		return
	}
	t.known, t.last, t.about = true, last, about
}

// knows is what know took in, and what was put since.
func (r *recent[K, N, E, A]) knows(k K) (last N, about A, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.tails[k]; t != nil {
		return t.last, t.about, t.known
	}
	return last, about, false
}

// note changes what else is known of a log.
func (r *recent[K, N, E, A]) note(k K, change func(*A)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.tails[k]; t != nil {
		r.change(t)
		change(&t.about)
	}
}

// forget forgets a log: something has happened to it that is not known here.
func (r *recent[K, N, E, A]) forget(k K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.tails[k]; t != nil {
		r.empty(t)
	}
}

// forgetAll forgets all logs.
func (r *recent[K, N, E, A]) forgetAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.emptyAll()
}

func (r *recent[K, N, E, A]) emptyAll() {
	for _, t := range r.tails {
		r.empty(t)
	}
}

// empty forgets all of a tail. Who was handed some of its entries keeps them.
func (r *recent[K, N, E, A]) empty(t *tail[N, E, A]) {
	var nothing A
	r.bytes -= t.bytes
	t.entries, t.bytes, t.known, t.about = nil, 0, false, nothing
	r.change(t)
}

// change gives a tail another version, which none ever had.
func (r *recent[K, N, E, A]) change(t *tail[N, E, A]) {
	r.clock++
	t.version = r.clock
}

// logs are the messages of the mailboxes that sockets follow here.
type logs = recent[MailboxKey, Position, Message, struct{}]

func (m Message) entry() (number Position, size int) { return m.Position, len(m.Body) }

// outboxes are the frames of the sessions that receive here, and the sessions, of which
// Next is not to be looked at: the last frame tells.
type outboxes = recent[session.Key, session.Seq, sent, Session]

// sent is a frame as it was numbered, and is sent.
type sent struct {
	seq     session.Seq
	payload []byte
}

func (f sent) entry() (number session.Seq, size int) { return f.seq, len(f.payload) }
