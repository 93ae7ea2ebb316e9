package rendezvous_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"restante/rendezvous"
	"restante/session"
)

const (
	aWhile = 30 * time.Minute // after which everything without a sign of life has ended
	ages   = 1000 * time.Hour // the life of what a client asked to be kept
)

// history is a server, its clients, and the model that they are compared with.
type history struct {
	*world
	t          judge
	path       string
	wrap       func(rendezvous.Store) rendezvous.Store
	draw       func(what string, n int) int // of 0…n−1
	model      model
	players    []*player
	mailboxes  []rendezvous.MailboxID   // that anyone ever heard of
	nameplates []rendezvous.NameplateID // likewise
	made       int                      // sides and bodies, so that none are alike
	draining   bool                     // what ends a receive now was known when it began
}

// emptyDatabase is the file of a new database. Making one takes longer than a history.
func emptyDatabase(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "empty")
	openAt(t, path, time.Now).stop()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// start begins a history in dir. Its store makes a mistake, if one is given.
func start(t judge, draw func(string, int) int, dir string, empty []byte, m mistake) *history {
	h := &history{t: t, draw: draw, path: filepath.Join(dir, "history"), mailboxes: []rendezvous.MailboxID{"agreed"}, nameplates: []rendezvous.NameplateID{"007"}}
	h.wrap = func(s rendezvous.Store) rendezvous.Store { return mistaken{s, m} }
	h.must(os.WriteFile(h.path, empty, 0o600))
	h.world = open(t, h.path, h.config, h.wrap)
	for range 3 {
		c := h.begin(h.side(), nil)
		h.players = append(h.players, c)
		if h.draw("opens at once", 2) == 0 {
			h.command(c, order{Do: "open", Mailbox: h.mailboxes[0]})
		}
	}
	return h
}

func (h *history) config(c *rendezvous.Config) {
	c.SessionGrace, c.MailboxTTL, c.PruneInterval = 5*time.Minute, 5*time.Minute, 4*time.Minute
	c.MaxTTL, c.TombstoneTTL = ages, ages
	c.Limits.AnswerFrames = 4
	c.Limits.Nameplates, c.Limits.Mailboxes, c.Limits.AddressSessions = 10_000, 10_000, 10_000
}

// end cleans up, however the history ended.
func (h *history) end() {
	h.Drain() // ends the receives that are held
	h.world.stop()
}

func (h *history) must(err error) {
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *history) side() rendezvous.Side {
	h.made++
	return rendezvous.Side(fmt.Sprint("side", h.made))
}

// step makes one thing happen, answers the receives that are held, and checks what is stored.
func (h *history) step() {
	c := h.players[h.draw("player", len(h.players))]
	switch h.draw("happens", 24) {
	default:
		h.command(c, h.order(c))
	case 0, 1:
		if len(c.log) > 0 {
			h.send(c, h.draw("again", len(c.log)))
		}
	case 2, 3, 4:
		h.poll(c)
	case 5, 6:
		if c.held == nil && c.is.end == "" {
			c.held = c.park(h.t.Context(), session.Seq(c.ack))
		}
	case 7:
		h.resume(c)
	case 8:
		if h.draw("seldom", 2) == 0 {
			h.startOver(c)
		}
	case 9:
		time.Sleep(100 * time.Millisecond) // what is written lazily is written
	case 10:
		if h.draw("seldom", 4) == 0 {
			h.silence()
		}
	case 11:
		if h.draw("seldom", 2) == 0 {
			h.restart()
		}
	}
	h.settle()
	h.check(c)
}

// order draws a command of a client, mostly about what that client knows.
func (h *history) order(c *player) order {
	o := order{Do: strings.Fields("add add add add add add open open open claim claim allocate close close release end")[h.draw("command", 16)]}
	moods := []rendezvous.Mood{rendezvous.Happy, rendezvous.Lonely, rendezvous.Scary, rendezvous.Errory, ""}
	switch o.Do {
	case "claim", "release":
		o.Nameplate = h.nameplates[h.draw("nameplate", len(h.nameplates))]
	case "add", "open", "close":
		known := h.mailboxes
		if _, mine := h.model.holds(c.side); len(mine) > 0 && h.draw("its own", 4) > 0 {
			known = mine
		}
		o.Mailbox = known[h.draw("mailbox", len(known))]
	}
	switch o.Do {
	case "add":
		h.made++
		o.Body = fmt.Sprint("body", h.made)
	case "close":
		o.Mood = moods[h.draw("mood", 4)]
	case "end":
		o.Mood = moods[h.draw("mood", 5)]
	case "open":
		if b := h.model.mailbox(o.Mailbox); b != nil {
			o.After = rendezvous.Position(h.draw("after", len(b.log)+2))
		}
		fallthrough
	case "claim", "allocate":
		if h.draw("for ages", 8) == 0 {
			o.TTL = ages
		}
	}
	return o
}

// command sends a command of a client, unless it is lost on its way.
func (h *history) command(c *player, o order) {
	if c.is.end != "" {
		h.startOver(c)
		return
	}
	c.log = append(c.log, o)
	if h.draw("lost on its way", 8) > 0 {
		h.send(c, len(c.log)-1)
	}
}

// hear tells every client of a nameplate and its mailbox, and forgets older ones.
func (h *history) hear(of rendezvous.Claimed) {
	if of.Nameplate != "" && !slices.Contains(h.mailboxes, of.Mailbox) {
		h.mailboxes = append(h.mailboxes[max(0, len(h.mailboxes)-3):], of.Mailbox)
		h.nameplates = append(h.nameplates[max(0, len(h.nameplates)-3):], of.Nameplate)
	}
}

// settle checks that a held receive is answered as soon as there is something to answer.
func (h *history) settle() {
	synctest.Wait()
	for _, c := range h.players {
		if c.held == nil {
			continue
		}
		select {
		case o := <-c.held:
			c.held = nil
			if o.err == nil || code(h.t, o.err) != rendezvous.Superseded {
				h.received(c, o)
			}
		default:
			if c.is.end != "" || c.is.next > c.ack {
				h.t.Fatalf("%s is not woken: it has %d of %d frames; it ended: %q", c.side, c.ack, c.is.next, c.is.end)
			}
		}
	}
}

// restart stops the server and starts another one.
func (h *history) restart() {
	h.Drain()
	h.draining = true
	time.Sleep(h.Config.DrainSpan)
	h.settle()
	h.draining = false
	h.world.stop()
	*h.world = *open(h.t, h.path, h.config, h.wrap)
}

// silence is a long time in which some clients do nothing but receive.
func (h *history) silence() {
	time.Sleep(h.Config.HeartbeatInterval)
	h.settle() // no client receives any more
	awake := map[*modelSession]bool{}
	ctx, stop := context.WithCancel(h.t.Context())
	var all sync.WaitGroup
	heard := make([][]rendezvous.Delivery, len(h.players))
	for i, c := range h.players {
		if c.is.end != "" || h.draw("sleeps", 2) == 0 {
			continue
		}
		awake[c.is] = true
		all.Go(func() {
			for ack := c.ack; ; {
				got, err := c.poll(ctx, session.Seq(ack))
				if err != nil {
					return
				}
				heard[i], ack = append(heard[i], got), ack+len(got.Frames)
			}
		})
	}
	time.Sleep(aWhile)
	synctest.Wait()
	stop()
	all.Wait()
	h.model.silence(awake, aWhile)
	for i, c := range h.players {
		for _, got := range heard[i] {
			h.see(c, got)
			c.ack += len(got.Frames)
		}
		if awake[c.is] && c.ack != c.is.next {
			h.t.Fatalf("%s was sent %d of %d frames", c.side, c.ack, c.is.next)
		}
	}
}

// check compares what is stored with the model.
func (h *history) check(c *player) {
	var counts rendezvous.Counts
	h.must(h.store.View(h.t.Context(), func(tx rendezvous.Tx) (err error) {
		counts, err = tx.Counts()
		return err
	}))
	h.same("the counts", counts, h.model.counts())
	if c.is.end != "" {
		return
	}
	o, err := h.Session(h.t.Context(), rendezvous.Query{Session: c.key})
	h.must(err)
	h.same("the frames numbered", int(o.Result.Session.Next), c.is.next)
	h.same("the command wanted", int(o.Wanted), len(c.told))
	nameplates, mailboxes := h.model.holds(c.side)
	h.same("the nameplates held", fmt.Sprint(sorted(o.Result.Nameplates)), fmt.Sprint(sorted(nameplates)))
	h.same("the mailboxes", fmt.Sprint(sorted(o.Result.Mailboxes)), fmt.Sprint(sorted(mailboxes)))
}

// finish makes every client leave, and checks what remains and what is recorded.
func (h *history) finish() {
	for _, c := range h.players {
		h.catchUp(c)
		if c.is.end == "" {
			h.command(c, order{Do: "end", Mood: rendezvous.Happy})
			h.catchUp(c)
		}
	}
	time.Sleep(time.Second) // the count may be half a second old
	now := h.Status(h.t.Context())
	h.same("the counts that are told", now.Counts, h.model.counts())
	h.same("the things that could not be pruned", len(now.Failures), 0)
	h.same("the results of nameplates", h.results("usage_nameplates"), strings.Join(sorted(h.model.usage.nameplates), " "))
	h.same("the results of mailboxes", h.results("usage_mailboxes"), strings.Join(sorted(h.model.usage.mailboxes), " "))
}

func (h *history) same(what string, got, want any) {
	if got != want {
		h.t.Fatalf("%s: %v, not %v", what, got, want)
	}
}

func sorted[S ~[]E, E cmp.Ordered](s S) S {
	slices.Sort(s)
	return s
}
