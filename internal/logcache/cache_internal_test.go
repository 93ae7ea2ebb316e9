package logcache

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// line is an entry of a log in these tests.
type line int64

func (l line) LogEntry() (number line, size int) { return l, 1 << 10 }

// history is a log, the cache that is told of it, and what that cache may know.
type history struct {
	cache     Cache[string, line, line, string]
	committed line
	pending   []line // committed and not appended to the cache yet
	appended  line   // the highest that was appended
	meta      string // as it is stored

	version uint64 // of a lookup that is under way
	looked  bool
	saw     line
	sawMeta string
}

func (h *history) commit() {
	h.committed++
	h.pending = append(h.pending, h.committed)
}

// What the cache knows is a part of the log without a gap, up to the newest entry that was appended,
// in whatever order the transactions commit and whatever is invalidated meanwhile.
func TestWhatIsKnownIsTrue(t *testing.T) {
	t.Parallel()
	hits := 0
	rapid.Check(t, func(t *rapid.T) {
		h := &history{meta: "0"}
		release := h.cache.Retain("log")
		t.Repeat(map[string]func(*rapid.T){
			"commit": func(*rapid.T) { h.commit() },
			"append": func(t *rapid.T) {
				if len(h.pending) == 0 {
					h.commit()
				}
				i := 0
				if rapid.IntRange(0, 9).Draw(t, "order") == 0 {
					i = rapid.IntRange(0, len(h.pending)-1).Draw(t, "which")
				}
				n := h.pending[i]
				h.pending = append(h.pending[:i:i], h.pending[i+1:]...)
				h.cache.Append("log", n)
				h.appended = max(h.appended, n)
			},
			"append several": func(*rapid.T) {
				if len(h.pending) > 0 {
					return
				}
				h.cache.Append("log", h.committed+1, h.committed+2)
				h.committed += 2
				h.appended = h.committed
			},
			"look up": func(*rapid.T) {
				h.version, h.looked, h.saw, h.sawMeta = h.cache.Version("log"), true, h.committed, h.meta
			},
			"fill": func(*rapid.T) {
				if h.looked {
					h.cache.Fill("log", h.version, h.saw, h.sawMeta)
				}
			},
			"change": func(*rapid.T) {
				h.meta += "'"
				h.cache.Invalidate("log")
			},
			"update meta": func(*rapid.T) {
				h.meta += "+"
				h.cache.UpdateMeta("log", func(m *string) { *m += "+" })
			},
			"evict": func(*rapid.T) { h.cache.Evict() },
			"release and retain": func(*rapid.T) {
				release()
				release = h.cache.Retain("log")
			},
			"invalidate all": func(*rapid.T) { h.cache.InvalidateAll() },
			"": func(t *rapid.T) {
				if last, meta, known := h.cache.Last("log"); known && (meta != h.meta || last > h.committed) {
					t.Fatalf("the cache knows %q, up to %d; the log is %q, up to %d", meta, last, h.meta, h.committed)
				}
				n := line(rapid.Int64Range(0, int64(h.committed)).Draw(t, "after"))
				entries, known := h.cache.After("log", n)
				if !known {
					return
				}
				hits++
				for i, e := range entries {
					if e != n+line(i)+1 {
						t.Fatalf("after %d come %v", n, entries)
					}
				}
				if end := n + line(len(entries)); end < h.appended || end > h.committed {
					t.Fatalf("after %d come %v, but %d was appended and the log has %d", n, entries, h.appended, h.committed)
				}
			},
		})
	})
	if hits == 0 {
		t.Error("the cache never knew anything")
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	t.Parallel()
	var c Cache[string, line, line, struct{}]
	c.Append("not retained", 1)
	c.Fill("not retained", c.Version("not retained"), 0, struct{}{})
	for i := range 1000 {
		k := fmt.Sprint(i)
		defer c.Retain(k)()
		c.Fill(k, c.Version(k), 0, struct{}{})
		for n := range line(300) {
			c.Append(k, n+1)
		}
		if _, known := c.After(k, 300); !known && c.bytes > 0 {
			t.Fatal("the cache forgot what was appended last")
		}
		if c.bytes > maxBytes || c.tails[k].bytes > maxLogBytes {
			t.Fatalf("the cache holds %d bytes, of one log %d", c.bytes, c.tails[k].bytes)
		}
	}
	if _, known := c.After("not retained", 0); known {
		t.Error("the cache remembers a log that is not retained")
	}
	release := c.Retain("unknown")
	release()
	if _, there := c.tails["unknown"]; there {
		t.Error("the cache keeps a place for a log of which it knows nothing")
	}
}

func TestAReleasedLogIsForgottenAfterAWhile(t *testing.T) {
	t.Parallel()
	var c Cache[string, line, line, struct{}]
	release := c.Retain("log")
	c.Fill("log", c.Version("log"), 0, struct{}{})
	c.Append("log", 1)
	release()
	c.Evict()
	if _, known := c.After("log", 0); !known {
		t.Error("the log is forgotten at once")
	}
	c.Evict()
	if _, known := c.After("log", 0); known || c.bytes != 0 || len(c.tails) != 0 {
		t.Error("the log is not forgotten")
	}
}
