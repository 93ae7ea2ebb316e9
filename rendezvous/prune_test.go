package rendezvous_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/session"
)

// plant changes the database without the server's knowledge, with foreign keys off.
func plant(t testing.TB, path, query string, args ...any) {
	t.Helper()
	if strings.HasPrefix(path, "postgres:") { // whose triggers check foreign keys, and are off for a replica
		path += "&session_replication_role=replica"
		for i := range args {
			query = strings.Replace(query, "?", fmt.Sprintf("$%d", i+1), 1)
		}
	}
	db := look(t, path)
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// look opens a database without the store and its rules.
func look(t testing.TB, path string) *sql.DB {
	t.Helper()
	driver, source := "sqlite", "file:"+path+"?_pragma=foreign_keys(0)&_pragma=busy_timeout(5000)"
	if strings.HasPrefix(path, "postgres:") {
		driver, source = "postgres", path
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// keyOf returns the key of a mailbox.
func (w *world) keyOf(id rendezvous.MailboxID) (key rendezvous.MailboxKey) {
	w.t.Helper()
	err := w.store.View(w.t.Context(), func(tx rendezvous.Tx) error {
		m, err := tx.Mailbox(app, id)
		key = m.Key
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return key
}

// panicking is a store that panics when one mailbox is read.
type panicking struct {
	rendezvous.Store
	at *atomic.Int64
}

func (s panicking) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	return s.Store.Update(ctx, func(tx rendezvous.Tx) error { return f(panickingTx{tx, s.at}) })
}

type panickingTx struct {
	rendezvous.Tx
	at *atomic.Int64
}

func (t panickingTx) Holders(k rendezvous.MailboxKey) ([]rendezvous.Session, error) {
	if int64(k) == t.at.Load() {
		panic("a poisoned row")
	}
	return t.Tx.Holders(k)
}

// TestTheStoryThatStartedIt is the fault of a former server: a close that failed half-way left a
// mailbox without its sides. Pruning met it, raised an exception and never ran again.
func TestTheStoryThatStartedIt(t *testing.T) {
	t.Parallel()
	var poisoned atomic.Int64
	bubbleOn(t, nil, func(s rendezvous.Store) rendezvous.Store { return panicking{s, &poisoned} }, func(t *testing.T, w *world) {
		c := w.begin("a")
		var claimed []rendezvous.Claimed
		for range 8 {
			claimed = append(claimed, c.allocate())
		}
		sideless, vanished, thorny, panicky := claimed[0], claimed[1], claimed[2], claimed[3]
		plant(t, w.path, `DELETE FROM mailbox_sides WHERE mailbox = ?`, w.keyOf(sideless.Mailbox))
		plant(t, w.path, `DELETE FROM mailbox_sides WHERE mailbox = ?`, w.keyOf(vanished.Mailbox))
		plant(t, w.path, `DELETE FROM mailboxes WHERE key = ?`, w.keyOf(vanished.Mailbox))
		plant(t, w.path, `CREATE TABLE thorns (mailbox BIGINT PRIMARY KEY REFERENCES mailboxes (key))`)
		plant(t, w.path, `INSERT INTO thorns VALUES (?)`, w.keyOf(thorny.Mailbox))
		poisoned.Store(int64(w.keyOf(panicky.Mailbox)))

		// The close that failed: a foreign key fails in the middle. Nothing of it is seen.
		before := w.Status(t.Context())
		_, err := w.Close(t.Context(), c.command(), thorny.Mailbox, rendezvous.Happy)
		expect(t, code(t, err), rendezvous.Internal)
		for _, s := range c.open(thorny.Mailbox).Sides {
			expect(t, s.Mood, "")
		}
		expect(t, c.claim(thorny.Nameplate), thorny)

		time.Sleep(time.Hour) // the loop runs, and meets all of them
		now := w.Status(t.Context())
		expect(t, now.Counts, rendezvous.Counts{Nameplates: 2, Mailboxes: 2}) // thorny and panicky are left whole
		expect(t, now.Prune.Failed, 2)
		expect(t, len(now.Failures), 2)
		for i, want := range []rendezvous.MailboxKey{w.keyOf(thorny.Mailbox), w.keyOf(panicky.Mailbox)} {
			f := now.Failures[i]
			expect(t, f.Kind, rendezvous.KindMailbox)
			expect(t, f.Key, fmt.Sprint(int64(want)))
			if f.Attempts < 2 || f.Attempts > 6 {
				t.Errorf("tried %d times within an hour: it is to be tried again, later and later", f.Attempts)
			}
		}
		if !strings.Contains(now.Failures[1].Err.Error(), "a poisoned row") {
			t.Errorf("the panic is not reported: %v", now.Failures[1].Err)
		}
		if !now.Updated.After(before.Updated) {
			t.Errorf("updated stands still at %v", now.Updated)
		}
		if runs := w.Stats().PruneRuns.Load(); runs < 11 {
			t.Errorf("the loop ran %d times in an hour", runs)
		}

		// A new mailbox is pruned in spite of them; and they are, once they can be.
		w.begin("b").allocate()
		plant(t, w.path, `DROP TABLE thorns`)
		poisoned.Store(0)
		time.Sleep(3 * time.Hour)
		now = w.Status(t.Context())
		expect(t, now.Counts, rendezvous.Counts{})
		expect(t, len(now.Failures), 0)
		expect(t, w.results("usage_mailboxes"), "pruney pruney pruney pruney pruney pruney pruney quiet")
		expect(t, w.results("usage_nameplates"), "pruney pruney pruney pruney pruney pruney pruney pruney pruney")
	})
}

// results returns the results in a table of usage, sorted.
func (w *world) results(table string) string {
	w.t.Helper()
	db := look(w.t, w.path)
	defer func() {
		if err := db.Close(); err != nil {
			w.t.Error(err)
		}
	}()
	var all sql.NullString
	query := `SELECT STRING_AGG(result, ' ') FROM (SELECT result FROM ` + table + ` ORDER BY result) AS results`
	if err := db.QueryRowContext(w.t.Context(), query).Scan(&all); err != nil {
		w.t.Fatal(err)
	}
	return all.String
}

func TestPruningWalksPastAPageOfWhatCannotBePruned(t *testing.T) {
	t.Parallel()
	bubble(t, func(c *rendezvous.Config) { c.Limits.Nameplates, c.Limits.Mailboxes = 2000, 2000 }, func(t *testing.T, w *world) {
		c := w.begin("a")
		plant(t, w.path, `CREATE TABLE thorns (mailbox BIGINT PRIMARY KEY REFERENCES mailboxes (key))`)
		for range 520 { // more than a page
			c.open(rendezvous.MailboxID(newID().Reveal()))
		}
		plant(t, w.path, `INSERT INTO thorns SELECT key FROM mailboxes`)
		time.Sleep(time.Second) // those behind become stale later
		for range 5 {
			c.open(rendezvous.MailboxID(newID().Reveal()))
		}
		time.Sleep(16 * time.Minute) // one run of pruning
		now := w.Status(t.Context())
		expect(t, now.Counts.Mailboxes, 520)
		expect(t, len(now.Failures), 520)
	})
}

// uncounted is a store in which a transaction that may write fails if it counts tombstones.
type uncounted struct{ rendezvous.Store }

func (s uncounted) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	return s.Store.Update(ctx, func(tx rendezvous.Tx) error { return f(uncountedTx{tx}) })
}

type uncountedTx struct{ rendezvous.Tx }

func (uncountedTx) CountTombstones(int) (int, error) {
	return 0, errors.New("all other changes would wait for that")
}

func TestTombstonesAreCapped(t *testing.T) {
	bubbleOn(t, func(c *rendezvous.Config) { c.Limits.AddressSessions, c.Limits.Sessions = 4, 1000 }, func(s rendezvous.Store) rendezvous.Store { return uncounted{s} }, func(t *testing.T, w *world) {
		var first *client
		for i := range 6 {
			c := w.begin(rendezvous.Side(fmt.Sprint(i)))
			c.allocate()
			_, err := w.End(t.Context(), c.command(), nil)
			c.must(err)
			if first == nil {
				first = c
			}
			time.Sleep(time.Second)
		}
		expect(t, w.state(first.key), string(rendezvous.SessionUnknown)) // the oldest made way
		w.Config.Limits.Sessions = 2
		run := w.Prune(t.Context())
		expect(t, run.Retired[rendezvous.KindTombstone], 2)
	})
}

// The log of a retired mailbox is deleted page by page, once no outbox refers to it.
func TestTheLogsOfRetiredMailboxesArePruned(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		for range 250 {
			a.add(mailbox, "x")
		}
		a.close(mailbox, rendezvous.Happy)
		b.close(mailbox, rendezvous.Happy)
		expect(t, w.Prune(t.Context()).Retired[rendezvous.KindLog], 0)
		for ack := session.Seq(0); ack < 251; ack += 100 { // it is readable as long as it is referred to
			got := b.receive(ack)
			expect(t, len(got), min(100, 251-int(ack)))
			expect(t, got[0].Seq, ack)
		}
		all := session.Seq(251)
		_, err := w.Acknowledge(t.Context(), rendezvous.Query{Session: b.key, Ack: &all})
		b.must(err)
		time.Sleep(time.Second)
		expect(t, w.Prune(t.Context()).Retired[rendezvous.KindLog], 1)
		expect(t, w.Prune(t.Context()).Retired[rendezvous.KindLog], 0)
		db := look(t, w.path)
		defer db.Close()
		var left int
		if err := db.QueryRowContext(t.Context(), `SELECT (SELECT COUNT(*) FROM messages) + (SELECT COUNT(*) FROM retired_logs)`).Scan(&left); err != nil {
			t.Fatal(err)
		}
		expect(t, left, 0)
	})
}

// leaving is a store whose caller leaves while a page of a log is deleted. The transaction goes on without it.
type leaving struct {
	rendezvous.Store
	leave *atomic.Pointer[context.CancelFunc]
}

func (s leaving) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	return s.Store.Update(ctx, func(tx rendezvous.Tx) error { return f(leavingTx{tx, s.leave.Load()}) })
}

type leavingTx struct {
	rendezvous.Tx
	leave *context.CancelFunc
}

func (t leavingTx) DeleteRetiredLog(k rendezvous.MailboxKey) (gone bool, err error) {
	if t.leave != nil {
		(*t.leave)()
	}
	return t.Tx.DeleteRetiredLog(k)
}

// A server that stops while a log is deleted does not look at what the transaction that still runs has found. The race
// detector tells.
func TestPruningOfALogIsLeft(t *testing.T) {
	leave := new(atomic.Pointer[context.CancelFunc])
	bubbleOn(t, nil, func(s rendezvous.Store) rendezvous.Store { return leaving{s, leave} }, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		for range 250 { // more than a page
			a.add(mailbox, "x")
		}
		a.close(mailbox, rendezvous.Happy)
		b.close(mailbox, rendezvous.Happy)
		all := session.Seq(len(b.receive(0)))
		all += session.Seq(len(b.receive(all)))
		all += session.Seq(len(b.receive(all)))
		_, err := w.Acknowledge(t.Context(), rendezvous.Query{Session: b.key, Ack: &all})
		b.must(err)
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		leave.Store(&cancel)
		expect(t, w.Prune(ctx).Retired[rendezvous.KindLog], 0)
		leave.Store(nil)
		time.Sleep(10*time.Second + time.Millisecond) // the loop goes on with it
		db := look(t, w.path)
		defer db.Close()
		var left int
		if err := db.QueryRowContext(t.Context(), `SELECT (SELECT COUNT(*) FROM messages) + (SELECT COUNT(*) FROM retired_logs)`).Scan(&left); err != nil {
			t.Fatal(err)
		}
		expect(t, left, 0)
	})
}

// The log of a retired mailbox does not wait for a run of pruning, nor for the end of the boot grace.
func TestTheLogsOfRetiredMailboxesGoSoon(t *testing.T) {
	bubble(t, func(c *rendezvous.Config) { c.BootGrace, c.PruneInterval = time.Hour, time.Hour }, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		a.add(mailbox, "x")
		a.close(mailbox, rendezvous.Happy)
		b.close(mailbox, rendezvous.Happy)
		all := session.Seq(len(b.receive(0)))
		_, err := w.Acknowledge(t.Context(), rendezvous.Query{Session: b.key, Ack: &all})
		b.must(err)
		time.Sleep(10*time.Second + time.Millisecond)
		db := look(t, w.path)
		defer db.Close()
		var left int
		if err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM messages`).Scan(&left); err != nil {
			t.Fatal(err)
		}
		expect(t, left, 0)
	})
}
