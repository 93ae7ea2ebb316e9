// Package logcache remembers the ends of append-only logs in memory, so that a reader which was
// woken by a transaction of this process need not ask the storage what that transaction wrote.
//
// A [Cache] is never the only place where something is. What it does not know for certain, it
// reports as unknown, and the caller reads the storage.
//
// The entries of a log are numbered without gaps, in the order of their commits, and never change.
// A reader looks a log up in the storage and tells the cache how long it is ([Cache.Version], then
// [Cache.Fill]); so does a transaction that locks the log ([Cache.Track], then Fill). From then on
// every writer appends its entries ([Cache.Append]) after its transaction has committed and before
// it wakes the readers. So the cache holds everything that a reader was woken for, unless another
// process appended to the log. The news of that invalidates the log ([Cache.Invalidate]).
//
// The package must not know what the entries are. It imports the standard library only.
package logcache

import "sync"

const (
	// maxLogBytes bounds what is remembered of one log.
	maxLogBytes = 256 << 10
	// maxBytes bounds what is remembered of all logs together. At the bound, everything is forgotten.
	maxBytes = 64 << 20
)

// Entry is an entry of a log.
type Entry[N ~int64] interface {
	// LogEntry returns the entry's number in its log and its size in bytes.
	LogEntry() (number N, size int)
}

// Cache remembers the ends of the logs that are retained. Meta is what else is known of a log; it
// holds until the log is invalidated. The zero value is ready to use. A Cache must not be copied.
type Cache[K comparable, N ~int64, E Entry[N], Meta any] struct {
	mu      sync.Mutex // guards the following fields
	tails   map[K]*tail[N, E, Meta]
	bytes   int // of all tails
	version uint64
}

// tail is the end of a log.
type tail[N ~int64, E Entry[N], Meta any] struct {
	users   int
	unused  bool   // there was no user at the last [Cache.Evict]
	version uint64 // changes with each change of the log
	filled  bool   // the following fields are known
	meta    Meta
	last    N   // the number of the newest entry
	entries []E // the entries up to last, without a gap
	bytes   int
}

// Retain makes the cache remember a log until release is called, and for a while longer.
func (c *Cache[K, N, E, M]) Retain(k K) (release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tracked(k)
	t.users++
	t.unused = false
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if t.users--; t.users == 0 && !t.filled {
			delete(c.tails, k)
		}
	}
}

// tracked returns the end of a log, of which nothing may be known. mu is held.
func (c *Cache[K, N, E, M]) tracked(k K) *tail[N, E, M] {
	if c.tails == nil {
		c.tails = map[K]*tail[N, E, M]{}
	}
	t := c.tails[k]
	if t == nil {
		t = &tail[N, E, M]{}
		c.tails[k] = t
		c.changed(t)
	}
	return t
}

// Evict forgets the logs that have not been retained since the last call of Evict.
func (c *Cache[K, N, E, M]) Evict() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, t := range c.tails {
		if t.unused {
			c.empty(t)
			delete(c.tails, k)
		}
		t.unused = t.users == 0
	}
}

// Append adds entries, at least one, to the end of a log. Call it after the transaction that wrote
// them has committed.
func (c *Cache[K, N, E, M]) Append(k K, entries ...E) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tails[k]
	if t == nil {
		return
	}
	first, _ := entries[0].LogEntry()
	switch {
	case t.filled && first <= t.last:
		return // the lookup that filled the log saw these entries already
	case t.filled && first > t.last+1:
		c.empty(t) // a transaction that committed earlier appends later
	}
	c.changed(t)
	if !t.filled {
		return
	}
	for _, e := range entries {
		n, size := e.LogEntry()
		t.last = n
		t.entries = append(t.entries, e)
		t.bytes += size
		c.bytes += size
	}
	for t.bytes > maxLogBytes {
		_, size := t.entries[0].LogEntry()
		t.entries = t.entries[1:]
		t.bytes -= size
		c.bytes -= size
	}
	if c.bytes > maxBytes {
		c.emptyAll()
	}
}

// After returns the entries after number n. If known is false, they have to be looked up.
func (c *Cache[K, N, E, M]) After(k K, n N) (entries []E, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tails[k]
	if t == nil || !t.filled || n > t.last || n < t.last-N(len(t.entries)) {
		return nil, false
	}
	return t.entries[len(t.entries)-int(t.last-n):], true
}

// Version returns the version of a log, for [Cache.Fill]. Call it before looking the log up.
func (c *Cache[K, N, E, M]) Version(k K) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.tails[k]; t != nil {
		return t.version
	}
	return 0
}

// Track is [Cache.Version] for a log that need not be retained. A transaction that has locked the log may call it, and
// Fill after its commit with what it saw or wrote.
func (c *Cache[K, N, E, M]) Track(k K) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tracked(k).version
}

// Fill stores what was looked up: the number of the last entry, and what else is known of the log.
// If the log has changed since it had the given version, Fill does nothing. What was known before
// and differs from what was looked up is forgotten: the news of it was lost.
func (c *Cache[K, N, E, M]) Fill(k K, version uint64, last N, meta M) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tails[k]
	if t == nil || t.version != version {
		return
	}
	if t.filled && t.last != last {
		c.empty(t)
	}
	t.filled, t.last, t.meta = true, last, meta
}

// Last returns the number of the newest entry, and what else is known of the log.
func (c *Cache[K, N, E, M]) Last(k K) (last N, meta M, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.tails[k]; t != nil {
		return t.last, t.meta, t.filled
	}
	return last, meta, false
}

// UpdateMeta changes what else is known of a log.
func (c *Cache[K, N, E, M]) UpdateMeta(k K, change func(*M)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.tails[k]; t != nil {
		c.changed(t)
		change(&t.meta)
	}
}

// Invalidate forgets what is known of a log. Call it when the log may have changed in a way that
// this process does not know.
func (c *Cache[K, N, E, M]) Invalidate(k K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.tails[k]; t != nil {
		c.empty(t)
	}
}

// InvalidateAll forgets what is known of all logs.
func (c *Cache[K, N, E, M]) InvalidateAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.emptyAll()
}

func (c *Cache[K, N, E, M]) emptyAll() {
	for _, t := range c.tails {
		c.empty(t)
	}
}

// empty forgets all of a tail. A slice of its entries that was returned stays valid.
func (c *Cache[K, N, E, M]) empty(t *tail[N, E, M]) {
	var zero M
	c.bytes -= t.bytes
	t.entries, t.bytes, t.filled, t.meta = nil, 0, false, zero
	c.changed(t)
}

// changed gives a tail a version that no tail had before.
func (c *Cache[K, N, E, M]) changed(t *tail[N, E, M]) {
	c.version++
	t.version = c.version
}
