package session_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"restante/session"
)

// TestNothingIsLostRepeatedOrReordered is what a session is for: in any history
// of a client, a network and a server, as long as handshakes are accepted, the
// client's application sees frames 0, 1, 2, … and the server does commands 0, 1,
// 2, …, each exactly once and in order, and the client gets each command's own reply.
//
// The network loses, repeats and reorders whatever it likes. The server restarts
// and keeps only what is stored; acknowledgements and signs of life are stored
// late, or never. The client restarts from what it has written down. Some
// histories have a client that acknowledges before it writes down, or one that
// forgets commands it has numbered; some have a server that loses its last
// commits. Those the counters cannot always save, but then the handshake is
// refused: there is never a silent gap.
//
// What it takes for granted is said where it is done: no message is under way for
// as long as a tombstone stands; a client is what it claims (client.be), asks
// before it shakes hands with nothing to show (client.act), and says which session it
// replaces (client.anew); nothing is numbered between a loss of commits and the next handshake (row.quiet).
func TestNothingIsLostRepeatedOrReordered(t *testing.T) {
	t.Run("in histories that rapid draws and shrinks", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			h := history{
				decide: session.Decide,
				draw:   func(n int) int { return rapid.SampledFrom(upTo[:n]).Draw(t, "") },
				steps:  rapid.IntRange(20, 200).Draw(t, "steps"),
				aloud:  true,
			}
			if err := h.run(); err != nil {
				t.Fatalf("%v\n%s", err, strings.Join(h.told, "\n"))
			}
		})
	})
	t.Run("in many more that are long", func(t *testing.T) {
		met := map[string]int{}
		for seed := range uint64(2000) {
			h := seeded(seed, session.Decide)
			if err := h.run(); err != nil {
				again := seeded(seed, session.Decide)
				again.aloud = true
				_ = again.run()
				t.Fatalf("seed %d: %v\n%s", seed, err, strings.Join(again.told, "\n"))
			}
			for what, n := range h.met {
				met[what] += n
			}
		}
		// What never happens is not tested.
		for _, what := range []string{
			"Start", "Start over", "Resume", "Replace", "live: the client is in the future", "live: the server is in the future",
			"live: the client expects", "tombstone", "nothing", "frame", "frame again", "done", "repeated", "missing", "superseded",
			"expired", "came back", "session lost", "restart", "crash", "lost commits",
		} {
			if met[what] < 5 {
				t.Errorf("%q happened %d times", what, met[what])
			}
		}
		t.Logf("%v", met)
	})
}

// TestTheHistoriesFindWhatIsWrong runs the same histories with a handshake that lacks one row of the
// table, or is off by one. Each mistake must be found, or the test above is worth nothing.
func TestTheHistoriesFindWhatIsWrong(t *testing.T) {
	// live changes a claim on a live session of the client's.
	live := func(change func(session.Hello, session.Ledger) session.Hello) decide {
		return func(h session.Hello, f session.Facts) session.Decision {
			if held, is := f.Stored.(session.Live); is {
				h = change(h, held.Ledger)
			}
			return session.Decide(h, f)
		}
	}
	// strict refuses a claim on a live session that the table accepts.
	strict := func(refuse func(session.Hello, session.Ledger) bool) decide {
		return func(h session.Hello, f session.Facts) session.Decision {
			if held, is := f.Stored.(session.Live); is && refuse(h, held.Ledger) {
				return session.Reject{Code: session.StateMismatch}
			}
			return session.Decide(h, f)
		}
	}
	wrong := map[string]decide{
		"without the row: the client is in the future": live(func(h session.Hello, l session.Ledger) session.Hello {
			h.NextSent = min(h.NextSent, l.Wanted)
			return h
		}),
		"without the row: the server is in the future": live(func(h session.Hello, l session.Ledger) session.Hello {
			h.NextExpected = max(h.NextExpected, l.Kept)
			return h
		}),
		"without the row: it expects what was never sent": live(func(h session.Hello, l session.Ledger) session.Hello {
			h.NextExpected = min(h.NextExpected, l.Next)
			return h
		}),
		"without the row: a tombstone": func(h session.Hello, f session.Facts) session.Decision {
			if _, is := f.Stored.(session.Tombstone); is {
				f.Stored = session.Nothing{}
			}
			return session.Decide(h, f)
		},
		"without the row: nothing, and a counter above 0": func(h session.Hello, f session.Facts) session.Decision {
			if _, is := f.Stored.(session.Nothing); is {
				h.NextExpected, h.NextSent = 0, 0
			}
			return session.Decide(h, f)
		},
		"a hard reconnect that lets the old session live": func(h session.Hello, f session.Facts) session.Decision {
			if d, is := session.Decide(h, f).(session.Replace); !is {
				return session.Decide(h, f)
			} else if d.Old != h.Key {
				return session.Start{}
			}
			panic("unreachable")
		},
		"one too strict about the next frame":   strict(func(h session.Hello, l session.Ledger) bool { return h.NextExpected == l.Next }),
		"one too strict about the oldest frame": strict(func(h session.Hello, l session.Ledger) bool { return h.NextExpected == l.Kept && l.Kept > 0 }),
		"one too strict about the next command": strict(func(h session.Hello, l session.Ledger) bool { return h.NextSent == l.Wanted && l.Wanted > 0 }),
		"one too lax about the next command": live(func(h session.Hello, l session.Ledger) session.Hello {
			if h.NextSent == l.Wanted+1 {
				h.NextSent--
			}
			return h
		}),
		"one too lax about the oldest frame": live(func(h session.Hello, l session.Ledger) session.Hello {
			if h.NextExpected == l.Kept-1 {
				h.NextExpected++
			}
			return h
		}),
		"one too lax about the next frame": live(func(h session.Hello, l session.Ledger) session.Hello {
			if h.NextExpected == l.Next+1 {
				h.NextExpected--
			}
			return h
		}),
		"frames acknowledged that the client has not processed": live(func(h session.Hello, l session.Ledger) session.Hello {
			h.NextExpected = min(h.NextExpected+1, l.Next)
			return h
		}),
	}
	const histories = 2000
	for name, decide := range wrong {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(histories) {
				if err := seeded(seed, decide).run(); err != nil {
					t.Logf("found in history %d: %v", seed+1, err)
					return
				}
			}
			t.Errorf("not found in %d histories", histories)
		})
	}
}

type decide func(session.Hello, session.Facts) session.Decision

// upTo are the numbers to draw from.
var upTo = func() (numbers []int) {
	for n := range 100 {
		numbers = append(numbers, n)
	}
	return numbers
}()

// seeded is a history that its seed determines.
func seeded(seed uint64, d decide) *history {
	return &history{decide: d, draw: rand.New(rand.NewPCG(seed, 0)).IntN, steps: 300}
}

// history is one run of a client, a network and a server, and an observer that
// knows everything.
type history struct {
	decide decide
	draw   func(n int) int // one of 0 … n-1
	steps  int
	aloud  bool // tell what happens

	// What is unusual about this history.
	hasty     bool // the client acknowledges what it has not written down
	forgetful bool // the client writes down a command's number, and not the command
	lossy     bool // the server may lose its last commits

	now    time.Time
	net    []message
	server server
	client client
	ids    int // of requests, sessions and texts

	// What the observer knows.
	told     []string
	met      map[string]int            // how often what happened
	wrong    error                     // the first violation
	issued   map[session.Key][]string  // every command a client ever numbered
	alive    map[session.Key]time.Time // when the server last heard of it
	lost     bool                      // commits were lost
	stranded bool                      // commits were lost, and nothing can be done
}

// tell logs what happens, if the history is to be shown.
func (h *history) tell(format string, args ...any) {
	if h.aloud {
		h.told = append(h.told, fmt.Sprintf(format, args...))
	}
}

func (h *history) violated(format string, args ...any) {
	if h.wrong == nil {
		h.wrong = fmt.Errorf(format, args...)
		h.tell("VIOLATED: %v", h.wrong)
	}
}

func (h *history) id() int { h.ids++; return h.ids }

func (h *history) key() session.Key {
	id := h.id()
	return session.Key{byte(id >> 8), byte(id)}
}

const (
	spare         = 11 * time.Minute // after a restart, nothing expires
	tombstoneTTL  = 24 * time.Hour
	clientTimeout = time.Minute
)

func (h *history) run() error {
	h.now = time.UnixMilli(1 << 40)
	h.met, h.issued, h.alive = map[string]int{}, map[session.Key][]string{}, map[session.Key]time.Time{}
	h.server = server{history: h, kept: stored{rows: map[session.Key]*row{}, truth: map[session.Key]*truth{}}}
	h.server.restart(false)
	h.client = client{history: h, waiting: map[int]message{}}
	h.client.begin(nil)
	h.hasty, h.forgetful, h.lossy = h.draw(4) == 0, h.draw(4) == 0, h.draw(4) == 0
	h.tell("hasty %v, forgetful %v, lossy %v", h.hasty, h.forgetful, h.lossy)

	for range h.steps {
		h.step()
		if h.wrong != nil || h.stranded {
			return h.wrong
		}
	}
	h.settle()
	return h.wrong
}

// step is one thing that happens.
func (h *history) step() {
	switch n := h.draw(100); {
	case n < 38:
		h.deliver(func(m message) bool { return m.reply || h.draw(4) > 0 })
	case n < 41:
		if len(h.net) > 0 {
			i := h.draw(min(len(h.net), len(upTo)))
			h.tell("the network loses %v", h.net[i])
			h.net = slices.Delete(h.net, i, i+1)
		}
	case n < 45:
		if len(h.net) > 0 && len(h.net) < 50 {
			m := h.net[h.draw(len(h.net))]
			h.tell("the network repeats %v", m)
			h.net = append(h.net, m)
		}
	case n < 61:
		h.client.act()
	case n < 67:
		h.client.issue(1)
	case n < 68:
		h.client.issue(1 + h.draw(90))
	case n < 71:
		h.client.giveUp()
	case n < 75:
		h.client.write()
	case n < 77:
		h.client.crash()
	case n < 78:
		// Not while the client does not know whether the last session began: it could not say which one
		// the next replaces.
		if h.client.memory.established && h.draw(3) == 0 {
			h.tell("the client would rather begin anew")
			h.client.anew(true)
		}
	case n < 88:
		h.server.publish()
	case n < 91:
		h.server.writeAcks()
	case n < 93:
		h.server.restart(h.draw(2) == 0)
	case n < 95:
		if h.lossy {
			h.server.loseCommits()
		}
	case n < 96:
		h.server.sweep()
	default:
		h.wait([]time.Duration{time.Millisecond, 20 * time.Second, 49 * time.Second, 2 * time.Minute, 9 * time.Minute, 12 * time.Minute, 30 * time.Hour}[h.draw(7)])
	}
}

func (h *history) wait(d time.Duration) {
	h.tell("%v pass", d)
	h.now = h.now.Add(d)
	h.server.writeSightings()
	if d <= clientTimeout {
		return
	}
	h.client.giveUp()
	if d >= tombstoneTTL {
		h.net = nil // no network keeps a message for as long as a server keeps a tombstone
	}
	if h.draw(2) == 0 {
		h.server.sweep()
	}
}

// deliver delivers a message that is on its way: the oldest if fifo is set, and otherwise any.
func (h *history) deliver(reorder func(message) bool) {
	if len(h.net) == 0 {
		return
	}
	i := 0
	if reorder(h.net[0]) {
		i = h.draw(len(h.net))
	}
	m := h.net[i]
	h.net = slices.Delete(h.net, i, i+1)
	if m.reply {
		h.client.receive(m)
		return
	}
	h.tell("arrives: %v", m)
	m.body, m.reply = h.server.serve(m.body), true
	h.net = append(h.net, m)
}

// settle lets every part do what is left to do, without further trouble, and compares the results.
func (h *history) settle() {
	h.tell("now all goes well")
	h.client.giveUp()
	for range 1000 {
		for len(h.net) > 0 && h.wrong == nil {
			h.deliver(func(message) bool { return false })
		}
		if h.wrong != nil || h.stranded {
			return
		}
		h.client.write()
		if h.client.idle() {
			h.compare()
			return
		}
		h.client.act()
	}
	h.violated("it does not come to an end: the client has %d frames and waits for the reply to command %d, the server has %+v",
		len(h.client.memory.frames), h.client.memory.unanswered(), h.server.kept.rows[h.client.memory.key])
}

// compare checks what the client has against what the server knows of the session.
func (h *history) compare() {
	c, t := h.client.memory, h.server.truth(h.client.memory.key)
	h.prefix()
	if len(c.frames) != len(t.frames) {
		h.violated("the client saw %d frames of %d", len(c.frames), len(t.frames))
	}
	if !slices.Equal(t.commands, h.issued[c.key]) {
		h.violated("commands %q were given, and done were %q", h.issued[c.key], t.commands)
	}
	for n := c.from; n < c.next; n++ {
		if _, is := c.replies[n]; !is {
			h.violated("command %d was never answered", n)
		}
	}
}

// prefix checks that what the client saw is what was sent, up to some frame.
func (h *history) prefix() {
	c, t := h.client.memory, h.server.truth(h.client.memory.key)
	if len(c.frames) > len(t.frames) || !slices.Equal(c.frames, t.frames[:len(c.frames)]) {
		h.violated("frames %q were sent, and seen were %q", t.frames, c.frames)
	}
}

// message is a request on its way, or the reply to it.
type message struct {
	id    int // of the request
	reply bool
	body  any
}

func (m message) String() string { return fmt.Sprintf("#%d %T%+v", m.id, m.body, m.body) }

type (
	hello struct {
		session.Hello
	}
	poll struct {
		Key   session.Key
		epoch session.Epoch
		ack   session.Seq
	}
	command struct {
		Key  session.Key
		n    session.Seq
		text string
		ack  session.Seq
	}

	welcome struct {
		resumed bool
		epoch   session.Epoch
	}
	refused struct {
		session.Reject
		live bool // the observer's: there is a live session under this key
	}
	frames struct {
		first session.Seq
		texts []string
	}
	answer   struct{ text string } // to a command
	gap      struct{ expected session.Seq }
	failure  string // one that must not be
	outdated struct{}
	gone     struct{ mismatch bool }
)
