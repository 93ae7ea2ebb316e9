package repo_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"pgregory.net/rapid"

	"restante/rendezvous"
	"restante/repo"
	"restante/session"
)

// twoReplicas are two services on one database, whose clocks differ and whose notifications are lost, late or repeated; a
// client that sends; and a client that receives. Two requests run at a time, to either of the services.
type twoReplicas struct {
	t        *rapid.T
	steps    *stepper
	stores   [2]*repo.DB
	services [2]*rendezvous.Service
	untold   []func() // notifications that did not arrive yet

	app            rendezvous.AppID
	sender, reader session.ID
	sent, done     session.Seq // commands of the sender, which each added one message, and of the reader
	epoch          session.Epoch
	acked          session.Seq // frames that the reader has processed
	told           session.Seq // the highest acknowledgement that was sent
	first          map[session.Seq]string
}

// request is a request that is drawn, and runs later. answered checks its answer, and how both together changed what is
// known: it is called after both have ended.
type request struct {
	name     string
	send     func()
	answered func(before twoReplicas, other string)
}

const talk = rendezvous.MailboxID("talk")

// histories sets how many histories are tried: so many every day, and forty times as many at night. It returns a function
// that undoes that. For a deeper run: -rapid.checks=2000 -rapid.steps=60.
func histories(everyDay int) (undo func()) {
	checks := flag.Lookup("rapid.checks")
	if checks.Value.String() != defaultChecks {
		return func() {}
	}
	if os.Getenv("RESTANTE_NIGHTLY") != "" {
		everyDay *= 40
	}
	must(checks.Value.Set(strconv.Itoa(everyDay)))
	return func() { must(checks.Value.Set(defaultChecks)) }
}

// TestTwoReplicasAtStatements has two clients talk through two services on one SQLite file, with random
// interleavings of the statements of two requests at a time.
func TestTwoReplicasAtStatements(t *testing.T) {
	defer histories(20)()
	path := filepath.Join(t.TempDir(), "both")
	template := templateFile()
	rapid.Check(t, func(r *rapid.T) {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			_ = os.Remove(path + suffix)
		}
		must(os.WriteFile(path, template, 0o600))
		rapid.SyncTest(r, func(r *rapid.T) {
			store, err := repo.Open(r.Context(), repo.Options{URL: path, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
			must(err)
			defer func() { must(store.Close()) }()
			p := &twoReplicas{t: r, steps: &stepper{settle: settleInBubble}, stores: [2]*repo.DB{store, store}}
			p.steps.watch(store, "SQLite")
			p.history()
		})
	})
}

// TestTwoReplicasAtStatementsOnPostgres is TestTwoReplicasAtStatements on PostgreSQL, where no transaction may have to run
// again, because no two cross each other's locks.
func TestTwoReplicasAtStatementsOnPostgres(t *testing.T) {
	defer histories(6)()
	url := newDatabase(t)
	observer := sqlx.MustOpen("postgres", url)
	t.Cleanup(func() { _ = observer.Close() })
	var tables []string
	must(observer.Select(&tables, `
		SELECT table_name FROM information_schema.tables
		WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name NOT LIKE 'goose%' AND table_name <> 'modified'`))
	var stores [2]*repo.DB
	var retried atomic.Int64
	steps := &stepper{}
	steps.settle = steps.settleOnPostgres(observer)
	for i := range stores {
		// What is stopped at a statement is not given up, however slow the machine is.
		stores[i] = open(t, repo.Options{URL: url + "&lock_timeout=60000&statement_timeout=60000", Patience: time.Minute, Now: time.Now, Retried: &retried})
		steps.watch(stores[i], fmt.Sprint("replica ", i))
	}
	rapid.Check(t, func(r *rapid.T) {
		observer.MustExec("BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM " + strings.Join(tables, "; DELETE FROM ") + "; COMMIT")
		retried.Store(0)
		p := &twoReplicas{t: r, steps: steps, stores: stores}
		p.history()
		if n := retried.Load(); n > 0 {
			r.Errorf("%d transactions ran again", n)
		}
	})
}

func (p *twoReplicas) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// history runs a random history, and ends when the reader has everything.
func (p *twoReplicas) history() {
	p.app, p.sender, p.reader, p.first = "app", session.NewID(), session.NewID(), map[session.Seq]string{}
	for i := range p.services {
		p.start(i, time.Duration(rapid.IntRange(-7200, 7200).Draw(p.t, "skew"))*time.Second)
	}
	p.meet()
	p.t.Repeat(map[string]func(*rapid.T){
		"two at once":      func(*rapid.T) { p.twoAtOnce() },
		"two more at once": func(*rapid.T) { p.twoAtOnce() },
		"tell":             func(*rapid.T) { p.tell() },
		"lose":             func(*rapid.T) { p.untold = nil },
		"record":           func(*rapid.T) { p.record(p.draw("records")) },
		"kill":             func(*rapid.T) { p.start(p.draw("killed"), 0) },
	})
	for p.acked < p.sent {
		one := p.poll()
		one.send()
		one.answered(*p, "")
	}
}

func (p *twoReplicas) draw(what string) int { return rapid.IntRange(0, 1).Draw(p.t, what) }

// start starts a service that remembers nothing. One that was there before is gone without a word, as if killed.
func (p *twoReplicas) start(i int, skew time.Duration) {
	s := newService(p.stores[i])
	s.Store = steppedStore{p.stores[i], p.steps}
	s.Now = func() time.Time { return time.Now().Round(0).Add(skew) }
	s.Config.Limits.AnswerFrames, s.Config.LookupBatchWindow = 5, 0
	s.Announce = func(topics []rendezvous.Topic) {
		p.steps.mu.Lock()
		defer p.steps.mu.Unlock()
		p.untold = append(p.untold, func() { p.services[1-i].Wake(topics) })
	}
	p.services[i] = s
}

// meet begins both sessions and opens the mailbox.
func (p *twoReplicas) meet() {
	for i, id := range []session.ID{p.reader, p.sender} {
		w, err := p.services[0].Handshake(p.t.Context(), rendezvous.Handshake{ID: id, App: p.app, Side: rendezvous.Side(fmt.Sprint("side ", i))})
		p.must(err)
		p.epoch = w.Epoch
		_, err = p.services[0].Open(p.t.Context(), rendezvous.Command{Session: id.Key()}, talk, rendezvous.OpenRequest{})
		p.must(err)
	}
	p.acked = -1
}

// twoAtOnce sends two requests, and has their statements run in a random order.
func (p *twoReplicas) twoAtOnce() {
	kinds := []func() request{p.add, p.add, p.command, p.poll, p.poll, p.shake, p.look, p.prune}
	var both [2]request
	for i := range both {
		both[i] = kinds[rapid.IntRange(0, len(kinds)-1).Draw(p.t, "request")]()
	}
	order := rapid.SliceOfN(rapid.Bool(), 0, 80).Draw(p.t, "order") // true: the one that came later goes first
	before := *p
	trace, err := p.steps.run(func(n int) int {
		later := len(order) > 0 && order[0]
		order = order[min(1, len(order)):]
		if later {
			return n - 1
		}
		return 0
	}, both[0].send, both[1].send)
	p.t.Logf("%s and %s:\n%s", both[0].name, both[1].name, trace)
	p.must(err)
	both[0].answered(before, both[1].name)
	both[1].answered(before, both[0].name)
}

// add adds a message. Two at once are one that is sent again before its reply came.
func (p *twoReplicas) add() request {
	at, n := p.services[p.draw("replica")], p.sent
	var a rendezvous.Answer[rendezvous.Added]
	var err error
	return request{"add", func() {
		a, err = at.Add(context.Background(), rendezvous.Command{Session: p.sender.Key(), Seq: &n}, talk, rendezvous.Draft{Phase: "p", Body: fmt.Sprint("message ", n)})
	}, func(_ twoReplicas, other string) {
		p.must(err)
		first := p.sent == n
		if a.Wanted != n+1 || a.Result.Position != rendezvous.Position(n)+1 || other != "add" && a.Replayed {
			p.t.Fatalf("command %d is answered %+v; the first answer: %v", n, a, first)
		}
		p.sent = n + 1
	}}
}

// command has the reader execute a command.
func (p *twoReplicas) command() request {
	at, n := p.services[p.draw("replica")], p.done
	var a rendezvous.Answer[struct{}]
	var err error
	return request{"command", func() {
		a, err = at.Release(context.Background(), rendezvous.Command{Session: p.reader.Key(), Seq: &n}, "99")
	}, func(_ twoReplicas, other string) {
		p.must(err)
		if a.Wanted != n+1 || other != "command" && a.Replayed {
			p.t.Fatalf("command %d is answered %+v", n, a)
		}
		p.done = n + 1
	}}
}

// poll receives, without waiting. Another receive or a handshake may take its session meanwhile.
func (p *twoReplicas) poll() request {
	at, epoch, ack := p.services[p.draw("replica")], p.epoch, p.acked+1
	taken := rapid.IntRange(1, 5).Draw(p.t, "taken")
	p.told = max(p.told, ack)
	var got rendezvous.Delivery
	var err error
	return request{"poll", func() {
		got, err = at.Receive(context.Background(), rendezvous.ReceiveRequest{Session: p.reader.Key(), Ack: &ack, Epoch: &epoch, Wait: new(time.Duration)})
	}, func(before twoReplicas, other string) {
		if f, refused := errors.AsType[*rendezvous.Failure](err); refused && f.Code == rendezvous.Superseded && (other == "poll" || other == "shake") {
			return
		}
		p.must(err)
		p.take(before, ack, got)
		if p.epoch == epoch {
			p.acked = max(p.acked, ack-1+session.Seq(min(taken, len(got.Frames))))
		}
	}}
}

// take checks what was received. Frame 0 says that the sender opened; frame n is message n.
func (p *twoReplicas) take(before twoReplicas, ack session.Seq, got rendezvous.Delivery) {
	p.t.Helper()
	if got.Wanted < before.done || got.Wanted > p.latest().done {
		p.t.Fatalf("a receive says that command %d is wanted, after %d commands", got.Wanted, p.done)
	}
	least, most := before.sent+1-ack, p.latest().sent+1-ack
	if n := session.Seq(len(got.Frames)); n > min(most, 5) || n == 0 && least > 0 {
		p.t.Fatalf("%d frames from %d on, of %d to %d", n, ack, before.sent+1, p.latest().sent+1)
	}
	for i, payload := range got.Frames {
		n := ack + session.Seq(i)
		if known, ok := p.first[n]; ok && known != string(payload) {
			p.t.Fatalf("frame %d was %s, and is now %s", n, known, payload)
		}
		p.first[n] = string(payload)
		if want := fmt.Sprintf(`"body":"message %d"`, n-1); n > 0 && !strings.Contains(string(payload), want) {
			p.t.Fatalf("frame %d is %s", n, payload)
		}
	}
}

// latest returns the most that can be known: as if every request that was sent has been done.
func (p *twoReplicas) latest() twoReplicas { return twoReplicas{sent: p.sent + 1, done: p.done + 1} }

// shake resumes the reader's session: another tab, which may have processed fewer frames than the last one. If it is let in,
// the frames that it wants must come. It is refused only if what it wants was acknowledged by the last tab, or by another one
// at the same time.
func (p *twoReplicas) shake() request {
	at, before := p.services[p.draw("replica")], *p
	wants := max(0, p.acked+1-session.Seq(rapid.IntRange(0, 3).Draw(p.t, "behind")))
	p.told = max(p.told, wants) // whichever of two at once comes first
	var w rendezvous.HandshakeReply
	var err error
	return request{"shake", func() {
		w, err = at.Handshake(context.Background(), rendezvous.Handshake{ID: before.reader, App: before.app, Side: "side 0", NextExpected: wants, NextSent: before.done, Epoch: before.epoch})
	}, func(_ twoReplicas, other string) {
		if f, refused := errors.AsType[*rendezvous.Failure](err); refused && f.Code == rendezvous.SessionStateMismatch && wants < p.told {
			return
		}
		p.must(err)
		last := before.epoch + 1
		if other == "shake" {
			last++
		}
		if !w.Resumed || w.Epoch <= before.epoch || w.Epoch > last || w.Kept != wants || w.Wanted < before.done || w.Wanted > before.done+1 {
			p.t.Fatalf("a handshake of epoch %d, after %d commands, with frame %d wanted, is answered %+v", before.epoch, before.done, wants, w)
		}
		if w.Epoch > p.epoch {
			p.epoch, p.acked = w.Epoch, wants-1
		}
	}}
}

// look looks at the sender's session.
func (p *twoReplicas) look() request {
	at := p.services[p.draw("replica")]
	var a rendezvous.Answer[rendezvous.Overview]
	var err error
	return request{"look", func() {
		a, err = at.Session(context.Background(), rendezvous.Query{Session: p.sender.Key()})
	}, func(before twoReplicas, _ string) {
		p.must(err)
		if a.Wanted < before.sent || a.Wanted > before.sent+1 {
			p.t.Fatalf("command %d is wanted, after %d", a.Wanted, before.sent)
		}
	}}
}

func (p *twoReplicas) prune() request {
	at := p.services[p.draw("replica")]
	var run rendezvous.Pruned
	return request{"prune", func() { run = at.Prune(context.Background()) }, func(twoReplicas, string) {
		if run.Failed > 0 {
			p.t.Fatalf("pruning: %+v", run)
		}
	}}
}

// tell has notifications arrive, in any order, and some of them twice.
func (p *twoReplicas) tell() {
	untold := p.untold
	p.untold = nil
	for len(untold) > 0 {
		i := rapid.IntRange(0, len(untold)-1).Draw(p.t, "told")
		untold[i]()
		if rapid.Bool().Draw(p.t, "once") {
			untold = slices.Delete(untold, i, i+1)
		}
	}
}

// record has a service write what it remembers.
func (p *twoReplicas) record(i int) {
	over, stop := context.WithCancel(context.Background())
	stop()
	p.services[i].Run(over)
}
