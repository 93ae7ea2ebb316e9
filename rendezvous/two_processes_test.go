package rendezvous_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"restante/rendezvous"
	"restante/repo"
	"restante/session"
)

// process is one of two services on one database, with a clock of its own.
type process struct {
	*rendezvous.Service
	skew atomic.Int64 // in nanoseconds
	stop func()
}

// twoProcesses are two services whose notifications are lost, late or repeated, a client that sends and one that receives.
// Each request goes to either of the two.
type twoProcesses struct {
	t         *rapid.T
	store     *repo.DB
	processes [2]*process

	mu     sync.Mutex
	untold []func() // notifications that did not arrive yet; guarded by mu

	sender, reader session.ID
	sent           session.Seq // commands of the sender: each added one message
	done           session.Seq // commands of the reader
	epoch          session.Epoch
	acked          session.Seq // frames that the reader has processed
	first          map[session.Seq]string
}

const talk = rendezvous.MailboxID("talk")

// startProcess starts a process, which remembers nothing. One that was there before is gone without a word, as if killed.
func (p *twoProcesses) startProcess(i int, skew time.Duration) {
	one := &process{}
	one.skew.Store(int64(skew))
	s := &rendezvous.Service{Config: rendezvous.DefaultConfig(), Store: p.store, Log: silent}
	s.Now = func() time.Time { return time.Now().Round(0).Add(time.Duration(one.skew.Load())) }
	s.Config.BootGrace, s.Config.PruneInterval = 0, 24*time.Hour
	s.Config.SessionGrace, s.Config.MailboxTTL = time.Second, time.Second // all that lives does so because of signs of life
	s.Config.Limits.AnswerFrames = 5
	s.Announce = func(topics []rendezvous.Topic) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.untold = append(p.untold, func() { p.processes[1-i].Wake(topics) })
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Run(ctx)
	}()
	one.Service = s
	one.stop = func() {
		cancel()
		<-ended
	}
	p.processes[i] = one
}

func (p *twoProcesses) any() *process {
	return p.processes[rapid.IntRange(0, 1).Draw(p.t, "process")]
}

func (p *twoProcesses) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// TestTwoProcessesAreOne has a client talk to another one through two processes on one database, in random order. The
// reader gets every message once, in order, with the same bytes whichever process is asked; neither session ends; and
// the server never says that it did more, or less, than what is committed.
//
// Each request is one after the other; repo has a test that interleaves the statements of two.
//
// For a deeper run: -rapid.checks=2000 -rapid.steps=80.
func TestTwoProcessesAreOne(t *testing.T) {
	t.Parallel()
	empty, path := emptyDatabase(t), filepath.Join(t.TempDir(), "both")
	twoProcessesOn(t, 20, func() string {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			_ = os.Remove(path + suffix)
		}
		if err := os.WriteFile(path, empty, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	})
}

// TestTwoProcessesAreOneOnPostgres is TestTwoProcessesAreOne on PostgreSQL.
func TestTwoProcessesAreOneOnPostgres(t *testing.T) {
	twoProcessesOn(t, 3, func() string { return newPostgres(t) })
}

// twoProcessesOn tries so many histories every day, each on a new database, and twenty times as many at night.
func twoProcessesOn(t *testing.T, everyDay int, newDatabase func() string) {
	t.Helper()
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		defer func() { _ = checks.Value.Set(checks.DefValue) }()
		if os.Getenv("RESTANTE_NIGHTLY") != "" {
			everyDay *= 20
		}
		_ = checks.Value.Set(strconv.Itoa(everyDay))
	}
	rapid.Check(t, func(r *rapid.T) {
		path := newDatabase()
		rapid.SyncTest(r, func(r *rapid.T) {
			p := &twoProcesses{t: r, sender: newID(), reader: newID(), first: map[session.Seq]string{}}
			var err error
			p.store, err = repo.Open(r.Context(), repo.Options{URL: path, Now: time.Now, Log: silent, CompareRemembered: true})
			p.must(err)
			for i := range p.processes {
				p.startProcess(i, time.Duration(rapid.IntRange(-7200, 7200).Draw(r, "skew"))*time.Second)
			}
			defer func() {
				for _, one := range p.processes {
					one.stop()
				}
				p.must(p.store.Close())
			}()
			p.meet()
			r.Repeat(map[string]func(*rapid.T){
				"add":     func(*rapid.T) { p.add() },
				"poll":    func(*rapid.T) { p.poll(p.any(), 0) },
				"wait":    func(*rapid.T) { p.wait() },
				"command": func(*rapid.T) { p.command() },
				"shake":   func(*rapid.T) { p.shake() },
				"tell":    func(*rapid.T) { p.tell() },
				"lose":    func(*rapid.T) { p.lose() },
				"pass":    func(*rapid.T) { p.pass() },
				"prune":   func(*rapid.T) { p.any().Prune(r.Context()) },
				"kill":    func(*rapid.T) { p.kill() },
				"step clock": func(*rapid.T) {
					p.any().skew.Add(int64(rapid.IntRange(-900, 900).Draw(r, "step")) * int64(time.Second))
				},
			})
			for p.acked < p.sent {
				p.poll(p.any(), 0)
			}
		})
	})
}

// meet begins both sessions and opens the mailbox.
func (p *twoProcesses) meet() {
	for id, side := range map[session.ID]rendezvous.Side{p.sender: "sender", p.reader: "reader"} {
		w, err := p.processes[0].Handshake(p.t.Context(), rendezvous.Handshake{ID: id, App: app, Side: side})
		p.must(err)
		p.epoch = w.Epoch
	}
	for _, id := range []session.ID{p.reader, p.sender} { // so that neither hears of the other
		_, err := p.processes[0].Open(p.t.Context(), rendezvous.Command{Session: id.Key()}, talk, rendezvous.OpenRequest{})
		p.must(err)
	}
	p.acked = -1
	p.poll(p.processes[0], 0) // that the sender opened
}

// add adds a message, once or, as if its reply was lost, twice.
func (p *twoProcesses) add() {
	n := p.sent
	for range rapid.IntRange(1, 2).Draw(p.t, "times") {
		c := rendezvous.Command{Session: p.sender.Key(), Seq: &n}
		a, err := p.any().Add(p.t.Context(), c, talk, rendezvous.Draft{Phase: "p", Body: fmt.Sprint("message ", n)})
		p.must(err)
		if a.Wanted != n+1 || a.Result.Position != rendezvous.Position(n)+1 {
			p.t.Fatalf("command %d is answered %+v", n, a)
		}
	}
	p.sent = n + 1
}

// command has the reader execute a command.
func (p *twoProcesses) command() {
	n := p.done
	a, err := p.any().Release(p.t.Context(), rendezvous.Command{Session: p.reader.Key(), Seq: &n}, "99")
	p.must(err)
	if a.Wanted != n+1 {
		p.t.Fatalf("command %d is answered %+v", n, a)
	}
	p.done = n + 1
}

// poll receives, and checks what it is told. It takes some of the frames.
func (p *twoProcesses) poll(at *process, hold time.Duration) (frames int) {
	p.t.Helper()
	epoch, ack := p.epoch, p.acked+1
	got, err := at.Receive(p.t.Context(), rendezvous.ReceiveRequest{Session: p.reader.Key(), Ack: &ack, Epoch: &epoch, Wait: &hold})
	p.must(err)
	p.take(got)
	return len(got.Frames)
}

// take checks what was received, and takes some of it. Frame 0 says that the sender opened; frame n is message n.
func (p *twoProcesses) take(got rendezvous.Delivery) {
	p.t.Helper()
	if got.Wanted != p.done {
		p.t.Fatalf("a receive says that command %d is wanted, after %d commands", got.Wanted, p.done)
	}
	ack := p.acked + 1
	// A process that has missed the news may answer with those that it knows: the others come with the next receive.
	if missing := p.sent + 1 - ack; len(got.Frames) > int(min(missing, 5)) || (missing > 0) != (len(got.Frames) > 0) {
		p.t.Fatalf("%d frames from %d on, of %d", len(got.Frames), ack, p.sent+1)
	}
	for i, payload := range got.Frames {
		n := ack + session.Seq(i)
		if before, known := p.first[n]; known && before != string(payload) {
			p.t.Fatalf("frame %d was %s, and is now %s", n, before, payload)
		}
		p.first[n] = string(payload)
		if want := fmt.Sprintf(`"body":"message %d"`, n-1); n > 0 && !strings.Contains(string(payload), want) {
			p.t.Fatalf("frame %d is %s", n, payload)
		}
	}
	if len(got.Frames) > 0 {
		p.acked += session.Seq(rapid.IntRange(min(1, len(got.Frames)), len(got.Frames)).Draw(p.t, "taken"))
	}
}

// wait has the reader wait for a message that is added meanwhile. It comes at once if the news of it do, and at the
// heartbeat at the latest.
func (p *twoProcesses) wait() {
	for p.acked < p.sent {
		p.poll(p.any(), 0)
	}
	at, epoch, ack := p.any(), p.epoch, p.acked+1
	held := make(chan outcome, 1)
	go func() {
		got, err := at.Receive(context.Background(), rendezvous.ReceiveRequest{Session: p.reader.Key(), Ack: &ack, Epoch: &epoch})
		held <- outcome{got, err, time.Now()}
	}()
	time.Sleep(time.Millisecond)
	p.add()
	began := time.Now()
	if rapid.Bool().Draw(p.t, "told") {
		p.tell()
	}
	got := <-held
	p.must(got.err)
	if got.at.Sub(began) > at.Config.HeartbeatInterval || len(got.got.Frames) != 1 {
		p.t.Fatalf("%d frames after %v", len(got.got.Frames), got.at.Sub(began))
	}
	p.take(got.got)
}

// shake resumes the reader's session.
func (p *twoProcesses) shake() {
	h := rendezvous.Handshake{ID: p.reader, App: app, Side: "reader", NextExpected: p.acked + 1, NextSent: p.done, Epoch: p.epoch}
	w, err := p.any().Handshake(p.t.Context(), h)
	p.must(err)
	if !w.Resumed || w.Epoch != p.epoch+1 || w.Kept != p.acked+1 || w.Wanted != p.done {
		p.t.Fatalf("a handshake of epoch %d, after %d commands, with frame %d wanted, is answered %+v", p.epoch, p.done, p.acked+1, w)
	}
	p.epoch = w.Epoch
}

// tell has notifications arrive, in any order, and some of them twice.
func (p *twoProcesses) tell() {
	p.mu.Lock()
	untold := p.untold
	p.untold = nil
	p.mu.Unlock()
	if len(untold) == 0 {
		return
	}
	for _, i := range rapid.Permutation(indices(len(untold))).Draw(p.t, "order") {
		untold[i]()
		if i%3 == 0 {
			untold[i]()
		}
	}
}

// lose loses the notifications that did not arrive yet.
func (p *twoProcesses) lose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.untold = nil
}

// pass lets time pass, not so long that a session falls silent.
func (p *twoProcesses) pass() {
	time.Sleep(time.Duration(rapid.IntRange(1, 40_000).Draw(p.t, "ms")) * time.Millisecond)
	for _, id := range []session.ID{p.sender, p.reader} {
		_, err := p.any().Session(p.t.Context(), rendezvous.Query{Session: id.Key()})
		p.must(err)
	}
}

// kill kills a process, and starts another one in its place.
func (p *twoProcesses) kill() {
	i := rapid.IntRange(0, 1).Draw(p.t, "killed")
	killed := p.processes[i]
	p.startProcess(i, time.Duration(killed.skew.Load()))
	killed.stop()
}

func indices(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}
