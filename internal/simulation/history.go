package simulation

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"restante/internal/memstore"
	"restante/rendezvous"
	"restante/session"
)

const (
	app        rendezvous.AppID = "app"
	mailboxTTL                  = 5 * time.Minute
	grace                       = 3 * time.Minute
	silence                     = 50 * time.Second
	ages                        = 40 * time.Minute // the life of what a client asked to be kept
	tombstones                  = 20 * time.Minute
)

// history is servers, their clients, and the model that they are compared with.
type history struct {
	Options
	number    uint64
	rng       *rand.Rand
	report    *Report
	now       time.Time
	store     *memstore.Store
	replicas  int
	servers   []*server
	timers    []*timer
	clients   []*client
	late      []late // requests that have not arrived yet
	model     model
	acting    *command // is being executed
	actor     *sess    // of which session it is
	pruning   bool
	wasLate   bool // a late request came
	faulty    bool // commits fail
	away      bool // the storage is
	steps     int64
	slow      bool // the loops tick seldom
	lastID    uint64
	violation string
	events    [60]happening // the last ones
}

// happening is an event, for a violation.
type happening struct {
	at   time.Time
	what string
	who  int
	n    int64
	code rendezvous.Code
	more fmt.Stringer
}

// server is one process.
type server struct {
	*rendezvous.Service
	pending []rendezvous.Topic // that it was not told of yet
	due     [4]time.Time       // when each loop ticks
	seed    int
}

// timer is a function that is called at a time.
type timer struct {
	at time.Time
	f  func()
}

// late is a request that arrives later; its answer is lost.
type late struct {
	who int
	f   func()
}

var background = context.Background()

func newHistory(o Options, number uint64, r *Report) *history {
	h := &history{Options: o, number: number, report: r, now: time.UnixMilli(1_800_000_000_000).UTC(), store: memstore.New()}
	h.rng = rand.New(rand.NewPCG(o.Seed, number)) // #nosec G404 -- a simulation hides nothing
	h.model = model{sessions: map[session.Key]*sess{}, bodies: map[string]bool{}, made: rendezvous.UsageTotals{}}
	h.model.knownIDs = []rendezvous.MailboxID{"agreed", "another"}
	h.model.knownNums = []rendezvous.NameplateID{"007", "008"} // which are never allocated
	h.store.Now = func() time.Time { return h.now }
	h.store.Away = func() bool { return h.away }
	h.store.Twice = func() bool { return h.faulty && h.draw(40) == 0 }
	h.store.Commits = h.commit
	h.store.Committed = h.committed
	h.faulty = h.draw(4) > 0
	h.replicas = 1 + h.draw(3)/2
	for i := range h.replicas {
		h.servers = append(h.servers, &server{seed: i})
		h.start(h.servers[i])
	}
	for i := range 2 + h.draw(3) {
		h.clients = append(h.clients, &client{h: h, number: i})
	}
	return h
}

func (h *history) draw(n int) int { return h.rng.IntN(n) }

// start starts a server that remembers nothing.
func (h *history) start(v *server) {
	v.Service = &rendezvous.Service{
		Config: rendezvous.DefaultConfig(), Store: h.planted(), Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return h.now }, AfterFunc: h.afterFunc,
	}
	c := &v.Config
	c.HeartbeatInterval, c.HeartbeatsUntilDead, c.SessionGrace, c.MailboxTTL = silence/2, 2, grace, mailboxTTL
	c.MaxTTL, c.TombstoneTTL, c.PruneInterval, c.LookupBatchWindow = ages, tombstones, time.Minute, 0
	c.BootGrace = time.Duration(4+h.draw(2)) * time.Minute
	c.NameplateRest = 1000 * time.Hour // the server draws numbers itself: one that is never drawn twice can have any digits
	c.Limits.AnswerFrames = 4
	c.Limits.Nameplates, c.Limits.Mailboxes = 10_000, 10_000
	if h.replicas > 1 {
		v.Announce = func(topics []rendezvous.Topic) {
			for _, other := range h.servers {
				if other != v {
					other.pending = append(other.pending, topics...)
				}
			}
		}
	}
	for i := range v.due {
		v.due[i] = h.now.Add(time.Duration(h.draw(1000)) * time.Millisecond)
	}
}

// loops are how often the steps of a server's loops are due.
var loops = [4]time.Duration{5 * time.Second, time.Second, 10 * time.Second, time.Minute}

// slowLoops are the same while nothing happens any more. A server that does not watch for longer takes that for a pause of
// its process.
var slowLoops = [4]time.Duration{12 * time.Second, time.Minute, time.Minute, time.Minute}

// tick does one step of a server's loops.
func (h *history) tick(v *server, loop int) {
	h.step("tick", -1, int64(loop))
	h.pruning = true
	switch loop {
	case 0:
		v.Step(background, rendezvous.StepWatch)
	case 1:
		v.Step(background, rendezvous.StepRecordNews)
	case 2:
		v.Step(background, rendezvous.StepRecordLife)
		v.Step(background, rendezvous.StepPruneLogs)
	case 3:
		v.Prune(background)
	}
	h.pruning = false
}

func (h *history) afterFunc(d time.Duration, f func()) (stop func() bool) {
	t := &timer{h.now.Add(d), f}
	h.timers = append(h.timers, t)
	return func() bool {
		had := len(h.timers)
		h.timers = slices.DeleteFunc(h.timers, func(o *timer) bool { return o == t })
		return len(h.timers) < had
	}
}

// advance lets time pass, with the timers and loops that are due meanwhile.
func (h *history) advance(d time.Duration) {
	until := h.now.Add(d)
	for h.violation == "" {
		next, run := until, func() {}
		for _, t := range h.timers {
			if t.at.Before(next) {
				next, run = t.at, func() {
					h.timers = slices.DeleteFunc(h.timers, func(o *timer) bool { return o == t })
					t.f()
				}
			}
		}
		for _, v := range h.servers {
			for i := range v.due {
				if v.due[i].Before(next) {
					next, run = v.due[i], func() {
						v.due[i] = h.now.Add(loops[i])
						if h.slow {
							v.due[i] = h.now.Add(slowLoops[i])
						}
						h.tick(v, i)
					}
				}
			}
		}
		if h.now.Before(next) {
			h.report.Virtual += next.Sub(h.now)
			h.now = next
		}
		if next.Equal(until) {
			return
		}
		run()
		h.tellAll(30)
		h.serve()
	}
}

// tellAll delivers notifications between servers. One in so many is lost.
func (h *history) tellAll(lost int) {
	for _, v := range h.servers {
		if len(v.pending) == 0 {
			continue
		}
		topics := v.pending
		v.pending = nil
		if lost > 0 && h.draw(lost) == 0 {
			h.step("news is lost", v.seed, int64(len(topics)))
			h.report.Dropped++
			continue
		}
		h.step("news", v.seed, int64(len(topics)))
		v.Wake(topics)
	}
}

// commit decides what becomes of a commit.
func (h *history) commit() memstore.Commit {
	if !h.faulty {
		return memstore.Succeeds
	}
	switch h.draw(100) {
	case 0:
		h.report.Failed++
		return memstore.Fails
	case 1:
		h.report.Lost++
		return memstore.IsLost
	case 2:
		h.report.Lost++
		return memstore.SucceedsUntold
	}
	return memstore.Succeeds
}

// step counts a step and notes it.
func (h *history) step(what string, who int, n int64) *happening {
	e := &h.events[h.steps%int64(len(h.events))]
	*e = happening{at: h.now, what: what, who: who, n: n}
	h.steps++
	h.report.Steps++
	if who < 0 {
		h.report.Ticks++
	}
	h.mix(uint64(len(what))<<48 ^ uint64(what[0])<<40 ^ uint64(who)<<32 ^ uint64(n) ^ uint64(h.now.UnixMilli())) // #nosec G115 -- any number will do
	return e
}

func (h *history) mix(n uint64) {
	h.report.Digest = (h.report.Digest ^ n) * 0x9e3779b97f4a7c15
	h.report.Digest ^= h.report.Digest >> 29
}

func (h *history) fail(format string, args ...any) {
	if h.violation == "" {
		h.violation = fmt.Sprintf(format, args...)
	}
}

// run plays the history to its end, or to the first violation.
func (h *history) run() error {
	for i := 0; i < historyActs && h.violation == ""; i++ {
		h.happen()
	}
	if h.violation == "" {
		h.finish()
	}
	if h.violation == "" {
		return nil
	}
	v := &Violation{Seed: h.Seed, History: h.number, Step: h.steps, What: h.violation}
	for i := max(0, h.steps-int64(len(h.events))); i < h.steps; i++ {
		e := h.events[i%int64(len(h.events))]
		line := fmt.Sprintf("%5d %s %d: %s %d", i, e.at.Format("15:04:05.000"), e.who, e.what, e.n)
		if e.more != nil {
			line += fmt.Sprintf(" %v", e.more)
		}
		if e.code != "" {
			line += " → " + string(e.code)
		}
		v.Last = append(v.Last, line)
	}
	return v
}

// happen makes one thing happen.
func (h *history) happen() {
	if h.draw(4) == 0 {
		h.advance(time.Duration(h.draw(200)) * time.Millisecond)
	}
	switch n := h.draw(1000); {
	case n < 2:
		h.silence()
	case n < 5:
		h.restart(h.servers[h.draw(len(h.servers))], h.draw(2) == 0)
	case n < 8 && h.faulty:
		h.away = !h.away
		h.step("the storage goes or comes back", -1, 0)
	case n < 20 && h.away:
		h.away = false
	case n < 90 && len(h.late) > 0:
		i := h.draw(len(h.late))
		one := h.late[i]
		h.late = slices.Delete(h.late, i, i+1)
		h.report.Late++
		h.wasLate = true
		h.step("a late request comes", one.who, 0)
		one.f()
	default:
		h.clients[h.draw(len(h.clients))].act()
	}
	if h.draw(3) > 0 {
		h.tellAll(40)
	}
	h.serve()
}

// silence is a long time in which some clients do nothing but receive.
func (h *history) silence() {
	h.away = false
	for _, c := range h.clients {
		c.asleep = h.draw(2) == 0
		if c.asleep {
			c.hangUp()
		}
	}
	h.step("silence", -1, 0)
	h.advance(time.Duration(1+h.draw(8)) * time.Minute)
	for _, c := range h.clients {
		c.asleep = false
	}
}

// restart ends a server and starts another in its place.
func (h *history) restart(v *server, orderly bool) {
	h.step("restart", v.seed, 0)
	h.report.Restarts++
	if orderly {
		v.Step(background, rendezvous.StepRecordLast)
	}
	h.model.crash(func(contact time.Time) bool {
		switch { // it is written by the next tick of a loop, and tried again after 10 seconds if that fails
		case h.faulty:
			return h.now.Sub(contact) < 3*loops[2]
		case orderly:
			return false
		}
		return h.now.Sub(contact) <= loops[1]
	})
	for _, c := range h.clients {
		if c.poll != nil && c.at == v {
			c.hangUp()
		}
	}
	v.pending = nil
	h.start(v)
}
