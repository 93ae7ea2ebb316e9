package repo_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"restante/rendezvous"
	"restante/repo"
	"restante/repo/pgtest"
)

// uncertainCommit is a store of which the next COMMIT is kept or lost without its server finding out which.
type uncertainCommit struct {
	db   *repo.DB
	next func(kept bool)
}

// onUncertainCommits runs a test with such a store on each engine: on SQLite, the disk fails to sync; on PostgreSQL, the
// connection is cut before COMMIT arrives, or before its reply does.
func onUncertainCommits(t *testing.T, test func(t *testing.T, u uncertainCommit)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		db := open(t, repo.Options{})
		test(t, uncertainCommit{db, func(kept bool) {
			repo.SetHook(db, func(query string) error {
				if query != "COMMIT" {
					return nil
				}
				repo.SetHook(db, nil)
				must(repo.EndWriterTransaction(db, kept))
				return repo.SQLiteError(sqlite3.SQLITE_IOERR_FSYNC)
			})
		}})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		p := newCutter(t, pgtest.Shared(t).Address())
		u, err := url.Parse(newDatabase(t))
		must(err)
		// One connection: the next bytes are the message with COMMIT, and with what is written before it.
		db := open(t, repo.Options{URL: "postgres://postgres@" + p.address + u.Path + "?sslmode=disable", Connections: 1})
		wantWorking(t, db)
		test(t, uncertainCommit{db, func(kept bool) {
			repo.Watch(db, func(query string) error {
				if query == "COMMIT" {
					repo.SetHook(db, nil)
					p.cut(kept)
				}
				return nil
			})
		}})
	})
}

// cutter passes connections on, and cuts them when it is told to.
type cutter struct {
	address string
	wait    atomic.Int64 // how many parts of what clients send are passed on before
	mode    atomic.Int32 // what happens to the next one
}

const (
	passOn int32 = iota
	cutNow
	cutAfterIt // they are passed on, and their reply is not
)

// cutAt cuts at the nth part of what clients send from now on.
func (c *cutter) cutAt(n int64, after bool) {
	c.wait.Store(n - 1)
	c.cut(after)
}

// passAll cuts no more, and reports whether a cut was still to come.
func (c *cutter) passAll() bool {
	c.wait.Store(0)
	return c.mode.Swap(passOn) != passOn
}

func (c *cutter) cut(after bool) {
	if after {
		c.mode.Store(cutAfterIt)
	} else {
		c.mode.Store(cutNow)
	}
}

// newCutter starts a cutter in front of a server.
func newCutter(t *testing.T, server string) *cutter {
	t.Helper()
	c := &cutter{}
	c.address = startProxy(t, server, c.pass)
	return c
}

func (c *cutter) pass(client, upstream net.Conn) {
	var swallow atomic.Bool
	replied := make(chan struct{})
	go func() {
		defer close(replied)
		defer client.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := upstream.Read(buffer)
			if swallow.Load() || err != nil {
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	}()
	defer func() {
		_ = upstream.Close()
		<-replied
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		mode := passOn
		if c.wait.Add(-1) < 0 {
			mode = c.mode.Swap(passOn)
		}
		switch mode {
		case cutNow:
			return
		case cutAfterIt:
			swallow.Store(true)
		}
		if _, err := io.Copy(upstream, strings.NewReader(string(buffer[:n]))); err != nil {
			return
		}
	}
}

// hasMailbox reports whether a mailbox is stored.
func hasMailbox(db *repo.DB, id rendezvous.MailboxID) bool {
	var err error
	must(db.View(context.Background(), func(tx rendezvous.Tx) error {
		_, err = tx.Mailbox("app", id)
		return nil
	}))
	if !errors.Is(err, rendezvous.ErrNotFound) {
		must(err)
	}
	return err == nil
}

// TestACommitOfWhichTheOutcomeIsUnknown covers a commit that was kept and one that was lost, with a caller that waits and
// with one that has left: AfterUnknown runs, and nothing else.
func TestACommitOfWhichTheOutcomeIsUnknown(t *testing.T) {
	t.Parallel()
	onUncertainCommits(t, func(t *testing.T, u uncertainCommit) {
		for i, x := range []struct{ kept, left bool }{{true, false}, {false, false}, {true, true}, {false, true}} {
			ctx, leave := context.WithCancel(t.Context())
			unknown := make(chan struct{})
			id := rendezvous.MailboxID(rune('a' + i))
			u.next(x.kept)
			err := u.db.Update(ctx, func(tx rendezvous.Tx) error {
				tx.AfterCommit(func() { t.Errorf("%+v: an AfterCommit function ran", x) })
				tx.AfterUnknown(func() { close(unknown) })
				if x.left {
					leave()
				}
				return createMailbox(tx, id)
			})
			leave()
			// A caller that has left may find that the transaction ended meanwhile: either answer is true then.
			told := errors.Is(err, rendezvous.ErrOutcomeUnknown) || x.left && errors.Is(err, context.Canceled)
			if !told || errors.Is(err, rendezvous.ErrUnavailable) {
				t.Errorf("%+v: %v", x, err)
			}
			select {
			case <-unknown:
			case <-time.After(4 * time.Minute):
				t.Fatalf("%+v: no AfterUnknown function ran", x)
			}
			if kept := hasMailbox(u.db, id); kept != x.kept {
				t.Errorf("%+v: it was kept: %v", x, kept)
			}
			wantWorking(t, u.db)
		}
	})
}

// TestACommitThatFails covers a COMMIT that is certain to have failed: nothing is kept, and nothing runs afterwards.
func TestACommitThatFails(t *testing.T) {
	t.Parallel()
	onUncertainCommits(t, func(t *testing.T, u uncertainCommit) {
		repo.SetHook(u.db, func(query string) error {
			if query == "COMMIT" {
				return errTest
			}
			return nil
		})
		err := u.db.Update(t.Context(), func(tx rendezvous.Tx) error {
			tx.AfterCommit(func() { t.Error("an AfterCommit function ran") })
			tx.AfterUnknown(func() { t.Error("an AfterUnknown function ran") })
			return createMailbox(tx, "m")
		})
		if !errors.Is(err, errTest) || errors.Is(err, rendezvous.ErrOutcomeUnknown) {
			t.Errorf("%v, want %v", err, errTest)
		}
		repo.SetHook(u.db, nil)
		if hasMailbox(u.db, "m") {
			t.Error("it was kept")
		}
		wantWorking(t, u.db)
	})
}
