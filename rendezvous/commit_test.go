package rendezvous_test

import (
	"context"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/session"
)

// commitFault is how the commit of a transaction ends.
type commitFault struct {
	kept bool  // it commits
	err  error // what its caller is told; nil if it commits as it should
	late bool  // its caller has left before
}

// commitFaults are the ways in which a commit fails, or may have failed.
var commitFaults = map[string]commitFault{
	"it fails":                              {err: rendezvous.ErrUnavailable},
	"it is unknown, and was lost":           {err: rendezvous.ErrOutcomeUnknown},
	"it is unknown, and was kept":           {kept: true, err: rendezvous.ErrOutcomeUnknown},
	"the caller left, and it is unknown":    {kept: true, err: rendezvous.ErrOutcomeUnknown, late: true},
	"the caller left, and it was not kept":  {err: rendezvous.ErrOutcomeUnknown, late: true},
	"the caller left, and it failed, truly": {err: rendezvous.ErrUnavailable, late: true},
}

// faultyCommits is a store on which the test's next update commits in another way.
type faultyCommits struct {
	rendezvous.Store
	next *commitFault
}

// faultyTx is a transaction of which the store does not tell what became of it.
type faultyTx struct {
	rendezvous.Tx
	unknown *[]func()
}

func (t faultyTx) AfterCommit(func())    {}
func (t faultyTx) AfterUnknown(f func()) { *t.unknown = append(*t.unknown, f) }

func (s *faultyCommits) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	if ofLoop(ctx) || s.next == nil {
		return s.Store.Update(ctx, f)
	}
	fault := *s.next
	s.next = nil
	var unknown []func()
	err := s.Store.Update(ctx, func(tx rendezvous.Tx) error {
		unknown = nil
		if err := f(faultyTx{tx, &unknown}); err != nil || fault.kept {
			return err
		}
		return fault.err
	})
	if fault.kept && err != nil {
		return err
	}
	if fault.err == rendezvous.ErrOutcomeUnknown { //nolint:errorlint // it is this very error
		for _, f := range unknown {
			f()
		}
	}
	if fault.late {
		return context.Canceled
	}
	return fault.err
}

// onCommits runs a test of a world with a store whose commits fail when told to, on each engine.
func onCommits(t *testing.T, test func(t *testing.T, w *world, store *faultyCommits)) {
	t.Helper()
	var store *faultyCommits
	bubbleOn(t, nil, func(s rendezvous.Store) rendezvous.Store {
		store = &faultyCommits{Store: s}
		return store
	}, func(t *testing.T, w *world) { test(t, w, store) })
}

// TestACommitThatFailsIsAnnouncedNowhere covers commands with numbers: the client is never told that a command is done
// unless it is, and may send it again.
func TestACommitThatFailsIsAnnouncedNowhere(t *testing.T) {
	for name, fault := range commitFaults {
		t.Run(name, func(t *testing.T) {
			onCommits(t, func(t *testing.T, w *world, store *faultyCommits) {
				c := w.begin("a")
				first := c.command()
				first.Seq = new(session.Seq(0))
				poll := func() session.Seq { // fills what is remembered of the session, and reads it
					t.Helper()
					short := time.Millisecond
					got, err := w.Receive(t.Context(), rendezvous.ReceiveRequest{Session: c.key, Wait: &short})
					c.must(err)
					return got.Wanted
				}
				expect(t, poll(), 0)
				store.next = &fault
				answer, err := w.Allocate(t.Context(), first, 0)
				if !fault.late {
					expect(t, code(t, err), rendezvous.StorageUnavailable) // a numbered command may be sent again
					expect(t, answer.Wanted, 0)
					expect(t, *failure(t, err).Wanted, 0)
				}
				stored := session.Seq(0)
				if fault.kept {
					stored = 1
				}
				expect(t, poll(), stored)
				answer, err = w.Allocate(t.Context(), first, 0)
				c.must(err)
				expect(t, answer.Replayed, fault.kept)
				expect(t, answer.Wanted, 1)
				expect(t, poll(), 1)
			})
		})
	}
}

// TestFramesTellWhatAFailedCommitKept covers the same for receives that are answered with frames from memory: they tell
// which command is wanted, though they do not ask the storage.
func TestFramesTellWhatAFailedCommitKept(t *testing.T) {
	t.Parallel()
	for name, fault := range commitFaults {
		t.Run(name, func(t *testing.T) {
			onCommits(t, func(t *testing.T, w *world, store *faultyCommits) {
				a, b, mailbox := pair(w)
				a.add(mailbox, "one")
				expect(t, len(b.receive(0)), 1) // what is remembered of its outbox is full
				first := b.command()
				first.Seq = new(session.Seq(0))
				store.next = &fault
				if _, err := w.Allocate(t.Context(), first, 0); err == nil {
					t.Error("the commit did not fail")
				}
				a.add(mailbox, "two")
				got, err := b.poll(t.Context(), 1)
				b.must(err)
				expect(t, frames(t, got)[0].Body, "two")
				expect(t, got.Wanted == 1, fault.kept)
				answer, err := w.Allocate(t.Context(), first, 0)
				b.must(err)
				expect(t, answer.Replayed, fault.kept)
				a.add(mailbox, "three")
				got, err = b.poll(t.Context(), 2)
				b.must(err)
				expect(t, frames(t, got)[0].Body, "three")
				expect(t, got.Wanted, 1)
			})
		})
	}
}

// TestReadersFindWhatAnUnknownCommitKept covers a message whose commit is in doubt: its readers look at once, whether
// its sender still waits or not.
func TestReadersFindWhatAnUnknownCommitKept(t *testing.T) {
	for name, fault := range commitFaults {
		if !fault.kept {
			continue
		}
		t.Run(name, func(t *testing.T) {
			onCommits(t, func(t *testing.T, w *world, store *faultyCommits) {
				a, b, mailbox := pair(w)
				socket := w.openFor("of a socket")
				defer w.KeepAlive(socket)()
				followed := make(chan rendezvous.Position, 10)
				stop := w.Follow(socket, func() error {
					messages, err := w.Tail(context.Background(), socket, 0)
					for _, m := range messages {
						followed <- m.Position
					}
					return err
				}, func(error) {})
				defer stop()
				for range 2 { // what is remembered of its outbox is full
					short := time.Millisecond
					_, err := w.Receive(t.Context(), rendezvous.ReceiveRequest{Session: b.key, Wait: &short})
					b.must(err)
				}
				held := b.park(t.Context(), 0)
				time.Sleep(time.Second)
				sent := time.Now()
				store.next = &fault
				if _, err := w.Add(t.Context(), a.command(), mailbox, rendezvous.Draft{Phase: "p", Body: "kept"}); err == nil {
					t.Error("the commit did not fail")
				}
				got := <-held
				b.must(got.err)
				expect(t, got.at.Sub(sent), 0)
				expect(t, frames(t, got.got)[0].Body, "kept")

				store.next = &fault
				sent = time.Now()
				if _, err := w.AddFor(t.Context(), socketSide, "of a socket", []rendezvous.Draft{{Phase: "p"}}); err == nil {
					t.Error("the commit did not fail")
				}
				expect(t, <-followed, 1)
				expect(t, time.Since(sent), 0)
			})
		})
	}
}

// TestAHandshakeWhoseCommitWasInDoubtKeepsTheSessionAlive covers a client that came back shortly before its grace ran
// out, with a handshake that was kept and of which the server was not told. The session lives on from then, for every
// request, though the last sign of life that the server itself remembers is older than the grace.
func TestAHandshakeWhoseCommitWasInDoubtKeepsTheSessionAlive(t *testing.T) {
	t.Parallel()
	requests := map[string]func(c *client) error{
		"a handshake": func(c *client) error { return c.shake(0, 0) },
		"a command": func(c *client) error {
			_, err := c.w.Allocate(context.Background(), c.command(), 0)
			return err
		},
		"a query": func(c *client) error {
			_, err := c.w.Session(context.Background(), rendezvous.Query{Session: c.key})
			return err
		},
		"a poll": func(c *client) error {
			short := time.Millisecond
			_, err := c.w.Receive(context.Background(), rendezvous.ReceiveRequest{Session: c.key, Wait: &short})
			return err
		},
	}
	unknown := commitFaults["it is unknown, and was kept"]
	for name, request := range requests {
		t.Run(name, func(t *testing.T) {
			onCommits(t, func(t *testing.T, w *world, store *faultyCommits) {
				c := w.begin("a")
				silence := w.Config.HeartbeatInterval * time.Duration(w.Config.HeartbeatsUntilDead)
				time.Sleep(silence + w.Config.SessionGrace - time.Minute)
				store.next = &unknown
				expect(t, code(t, c.shake(0, 0)), rendezvous.StorageUnavailable)
				time.Sleep(2 * time.Minute)
				c.must(request(c))
			})
		})
	}
}
