package logcache

import (
	"fmt"
	"iter"
	"slices"
	"sync"
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

// lookUp begins to look at the log as it is stored, and fill tells the cache what was seen.
func (h *history) lookUp() {
	h.version, h.looked, h.saw, h.sawMeta = h.cache.Version("log"), true, h.committed, h.meta
}

func (h *history) fill() {
	if h.looked {
		h.cache.Fill("log", h.version, h.saw, h.sawMeta)
	}
}

// append appends an entry that was committed.
func (h *history) append(n line) {
	h.cache.Append("log", n)
	h.appended = max(h.appended, n)
}

// check returns what is wrong with what the cache knows of the log after an entry, or "", and whether it knows anything.
func (h *history) check(after line) (wrong string, known bool) {
	if last, meta, known := h.cache.Last("log"); known && (meta != h.meta || last > h.committed) {
		return fmt.Sprintf("the cache knows %q, up to %d; the log is %q, up to %d", meta, last, h.meta, h.committed), true
	}
	entries, known := h.cache.After("log", after)
	if !known {
		return "", false
	}
	for i, e := range entries {
		if e != after+line(i)+1 {
			return fmt.Sprintf("after %d come %v", after, entries), true
		}
	}
	if end := after + line(len(entries)); end < h.appended || end > h.committed {
		return fmt.Sprintf("after %d come %v, but %d was appended and the log has %d", after, entries, h.appended, h.committed), true
	}
	return "", true
}

// TestEveryOrderOfAppends goes through all orders in which five entries can be appended, with a look at the log
// that begins before any of them and ends before any of those that follow.
func TestEveryOrderOfAppends(t *testing.T) {
	t.Parallel()
	const entries = 5
	hits, cases := 0, 0
	for order := range orders(entries) {
		for begin := range entries + 1 {
			for end := begin; end <= entries; end++ {
				cases++
				h := &history{meta: "0"}
				release := h.cache.Retain("log")
				for step := range entries + 1 {
					if step == begin {
						h.lookUp()
					}
					if step == end {
						h.fill()
					}
					if step < entries {
						h.committed = max(h.committed, order[step])
						h.append(order[step])
					}
					for after := range h.committed + 1 {
						wrong, known := h.check(after)
						if wrong != "" {
							t.Fatalf("appended in the order %v, a look from before %d to before %d, step %d: %s", order, begin, end, step, wrong)
						}
						if known {
							hits++
						}
					}
				}
				release()
			}
		}
	}
	if hits < cases/2 {
		t.Errorf("in %d cases, the cache knew something only %d times", cases, hits)
	}
}

// orders are those of the entries from 1 to n.
func orders(n int) iter.Seq[[]line] {
	return func(yield func([]line) bool) {
		order := make([]line, 0, n)
		var extend func() bool
		extend = func() bool {
			if len(order) == n {
				return yield(order)
			}
			for e := range line(n) {
				if slices.Contains(order, e+1) {
					continue
				}
				order = append(order, e+1)
				if !extend() {
					return false
				}
				order = order[:len(order)-1]
			}
			return true
		}
		extend()
	}
}

// What the cache knows is a part of the log without a gap, up to the newest entry that was appended,
// in whatever order the transactions commit and whatever is invalidated meanwhile.
func TestWhatIsKnownIsTrue(t *testing.T) {
	t.Parallel()
	hits := 0
	rapid.Check(t, func(t *rapid.T) {
		h := &history{meta: "0"}
		release := sync.OnceFunc(h.cache.Retain("log"))
		h.lookUp()
		h.fill() // or most histories are over before the cache knows anything
		t.Repeat(map[string]func(*rapid.T){
			"commit": func(*rapid.T) {
				h.commit()
				h.commit() // or there is nothing to overtake
			},
			"append": func(t *rapid.T) {
				if len(h.pending) == 0 {
					h.commit()
				}
				i := 0
				if rapid.Bool().Draw(t, "overtakes") {
					i = rapid.IntRange(0, len(h.pending)-1).Draw(t, "which")
				}
				n := h.pending[i]
				h.pending = append(h.pending[:i:i], h.pending[i+1:]...)
				h.append(n)
			},
			"append several": func(*rapid.T) {
				if len(h.pending) > 0 {
					return
				}
				h.cache.Append("log", h.committed+1, h.committed+2)
				h.committed += 2
				h.appended = h.committed
			},
			"look up": func(*rapid.T) { h.lookUp() },
			"track": func(*rapid.T) {
				h.version, h.looked, h.saw, h.sawMeta = h.cache.Track("log"), true, h.committed, h.meta
			},
			"fill": func(*rapid.T) { h.fill() },
			"change": func(*rapid.T) {
				h.meta += "'"
				h.cache.Invalidate("log")
			},
			"update meta": func(*rapid.T) {
				h.meta += "+"
				h.cache.UpdateMeta("log", func(m *string) { *m += "+" })
			},
			"evict":   func(*rapid.T) { h.cache.Evict() },
			"release": func(*rapid.T) { release() },
			"retain": func(*rapid.T) {
				release()
				release = sync.OnceFunc(h.cache.Retain("log"))
			},
			"invalidate all": func(*rapid.T) { h.cache.InvalidateAll() },
			"": func(t *rapid.T) {
				n := line(rapid.Int64Range(0, int64(h.committed)).Draw(t, "after"))
				wrong, known := h.check(n)
				if wrong != "" {
					t.Fatal(wrong)
				}
				if known {
					hits++
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
