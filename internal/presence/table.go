package presence

import (
	"runtime"
	"sync"
	"time"

	"restante/session"
)

const (
	// MaxLag is how far the stored sign of life of a session may lag behind the true one. A sign of
	// life that has not been written for so long must still be believed.
	MaxLag = time.Minute
	// WriteInterval is how often signs of life are written down.
	WriteInterval = 10 * time.Second
	// MaxUnsaved is how old the stored sign of life may be before a later one is written. Until that
	// is looked at again, WriteInterval passes, and another one is left for the writing itself.
	MaxUnsaved = MaxLag - 2*WriteInterval
)

// Table is what this process knows about clients, by session. The zero value is ready to use. A
// Table must not be copied.
type Table struct {
	mu       sync.Mutex              // guards the following fields
	clients  map[session.Key]*client // made on first use
	unsaved  map[session.Key]bool    // clients with an acknowledgement to write
	returned []session.Key           // clients that came back after a silence longer than the stored sign of life may lag
	notify   chan<- struct{}         // told when unsaved or returned get an entry; may be nil
}

// client is what is known of one session's client. Table.mu guards it.
type client struct {
	seen      time.Time // the last sign of life, unless there are polls
	stored    time.Time // the sign of life that is stored
	grace     time.Duration
	delivered time.Time // when frames were sent last
	read      time.Time // when the outbox was read in the storage last
	polls     int       // polls that are held; each is a standing sign of life
	commands  int       // commands that are not answered yet

	epoch    session.Epoch // of the acknowledgement
	acked    session.Seq
	decided  session.Epoch // a handshake that relied on what was acknowledged in this epoch may be under way; 0 if none
	latest   Decision      // of its handshakes
	swept    Decision      // the latest one when signs of life were taken last
	toldFull bool          // the client has been told that its window is full
	ended    bool          // its session is over
}

// Notify makes the table send on c, without blocking, when there is an acknowledgement or a returned
// client to write.
func (t *Table) Notify(c chan<- struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.notify = c
}

// client finds or makes a client; mu is held.
func (t *Table) client(k session.Key) *client {
	if t.clients == nil {
		t.clients, t.unsaved = map[session.Key]*client{}, map[session.Key]bool{}
	}
	c := t.clients[k]
	if c == nil {
		c = &client{}
		t.clients[k] = c
	}
	return c
}

// LastSeen returns the last sign of life, given the stored one. It is exact if only this process
// wrote it; otherwise it is the stored one plus [MaxLag]. It is never before the stored one.
func (t *Table) LastSeen(k session.Key, stored, now time.Time) time.Time {
	return t.LastSeenWithin(k, stored, now, MaxLag)
}

// LastSeenWithin is LastSeen of a session whose signs of life every process stores within lag.
func (t *Table) LastSeenWithin(k session.Key, stored, now time.Time, lag time.Duration) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.clients[k]
	switch {
	case c == nil || c.seen.IsZero() && c.polls == 0:
		return stored.Add(lag)
	case c.polls > 0:
		return now
	case stored.After(c.seen), stored.After(c.stored) && stored.Add(lag).After(c.seen):
		return stored.Add(lag) // another process stored it, or this one in a commit that it was not told of
	}
	return c.seen
}

// Touch records a sign of life. grace is how long the session survives without another one, beyond
// the silence that detaches it.
func (t *Table) Touch(k session.Key, now time.Time, grace time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.touch(k, t.client(k), now, grace)
}

// TouchKnown records a sign of life of a client that this process has seen before.
func (t *Table) TouchKnown(k session.Key, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.clients[k]; c != nil && !c.seen.IsZero() {
		t.touch(k, c, now, c.grace)
	}
}

// touch records a sign of life; mu is held. The first one after a long silence is written at once,
// because the stored one would be too old.
func (t *Table) touch(k session.Key, c *client, now time.Time, grace time.Duration) {
	if now.Sub(c.seen) > MaxUnsaved && now.Sub(c.stored) > MaxUnsaved {
		t.returned = append(t.returned, k)
		t.notifyLocked()
	}
	c.seen, c.grace = now, grace
}

func (t *Table) notifyLocked() {
	if t.notify != nil {
		select {
		case t.notify <- struct{}{}:
		default:
		}
	}
}

// Stored records that a sign of life is stored.
func (t *Table) Stored(k session.Key, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.clients[k]; c != nil && c.stored.Before(at) {
		c.stored = at
	}
}

// StartCommand counts a command as unanswered. It returns false if too many are: [session.Window].
func (t *Table) StartCommand(k session.Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.client(k)
	if c.commands >= session.Window {
		return false
	}
	c.commands++
	return true
}

// EndCommand counts a command as answered. Each successful [Table.StartCommand] needs one.
func (t *Table) EndCommand(k session.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.client(k)
	if c.commands--; c.commands == 0 && c.seen.IsZero() && c.polls == 0 {
		delete(t.clients, k) // there is no such session
	}
}

// Begin records that a session begins, or may. It forgets what was acknowledged in epochs of an earlier session with the same
// id: that one did nothing, so that its id may be used again. The caller must have locked the session, so that no other
// handshake decides.
func (t *Table) Begin(k session.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.clients[k]; c != nil {
		c.epoch, c.acked, c.decided = 0, 0, 0
		delete(t.unsaved, k)
	}
}

// Handshake records an accepted handshake. Its acknowledgement is stored, and acknowledgements of
// older epochs no longer count.
func (t *Table) Handshake(k session.Key, e session.Epoch, acked session.Seq, now time.Time, grace time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.client(k)
	c.seen, c.stored, c.grace, c.ended = now, now, grace, false
	if e >= c.epoch {
		c.epoch, c.acked, c.toldFull = e, acked, false
		if c.decided < e {
			c.decided = 0
		}
		delete(t.unsaved, k)
	}
}

// Acknowledge records that a client has processed every frame below upTo. It returns false, and
// records nothing, if a later epoch or a higher acknowledgement is known already, or if it is [Table.Contested].
func (t *Table) Acknowledge(k session.Key, e session.Epoch, upTo session.Seq) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.client(k)
	switch {
	case c.knowsBetter(e, upTo):
		return false
	case e == c.epoch && upTo == c.acked:
		return true
	case e <= c.decided:
		return false
	}
	c.epoch, c.acked = e, upTo
	t.unsaved[k] = true
	t.notifyLocked()
	return true
}

// knowsBetter reports whether a later epoch or a higher acknowledgement is known.
func (c *client) knowsBetter(e session.Epoch, upTo session.Seq) bool {
	return e < c.epoch || e == c.epoch && upTo < c.acked
}

// Acked returns the highest acknowledgement of an epoch, given the stored one.
func (t *Table) Acked(k session.Key, e session.Epoch, stored session.Seq) session.Seq {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.clients[k]; c != nil && c.epoch == e {
		return max(stored, c.acked)
	}
	return stored
}

// LastAcked returns the latest acknowledgement that this process knows of, in any epoch.
func (t *Table) LastAcked(k session.Key) session.Seq {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.clients[k]; c != nil {
		return c.acked
	}
	return 0
}

// StartPoll counts a poll as held until end is called. now is called at the start and at the end.
func (t *Table) StartPoll(k session.Key, now func() time.Time, grace time.Duration) (end func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.client(k)
	t.touch(k, c, now(), grace)
	c.polls++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		c.polls--
		c.seen = now()
	}
}

// Delivered records that frames were sent to a client.
func (t *Table) Delivered(k session.Key, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.clients[k]; c != nil {
		c.delivered = now
	}
}

// LastDelivery returns when this process sent frames to a client last; zero if it never did.
func (t *Table) LastDelivery(k session.Key) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.clients[k]; c != nil {
		return c.delivered
	}
	return time.Time{}
}

// Read records that a client's outbox was read in the storage.
func (t *Table) Read(k session.Key, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.clients[k]; c != nil {
		c.read = now
	}
}

// LastRead returns when this process read a client's outbox in the storage last; zero if it never did.
func (t *Table) LastRead(k session.Key) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.clients[k]; c != nil {
		return c.read
	}
	return time.Time{}
}

// WindowFull records whether a client's window is full. It returns true if the client is to be told:
// once each time the window becomes full.
func (t *Table) WindowFull(k session.Key, full bool) (tell bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.client(k)
	tell = full && !c.toldFull
	c.toldFull = full
	return tell
}

// End records that a client's session is over. What else is known of it may still be asked for.
func (t *Table) End(k session.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.clients[k]; c != nil {
		c.ended = true
	}
}

// CountAttached counts the clients that this process has seen, that are not silent, and whose sessions are not over.
func (t *Table) CountAttached(now time.Time, silence time.Duration) (n int64) {
	t.walk(func(_ session.Key, c *client) {
		if !c.ended && (c.polls > 0 || now.Before(c.seen.Add(silence))) {
			n++
		}
	})
	return n
}

// walkPiece is how many clients are looked at while all others wait for the table.
const walkPiece = 256

// walk calls f with each client; mu is held while f runs, and let go now and then. It may leave out clients that come
// meanwhile.
func (t *Table) walk(f func(session.Key, *client)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	looked := 0
	for k, c := range t.clients {
		f(k, c)
		if looked++; looked%walkPiece == 0 {
			t.mu.Unlock()
			runtime.Gosched() // has one that waits for mu go on
			t.mu.Lock()
		}
	}
}
