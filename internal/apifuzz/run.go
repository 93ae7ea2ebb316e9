package apifuzz

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"restante/handlers"
	"restante/handlers/handlerstest"
	"restante/handlers/welcome"
	"restante/internal/memstore"
	"restante/rendezvous"
)

// AdminToken is the operator's token of the servers that are asked.
const AdminToken = "the-token-of-the-operator" // #nosec G101 -- of a server in a test

// Options say what is sent.
type Options struct {
	Seed     uint64
	First    uint64 // the first round
	Requests int64
	SQLite   bool // the store is SQLite, in a file, instead of memory
	// Progress is told of each round that is over; nil: not.
	Progress func(*Report)
}

// Report is what was sent, and what was answered.
type Report struct {
	Requests int64
	Refused  int64 // that a server would refuse before it asks the handlers; they are not sent
	Rounds   uint64
	Kinds    [3]int64 // valid, near, hostile
	Statuses map[int]int64
	Answers  map[string]int64 // by operation and status
	Virtual  time.Duration
	Most     Cost
}

// Cost is what one request cost at most.
type Cost struct {
	Bytes, Transactions, Read, Written int64
	Time                               time.Duration // virtual
}

// Violation is an answer that must not be.
type Violation struct {
	Seed, Round uint64
	Number      int // of the request in its round
	What        string
	Asked       string
	Answered    string
}

func (v *Violation) Error() string {
	return fmt.Sprintf("seed %d, round %d, request %d: %s\n\t%s\n\tis answered\n\t%s", v.Seed, v.Round, v.Number, v.What, v.Asked, v.Answered)
}

// perRound is how many requests one server is asked.
const perRound = 8_000

// Run sends requests. It returns the first [Violation].
func Run(t *testing.T, o Options) (Report, error) {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // what lives is small
	r := Report{Statuses: map[int]int64{}, Answers: map[string]int64{}}
	c, err := load()
	if err != nil {
		return r, err
	}
	for r.Requests < o.Requests {
		one := round{Options: o, number: o.First + r.Rounds, contract: c, report: &r}
		one.limit = int(min(perRound, o.Requests-r.Requests))
		cryptotest.SetGlobalRandom(t, o.Seed<<32^one.number)
		one.rng = rand.New(rand.NewPCG(o.Seed, one.number)) // #nosec G404 -- choices of a test
		handlerstest.Bubble(t, one.options(), one.play)
		if one.violation != nil {
			return r, one.violation
		}
		r.Rounds++
		if o.Progress != nil {
			o.Progress(&r)
		}
	}
	return r, nil
}

// round is one server, and what it is asked.
type round struct {
	Options
	number    uint64
	limit     int
	contract  *contract
	rng       *rand.Rand
	report    *Report
	admin     bool
	violation *Violation
}

// options draws how the server is configured.
func (r *round) options() handlerstest.Options {
	r.admin = r.rng.IntN(2) == 0
	o := handlerstest.Options{Admin: r.admin, Level: slog.LevelError + 1, Wrap: r.store, Proxies: []string{"203.0.113.0/28"}}
	if r.rng.IntN(3) == 0 {
		o.Settings = welcome.Settings{HashcashBits: 3}
	}
	if r.rng.IntN(2) == 0 { // with the limits of a server without flags
		o.Config = func(c *rendezvous.Config) { *c = rendezvous.DefaultConfig() }
		o.Limits = func(l *handlers.Limits) {
			l.Rate, l.Burst = handlers.DefaultLimits().Rate, handlers.DefaultLimits().Burst
		}
	}
	return o
}

func (r *round) store(file rendezvous.Store) rendezvous.Store {
	if r.SQLite {
		return counted{file}
	}
	return counted{memstore.New()}
}

// play asks one server, in virtual time.
func (r *round) play(t *testing.T, server *handlerstest.Server) {
	t.Helper()
	began := time.Now()
	r.ask(server, true)
	r.report.Virtual += time.Since(began)
}

// ask sends the requests of a round. In virtual time, time passes between them.
func (r *round) ask(server *handlerstest.Server, virtual bool) {
	public, admin := server.Routes, server.Handlers.AdminHandler(AdminToken)
	w := newWorld(r.rng, r.contract, virtual)
	for n := 0; n < r.limit && r.violation == nil; n++ {
		in, h := w.next(), public
		if in.op != nil && (in.op.admin || slices.Contains([]string{"getMetrics", "getStatus", "getStatusPage"}, in.op.name)) {
			if r.admin {
				h = admin
			} else if in.op.admin || in.op.name == "getStatusPage" {
				in.op, in.kind = nil, hostile // to clients, there is nothing at this path
			}
		}
		r.one(w, n, in, h)
		if virtual {
			r.pass()
		}
	}
}

// one sends one request.
func (r *round) one(w *world, n int, in *input, h http.Handler) {
	a := ask(h, in)
	if a == nil {
		r.report.Refused++
		return
	}
	r.report.add(in, a)
	if why := r.contract.check(in, a); why != "" {
		r.violation = &Violation{Seed: r.Seed, Round: r.number, Number: n, What: why, Asked: in.String(), Answered: fmt.Sprintf("%d %v %.2000s", a.status, a.header, a.body.Bytes())}
		return
	}
	w.learn(in, a.status, a.header, a.body.Bytes())
}

// pass lets time pass: mostly none, sometimes a little, and seldom so much that sessions end and mailboxes are pruned.
func (r *round) pass() {
	var d time.Duration
	switch n := r.rng.IntN(10_000); {
	case n < 1:
		d = time.Duration(r.rng.IntN(1200)) * time.Second
	case n < 8:
		d = time.Duration(r.rng.IntN(60)) * time.Second
	case n < 1000:
		d = time.Duration(r.rng.IntN(200)) * time.Millisecond
	default:
		return
	}
	<-time.After(d)
}

func (r *Report) add(in *input, a *answer) {
	r.Requests++
	r.Kinds[in.kind]++
	r.Statuses[a.status]++
	name := "none"
	if in.op != nil {
		name = in.op.name
	}
	r.Answers[fmt.Sprintf("%s %d", name, a.status)]++
	m := &r.Most
	m.Bytes, m.Time = max(m.Bytes, a.sent), max(m.Time, a.took)
	m.Transactions, m.Read, m.Written = max(m.Transactions, a.work.transactions.Load()), max(m.Read, a.work.read.Load()), max(m.Written, a.work.written.Load())
}

func (r *Report) String() string {
	statuses := make([]string, 0, len(r.Statuses))
	for _, status := range slices.Sorted(maps.Keys(r.Statuses)) {
		statuses = append(statuses, fmt.Sprintf("%d: %d", status, r.Statuses[status]))
	}
	return fmt.Sprintf("%d requests in %d rounds (%d valid, %d near, %d hostile; %d more were no HTTP), %v of virtual time; one cost at most %+v; %s",
		r.Requests, r.Rounds, r.Kinds[valid], r.Kinds[near], r.Kinds[hostile], r.Refused, r.Virtual.Round(time.Second), r.Most, strings.Join(statuses, ", "))
}
