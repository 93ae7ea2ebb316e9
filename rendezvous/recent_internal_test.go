package rendezvous

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// line is an entry of a log in these tests.
type line int64

func (l line) entry() (number line, size int) { return l, 1 << 10 }

// history is a log, what has come of it to a recent, and what may be known of it.
type history struct {
	recent    recent[string, line, line, string]
	committed line
	waiting   []line // committed, and not put yet
	put       line   // the highest that was put
	about     string // as it is stored

	version uint64 // of a look that is under way
	looked  bool
	saw     line
	sawWhat string
}

func (h *history) commit() {
	h.committed++
	h.waiting = append(h.waiting, h.committed)
}

// Whatever order transactions come in, and whatever is forgotten meanwhile: what is
// known of a log is a part of it without a gap, up to the newest that anybody was woken for.
func TestWhatIsRememberedIsTrue(t *testing.T) {
	t.Parallel()
	hits := 0
	rapid.Check(t, func(t *rapid.T) {
		h := &history{about: "0"}
		letGo := h.recent.follow("log")
		t.Repeat(map[string]func(*rapid.T){
			"commit": func(*rapid.T) { h.commit() },
			"put": func(t *rapid.T) {
				if len(h.waiting) == 0 {
					h.commit()
				}
				i := 0
				if rapid.IntRange(0, 9).Draw(t, "order") == 0 {
					i = rapid.IntRange(0, len(h.waiting)-1).Draw(t, "which")
				}
				n := h.waiting[i]
				h.waiting = append(h.waiting[:i:i], h.waiting[i+1:]...)
				h.recent.put("log", n)
				h.put = max(h.put, n)
			},
			"put several": func(*rapid.T) {
				if len(h.waiting) > 0 {
					return
				}
				h.recent.put("log", h.committed+1, h.committed+2)
				h.committed += 2
				h.put = h.committed
			},
			"look": func(*rapid.T) {
				h.version, h.looked, h.saw, h.sawWhat = h.recent.version("log"), true, h.committed, h.about
			},
			"know": func(*rapid.T) {
				if h.looked {
					h.recent.know("log", h.version, h.saw, h.sawWhat)
				}
			},
			"change": func(*rapid.T) {
				h.about += "'"
				h.recent.forget("log")
			},
			"note": func(*rapid.T) {
				h.about += "+"
				h.recent.note("log", func(a *string) { *a += "+" })
			},
			"sweep": func(*rapid.T) { h.recent.sweep() },
			"leave and come back": func(*rapid.T) {
				letGo()
				letGo = h.recent.follow("log")
			},
			"forget all": func(*rapid.T) { h.recent.forgetAll() },
			"": func(t *rapid.T) {
				if last, about, known := h.recent.knows("log"); known && (about != h.about || last > h.committed) {
					t.Fatalf("it knows of %q, up to %d; it is %q, up to %d", about, last, h.about, h.committed)
				}
				n := line(rapid.Int64Range(0, int64(h.committed)).Draw(t, "after"))
				entries, known := h.recent.after("log", n)
				if !known {
					return
				}
				hits++
				for i, e := range entries {
					if e != n+line(i)+1 {
						t.Fatalf("after %d come %v", n, entries)
					}
				}
				if end := n + line(len(entries)); end < h.put || end > h.committed {
					t.Fatalf("after %d come %v, but %d was told of, and %d are there", n, entries, h.put, h.committed)
				}
			},
		})
	})
	if hits == 0 {
		t.Error("nothing was ever known")
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	t.Parallel()
	var r recent[string, line, line, struct{}]
	r.put("nobody follows it", 1)
	r.know("nobody follows it", r.version("nobody follows it"), 0, struct{}{})
	for i := range 1000 {
		k := fmt.Sprint(i)
		defer r.follow(k)()
		r.know(k, r.version(k), 0, struct{}{})
		for n := range line(300) {
			r.put(k, n+1)
		}
		if _, known := r.after(k, 300); !known && r.bytes > 0 {
			t.Fatal("it forgot what was put last")
		}
		if r.bytes > recentAllBytes || r.tails[k].bytes > recentBytes {
			t.Fatalf("it remembers %d bytes, of one log %d", r.bytes, r.tails[k].bytes)
		}
	}
	if _, known := r.after("nobody follows it", 0); known {
		t.Error("it remembers what nobody follows")
	}
	letGo := r.follow("unknown")
	letGo()
	if _, there := r.tails["unknown"]; there {
		t.Error("it keeps a place for what it knows nothing of")
	}
}

func TestWhatNobodyFollowsIsForgottenAfterAWhile(t *testing.T) {
	t.Parallel()
	var r recent[string, line, line, struct{}]
	letGo := r.follow("log")
	r.know("log", r.version("log"), 0, struct{}{})
	r.put("log", 1)
	letGo()
	r.sweep()
	if _, known := r.after("log", 0); !known {
		t.Error("it is forgotten at once")
	}
	r.sweep()
	if _, known := r.after("log", 0); known || r.bytes != 0 || len(r.tails) != 0 {
		t.Error("it is not forgotten")
	}
}
