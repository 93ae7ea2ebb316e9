package repo_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"restante/rendezvous"
	"restante/repo"
)

// wantUnavailable checks that err is ErrUnavailable with SQLite's result code.
func wantUnavailable(t *testing.T, what string, err error, code int) {
	t.Helper()
	if !errors.Is(err, rendezvous.ErrUnavailable) {
		t.Errorf("%s: %v, not ErrUnavailable", what, err)
	}
	if e, ok := errors.AsType[*sqlite.Error](err); code != 0 && (!ok || e.Code()&0xff != code) {
		t.Errorf("%s: %v, not code %d", what, err, code)
	}
}

// wantWorking checks that db reads and writes.
func wantWorking(t *testing.T, db *repo.DB) {
	t.Helper()
	if err := errors.Join(db.Probe(t.Context()), readCounts(t.Context(), db), db.Update(t.Context(), func(tx rendezvous.Tx) error {
		if err := createMailbox(tx, "works"); err != nil {
			return err
		}
		m, err := tx.Mailbox("app", "works")
		return errors.Join(err, tx.RetireMailbox(m, rendezvous.Usage{Result: rendezvous.ResultQuiet}))
	})); err != nil {
		t.Errorf("it does not work: %v", err)
	}
}

// readCounts reads from db.
func readCounts(ctx context.Context, db *repo.DB) error {
	return db.View(ctx, func(tx rendezvous.Tx) error {
		_, err := tx.Counts()
		return err
	})
}

// createWithMessage stores a mailbox with a message of n bytes.
func createWithMessage(id rendezvous.MailboxID, n int) func(rendezvous.Tx) error {
	return func(tx rendezvous.Tx) error {
		if err := createMailbox(tx, id); err != nil {
			return err
		}
		m, err := tx.Mailbox("app", id)
		if err != nil {
			return err
		}
		body := strings.Repeat("x", n)
		return tx.Append(m.Appended(body, tx.Now()), rendezvous.Message{Position: 1, Draft: rendezvous.Draft{Body: body}, Received: tx.Now()})
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	must(db.Update(t.Context(), createWithMessage("before", 10)))
	repo.ExecOnWriter(t, db, "PRAGMA max_page_count = 1") // the file cannot grow
	before := repo.Dump(t, db)

	err := db.Update(t.Context(), createWithMessage("alone", 100_000))
	wantUnavailable(t, "alone", err, sqlite3.SQLITE_FULL)
	if !errors.Is(err, rendezvous.ErrUnwritable) {
		t.Errorf("alone: %v, not ErrUnwritable", err)
	}
	if problem := repo.SQLiteOpenError(err); problem.Problem != "the disk is full" {
		t.Error(problem)
	}
	if after := repo.Dump(t, db); after != before {
		t.Errorf("it changed:\n%s\nfrom:\n%s", after, before)
	}
	if err := readCounts(t.Context(), db); err != nil {
		t.Error(err)
	}

	// Updates that fit are committed, though they are in a batch with one that does not fit.
	release := blockWriter(db)
	small := enqueue(t.Context(), db, createWithMessage("small", 10))
	big := enqueue(t.Context(), db, createWithMessage("big", 100_000))
	ignores := enqueue(t.Context(), db, func(tx rendezvous.Tx) error {
		_ = createWithMessage("ignored", 100_000)(tx)
		return createMailbox(tx, "outside")
	})
	last := enqueue(t.Context(), db, createWithMessage("last", 10))
	release()
	wantUnavailable(t, "big", <-big, sqlite3.SQLITE_FULL)
	wantUnavailable(t, "ignored", <-ignores, sqlite3.SQLITE_FULL)
	if err := errors.Join(<-small, <-last); err != nil {
		t.Error(err)
	}
	must(db.View(t.Context(), func(tx rendezvous.Tx) error {
		if c, err := tx.Counts(); err != nil || c.Mailboxes != 3 || c.Messages != 3 {
			t.Errorf("%+v, %v", c, err)
		}
		return nil
	}))

	repo.ExecOnWriter(t, db, "PRAGMA max_page_count = 4294967294")
	if err := db.Update(t.Context(), createWithMessage("big", 100_000)); err != nil {
		t.Error(err)
	}
}

func TestMovedFile(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{"", "-wal"} {
		t.Run("the database"+suffix, func(t *testing.T) {
			t.Parallel()
			db := open(t, repo.Options{})
			path := repo.Path(t, db) + suffix
			must(db.Update(t.Context(), createWithMessage("before", 10)))
			before := repo.Dump(t, db)
			gone := func(what string) {
				t.Helper()
				wantUnavailable(t, what+": Update", db.Update(t.Context(), createWithMessage(rendezvous.MailboxID(what), 10)), 0)
				wantUnavailable(t, what+": View", readCounts(t.Context(), db), 0)
				wantUnavailable(t, what+": Probe", db.Probe(t.Context()), 0)
			}
			must(os.Rename(path, path+".aside"))
			gone("moved away")
			must(os.WriteFile(path, templateFile(), 0o600))
			gone("another in its place")
			must(os.Remove(path))
			must(os.Rename(path+".aside", path))
			if after := repo.Dump(t, db); after != before {
				t.Errorf("it changed:\n%s\nfrom:\n%s", after, before)
			}
			wantWorking(t, db)
		})
	}
}

func TestFileMovedDuringCommit(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	path := repo.Path(t, db)
	repo.SetHook(db, func(query string) error {
		if query == "COMMIT" {
			must(os.Rename(path, path+".aside"))
		}
		return nil
	})
	err := db.Update(t.Context(), func(tx rendezvous.Tx) error {
		tx.AfterCommit(func() { t.Error("an AfterCommit function ran") })
		return createMailbox(tx, "x")
	})
	if !errors.Is(err, rendezvous.ErrOutcomeUnknown) || errors.Is(err, rendezvous.ErrUnavailable) {
		t.Errorf("%v, not only ErrOutcomeUnknown", err)
	}
	repo.SetHook(db, nil)
	must(os.Rename(path+".aside", path))
	wantWorking(t, db)
}

// lockFile has another program lock db for writing until unlock is called.
func lockFile(t *testing.T, db *repo.DB) (unlock func()) {
	t.Helper()
	other, err := repo.OpenRaw(t, repo.Path(t, db)).Conn(t.Context())
	must(err)
	t.Cleanup(func() { _ = other.Close() })
	_, err = other.ExecContext(t.Context(), "BEGIN EXCLUSIVE")
	must(err)
	return func() {
		_, err := other.ExecContext(t.Context(), "ROLLBACK")
		must(err)
	}
}

// TestLockedByAnotherProgram locks the database for longer than a statement waits: reads go on, and updates
// wait and succeed.
func TestLockedByAnotherProgram(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	repo.ExecOnWriter(t, db, "PRAGMA busy_timeout = 10")
	unlock := lockFile(t, db)
	tried := make(chan struct{}, 1000)
	repo.SetHook(db, func(query string) error {
		if query == "BEGIN IMMEDIATE" {
			tried <- struct{}{}
		}
		return nil
	})
	outcomes := make(chan error, 5)
	for i := range cap(outcomes) {
		go func() {
			outcomes <- db.Update(t.Context(), func(tx rendezvous.Tx) error { return createMailbox(tx, rendezvous.MailboxID(rune('a'+i))) })
		}()
	}
	for range 4 {
		<-tried
		if err := readCounts(t.Context(), db); err != nil {
			t.Errorf("View: %v", err)
		}
	}
	if len(outcomes) > 0 {
		t.Errorf("an update did not wait: %v", <-outcomes)
	}
	unlock()
	for range cap(outcomes) {
		if err := <-outcomes; err != nil {
			t.Errorf("Update: %v", err)
		}
	}
	repo.SetHook(db, nil)
	wantWorking(t, db)
}

// TestLockedForTooLong locks the database for longer than updates wait: they fail, and the service goes on
// reading.
func TestLockedForTooLong(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	repo.ExecOnWriter(t, db, "PRAGMA busy_timeout = 10")
	repo.SetLockPatience(db, 20*time.Millisecond)
	unlock := lockFile(t, db)
	err := db.Update(t.Context(), func(rendezvous.Tx) error {
		t.Error("it ran")
		return nil
	})
	wantUnavailable(t, "Update", err, sqlite3.SQLITE_BUSY)
	if problem := repo.SQLiteOpenError(err); problem.Problem != "another program has locked it" {
		t.Error(problem)
	}

	s := &rendezvous.Service{Config: rendezvous.DefaultConfig(), Store: db, Log: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		s.Run(ctx)
	}()
	defer func() {
		stop()
		<-ran
	}()
	side := rendezvous.SideRef{App: "app", Side: "side"}
	for range 2 {
		_, err = s.OpenFor(t.Context(), side, "mailbox")
		if f, ok := errors.AsType[*rendezvous.Failure](err); !ok || f.Code != rendezvous.StorageUnavailable {
			t.Errorf("OpenFor: %v", err)
		}
		if _, err := s.ListFor(t.Context(), side); err != nil {
			t.Errorf("ListFor: %v", err)
		}
		if err := s.Ready(t.Context()); err != nil {
			t.Errorf("Ready: %v", err)
		}
	}
	unlock()
	if _, err := s.OpenFor(t.Context(), side, "mailbox"); err != nil {
		t.Errorf("OpenFor afterwards: %v", err)
	}
}

// TestCloseWhileLocked closes a store whose writer waits for another program.
func TestCloseWhileLocked(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	repo.ExecOnWriter(t, db, "PRAGMA busy_timeout = 10")
	defer lockFile(t, db)()
	tried := make(chan struct{}, 1000)
	repo.SetHook(db, func(string) error {
		tried <- struct{}{}
		return nil
	})
	outcome := make(chan error, 1)
	go func() { outcome <- db.Update(t.Context(), func(rendezvous.Tx) error { return nil }) }()
	<-tried
	_ = db.Close() // it cannot empty the log of a locked file
	wantUnavailable(t, "Update", <-outcome, 0)
}

func TestReadConnectionRefusesWrites(t *testing.T) {
	t.Parallel()
	err := repo.ReadOnlyWrite(open(t, repo.Options{}))
	wantUnavailable(t, "a write", err, sqlite3.SQLITE_READONLY)
	if problem := repo.SQLiteOpenError(err); problem.Problem != "it cannot be written to" {
		t.Error(problem)
	}
}

func TestDamageFoundAfterOpen(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	path := repo.Path(t, db)
	must(db.Update(t.Context(), createWithMessage("x", 100_000)))
	must(db.Close())
	file, err := os.ReadFile(path)
	must(err)
	for i := len(templateFile()); i < len(file); i++ {
		file[i] = 0xa5
	}
	must(os.WriteFile(path, file, 0o600))
	db = open(t, repo.Options{URL: path})
	wantUnavailable(t, "View", db.View(t.Context(), func(tx rendezvous.Tx) error {
		_, err := tx.Messages(1, 0, 9, 1<<20)
		return err
	}), sqlite3.SQLITE_CORRUPT)
}

// SQLite never ends a transaction without an error, as far as is known. If it did, the next
// statement would be committed by itself.
func TestNoStatementOutsideOfATransaction(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	for _, where := range []string{insertMailbox, "COMMIT"} {
		before := repo.Dump(t, db)
		repo.SetHook(db, func(query string) error {
			if oneLine(query) == where {
				_ = repo.EndTransaction(db)
			}
			return nil
		})
		err := db.Update(t.Context(), func(tx rendezvous.Tx) error {
			_ = createMailbox(tx, "x")
			_ = createMailbox(tx, "y")
			return nil
		})
		repo.SetHook(db, nil)
		if err == nil {
			t.Errorf("ended at %s: it was no error", where)
		}
		if after := repo.Dump(t, db); after != before {
			t.Errorf("ended at %s: it changed:\n%s", where, after)
		}
	}
	wantWorking(t, db)
}

func TestEndedBatchRunsAgainOneByOne(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"SAVEPOINT member", "RELEASE member"} {
		db := open(t, repo.Options{})
		release := blockWriter(db) // the first member of the batch
		ended := false
		repo.SetHook(db, func(query string) error {
			if oneLine(query) == where {
				ended = true
				_ = repo.EndTransaction(db)
			}
			return nil
		})
		outcome := enqueue(t.Context(), db, func(tx rendezvous.Tx) error { return createMailbox(tx, "x") })
		last := enqueue(t.Context(), db, func(tx rendezvous.Tx) error { // because of it, the batch runs again with savepoints
			return errors.Join(createMailbox(tx, "y"), errTest)
		})
		release()
		if err := <-outcome; err != nil {
			t.Errorf("ended at %s: %v", where, err)
		}
		if err := <-last; !errors.Is(err, errTest) || !ended {
			t.Errorf("ended at %s: %v; what fails failed with %v", where, ended, err)
		}
		repo.SetHook(db, nil)
		must(db.View(t.Context(), func(tx rendezvous.Tx) error {
			_, err := tx.Mailbox("app", "x")
			return err
		}))
		wantWorking(t, db)
	}
}

func TestBrokenConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	repo.SetHook(db, func(query string) error {
		if query == "COMMIT" || query == "ROLLBACK" {
			return errTest
		}
		return nil
	})
	times := 0
	err := db.Update(t.Context(), func(tx rendezvous.Tx) error {
		times++
		return createMailbox(tx, "x")
	})
	if !errors.Is(err, errTest) || times != 1 { // a lone update does not run again
		t.Errorf("it ran %d times: %v", times, err)
	}
	repo.SetHook(db, nil)
	wantWorking(t, db)
	must(db.View(t.Context(), func(tx rendezvous.Tx) error {
		if _, err := tx.Mailbox("app", "x"); !errors.Is(err, rendezvous.ErrNotFound) {
			t.Errorf("the mailbox: %v", err)
		}
		return nil
	}))
}
