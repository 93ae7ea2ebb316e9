package repo_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"restante/rendezvous"
	"restante/repo"
)

// unavailable tells that an error says so, for the reason that the code gives.
func unavailable(t *testing.T, what string, err error, code int) {
	t.Helper()
	if !errors.Is(err, rendezvous.ErrUnavailable) {
		t.Errorf("%s: %v, not ErrUnavailable", what, err)
	}
	if e, ok := errors.AsType[*sqlite.Error](err); code != 0 && (!ok || e.Code()&0xff != code) {
		t.Errorf("%s: %v, not code %d", what, err, code)
	}
}

// works tells that db reads and writes.
func works(t *testing.T, db *repo.DB) {
	t.Helper()
	if err := errors.Join(db.Probe(t.Context()), look(t.Context(), db), db.Update(t.Context(), func(tx rendezvous.Tx) error {
		if err := create(tx, "works"); err != nil {
			return err
		}
		m, err := tx.Mailbox("app", "works")
		return errors.Join(err, tx.RetireMailbox(m, rendezvous.Usage{Result: rendezvous.ResultQuiet}))
	})); err != nil {
		t.Errorf("it does not work: %v", err)
	}
}

// look reads something.
func look(ctx context.Context, db *repo.DB) error {
	return db.View(ctx, func(tx rendezvous.Tx) error {
		_, err := tx.Counts()
		return err
	})
}

// fill stores a mailbox with a message of n bytes.
func fill(id rendezvous.MailboxID, n int) func(rendezvous.Tx) error {
	return func(tx rendezvous.Tx) error {
		if err := create(tx, id); err != nil {
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

func TestAFullDisk(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	must(db.Update(t.Context(), fill("before", 10)))
	repo.ExecOnWriter(t, db, "PRAGMA max_page_count = 1") // as many as there are
	before := repo.Dump(t, db)

	err := db.Update(t.Context(), fill("alone", 100_000))
	unavailable(t, "alone", err, sqlite3.SQLITE_FULL)
	if problem := repo.SQLiteOpenError(err); problem.Problem != "the disk is full" {
		t.Error(problem)
	}
	if after := repo.Dump(t, db); after != before {
		t.Errorf("it changed:\n%s\nfrom:\n%s", after, before)
	}
	if err := look(t.Context(), db); err != nil {
		t.Error(err)
	}

	// What fits is kept, though it shared the batch with what does not.
	release := busy(db)
	small := enqueue(t.Context(), db, fill("small", 10))
	big := enqueue(t.Context(), db, fill("big", 100_000))
	ignores := enqueue(t.Context(), db, func(tx rendezvous.Tx) error {
		_ = fill("ignored", 100_000)(tx)
		return create(tx, "outside")
	})
	last := enqueue(t.Context(), db, fill("last", 10))
	release()
	unavailable(t, "big", <-big, sqlite3.SQLITE_FULL)
	unavailable(t, "ignored", <-ignores, sqlite3.SQLITE_FULL)
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
	if err := db.Update(t.Context(), fill("big", 100_000)); err != nil {
		t.Error(err)
	}
}

func TestAFileThatGoesAway(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{"", "-wal"} {
		t.Run("the database"+suffix, func(t *testing.T) {
			t.Parallel()
			db := open(t, repo.Options{})
			path := repo.Path(t, db) + suffix
			must(db.Update(t.Context(), fill("before", 10)))
			before := repo.Dump(t, db)
			gone := func(what string) {
				t.Helper()
				unavailable(t, what+": Update", db.Update(t.Context(), fill(rendezvous.MailboxID(what), 10)), 0)
				unavailable(t, what+": View", look(t.Context(), db), 0)
				unavailable(t, what+": Probe", db.Probe(t.Context()), 0)
			}
			must(os.Rename(path, path+".aside"))
			gone("moved away")
			must(os.WriteFile(path, fresh(), 0o600))
			gone("another in its place")
			must(os.Remove(path))
			must(os.Rename(path+".aside", path))
			if after := repo.Dump(t, db); after != before {
				t.Errorf("it changed:\n%s\nfrom:\n%s", after, before)
			}
			works(t, db)
		})
	}
}

func TestAFileThatGoesAwayDuringTheCommit(t *testing.T) {
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
		return create(tx, "x")
	})
	if !errors.Is(err, rendezvous.ErrOutcomeUnknown) || errors.Is(err, rendezvous.ErrUnavailable) {
		t.Errorf("%v, not only ErrOutcomeUnknown", err)
	}
	repo.SetHook(db, nil)
	must(os.Rename(path+".aside", path))
	works(t, db)
}

func TestADatabaseThatAnotherProgramLocks(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	repo.ExecOnWriter(t, db, "PRAGMA busy_timeout = 10")
	other, err := repo.OpenRaw(t, repo.Path(t, db)).Conn(t.Context())
	must(err)
	defer other.Close()
	_, err = other.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	must(err)

	var outcomes []<-chan error
	never := func(rendezvous.Tx) error {
		t.Error("it ran")
		return nil
	}
	for range 5 {
		outcome := make(chan error, 1)
		go func() { outcome <- db.Update(t.Context(), never) }()
		outcomes = append(outcomes, outcome)
	}
	for _, o := range outcomes {
		err := <-o
		unavailable(t, "Update", err, sqlite3.SQLITE_BUSY)
		if problem := repo.SQLiteOpenError(err); problem.Problem != "another program has locked it" {
			t.Error(problem)
		}
	}
	if err := look(t.Context(), db); err != nil {
		t.Errorf("View: %v", err)
	}
	_, err = other.ExecContext(t.Context(), "ROLLBACK")
	must(err)
	works(t, db)
}

func TestAConnectionThatReadsRefusesToWrite(t *testing.T) {
	t.Parallel()
	err := repo.ReadOnlyWrite(open(t, repo.Options{}))
	unavailable(t, "a write", err, sqlite3.SQLITE_READONLY)
	if problem := repo.SQLiteOpenError(err); problem.Problem != "it cannot be written to" {
		t.Error(problem)
	}
}

func TestDamageThatShowsLater(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	path := repo.Path(t, db)
	must(db.Update(t.Context(), fill("x", 100_000)))
	must(db.Close())
	file, err := os.ReadFile(path)
	must(err)
	for i := len(fresh()); i < len(file); i++ {
		file[i] = 0xa5
	}
	must(os.WriteFile(path, file, 0o600))
	db = open(t, repo.Options{URL: path})
	unavailable(t, "View", db.View(t.Context(), func(tx rendezvous.Tx) error {
		_, err := tx.Messages(1, 0, 9, 1<<20)
		return err
	}), sqlite3.SQLITE_CORRUPT)
}

// SQLite never ends a transaction without an error, as far as is known; if it did, what
// came next would be kept whatever became of the rest.
func TestNothingRunsOutsideOfATransaction(t *testing.T) {
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
			_ = create(tx, "x")
			_ = create(tx, "y")
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
	works(t, db)
}

func TestABatchThatEndsByItselfIsRunAgainOneByOne(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"SAVEPOINT member", "RELEASE member"} {
		db := open(t, repo.Options{})
		release := busy(db) // it is the first of the batch
		repo.SetHook(db, func(query string) error {
			if oneLine(query) == where {
				_ = repo.EndTransaction(db)
			}
			return nil
		})
		outcome := enqueue(t.Context(), db, func(tx rendezvous.Tx) error { return create(tx, "x") })
		release()
		if err := <-outcome; err != nil {
			t.Errorf("ended at %s: %v", where, err)
		}
		repo.SetHook(db, nil)
		must(db.View(t.Context(), func(tx rendezvous.Tx) error {
			_, err := tx.Mailbox("app", "x")
			return err
		}))
		works(t, db)
	}
}

func TestAConnectionThatCannotRollBackIsReplaced(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	repo.SetHook(db, func(query string) error {
		if query == "COMMIT" || query == "ROLLBACK" {
			return errMine
		}
		return nil
	})
	times := 0
	err := db.Update(t.Context(), func(tx rendezvous.Tx) error {
		times++
		return create(tx, "x")
	})
	if !errors.Is(err, errMine) || times != 1 { // it was alone already
		t.Errorf("it ran %d times: %v", times, err)
	}
	repo.SetHook(db, nil)
	works(t, db)
	must(db.View(t.Context(), func(tx rendezvous.Tx) error {
		if _, err := tx.Mailbox("app", "x"); !errors.Is(err, rendezvous.ErrNotFound) {
			t.Errorf("the mailbox: %v", err)
		}
		return nil
	}))
}
