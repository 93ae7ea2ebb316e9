package repo_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restante/rendezvous"
	"restante/repo"
	"restante/session"
)

var errTest = errors.New("mine")

// recordStatements records the statements that db runs from now on.
func recordStatements(db *repo.DB) (statements func() []string) {
	var mu sync.Mutex
	var list []string
	repo.SetHook(db, func(query string) error {
		mu.Lock()
		defer mu.Unlock()
		list = append(list, oneLine(query))
		return nil
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(list)
	}
}

// blockWriter keeps the writer busy until release is called.
func blockWriter(db *repo.DB) (release func()) {
	repo.SetBatchTime(db, time.Hour) // so that updates that wait meanwhile share a batch, however slow the machine is
	began, end, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		begin := sync.OnceFunc(func() { close(began) }) // it may run twice
		_ = db.Update(context.Background(), func(rendezvous.Tx) error {
			begin()
			<-end
			return nil
		})
	}()
	<-began
	return func() {
		close(end)
		<-ended
	}
}

// enqueue passes f to a busy writer and returns once f is queued.
func enqueue(ctx context.Context, db *repo.DB, f func(rendezvous.Tx) error) (outcome <-chan error) {
	waiting := repo.QueueLength(db)
	answer := make(chan error, 1)
	go func() { answer <- db.Update(ctx, f) }()
	for repo.QueueLength(db) == waiting {
		runtime.Gosched()
	}
	return answer
}

// createMailbox creates an empty mailbox of the app "app", which lives for a minute.
func createMailbox(tx rendezvous.Tx, id rendezvous.MailboxID) error {
	_, err := tx.CreateMailbox(rendezvous.NewMailbox("app", id, time.Minute, tx.Now()))
	return err
}

const (
	insertMailbox  = "INSERT INTO mailboxes (app, id, created, updated, ttl, stale_at, for_nameplate, crowded, last_position, bytes, stored) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING key"
	stampStatement = "UPDATE modified SET updated = ? WHERE one = 1 AND updated < ?"
)

func TestLoneUpdateDoesNotWait(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name string
		f    func(rendezvous.Tx) error
		want string
	}{
		{"it changes something", func(tx rendezvous.Tx) error { return createMailbox(tx, "x") }, insertMailbox + "; " + stampStatement + "; COMMIT"},
		{"it changes nothing", func(tx rendezvous.Tx) error { return tx.DeleteSession(session.Key{}) }, "DELETE FROM sessions WHERE key = ?; COMMIT"},
		{"it fails", func(tx rendezvous.Tx) error { return errors.Join(errTest, createMailbox(tx, "y")) }, insertMailbox + "; ROLLBACK; BEGIN IMMEDIATE; COMMIT"},
		{"it does nothing", func(rendezvous.Tx) error { return nil }, "COMMIT"},
	} {
		t.Run(x.name, func(t *testing.T) {
			db := open(t, repo.Options{})
			statements := recordStatements(db)
			if err := db.Update(t.Context(), x.f); err != nil && !errors.Is(err, errTest) {
				t.Fatal(err)
			}
			if diff := cmp.Diff("BEGIN IMMEDIATE; "+x.want, strings.Join(statements(), "; ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestConcurrentUpdatesShareCommits(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	release := blockWriter(db)
	statements := recordStatements(db)
	var outcomes []<-chan error
	for i := range 100 {
		outcomes = append(outcomes, enqueue(t.Context(), db, func(tx rendezvous.Tx) error {
			return createMailbox(tx, rendezvous.MailboxID(rune('0'+i)))
		}))
	}
	release()
	for _, o := range outcomes {
		if err := <-o; err != nil {
			t.Error(err)
		}
	}
	count := map[string]int{}
	for _, s := range statements() {
		count[s]++
	}
	if n := count["COMMIT"]; n > 50 || count[insertMailbox] != 100 || count[stampStatement] > n || count["SAVEPOINT member"] > 0 {
		t.Errorf("%v", count)
	}
}

// A member that fails costs the others of its batch a second run, with savepoints, if it had changed something, and
// otherwise nothing.
func TestAMemberThatFailsCostsAtMostASecondRun(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		changes          bool // before it fails
		runs, savepoints int
	}{
		"after a change":            {changes: true, runs: 2, savepoints: 4},
		"before it changes a thing": {runs: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, repo.Options{})
			release := blockWriter(db)
			statements := recordStatements(db)
			runs := make([]int, 3)
			var outcomes []<-chan error
			for i := range runs {
				outcomes = append(outcomes, enqueue(t.Context(), db, func(tx rendezvous.Tx) error {
					runs[i]++
					switch {
					case i != 1:
						return createMailbox(tx, rendezvous.MailboxID(rune('0'+i)))
					case tt.changes:
						return errors.Join(createMailbox(tx, "fails"), errTest)
					}
					return errTest
				}))
			}
			release()
			for i, o := range outcomes {
				if err := <-o; (err != nil) != (i == 1) {
					t.Errorf("member %d: %v", i, err)
				}
			}
			savepoints := 0
			for _, s := range statements() {
				if s == "SAVEPOINT member" {
					savepoints++
				}
			}
			if runs[0] != tt.runs || runs[1] != tt.runs || savepoints > tt.savepoints || tt.changes && savepoints == 0 {
				t.Errorf("the runs are %v, with %d savepoints", runs, savepoints)
			}
			must(db.View(t.Context(), func(tx rendezvous.Tx) error {
				_, err := tx.Mailbox("app", "fails")
				if !errors.Is(err, rendezvous.ErrNotFound) {
					t.Errorf("what failed is stored: %v", err)
				}
				for _, id := range []rendezvous.MailboxID{"0", "2"} {
					if _, err := tx.Mailbox("app", id); err != nil {
						t.Errorf("%s: %v", id, err)
					}
				}
				return nil
			}))
		})
	}
}

func TestCanceledUpdateLeavesTheQueue(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	release := blockWriter(db)
	ctx, leave := context.WithCancel(t.Context())
	outcome := enqueue(ctx, db, func(rendezvous.Tx) error {
		t.Error("it ran")
		return nil
	})
	leave()
	if err := <-outcome; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	behind := enqueue(t.Context(), db, func(tx rendezvous.Tx) error { return createMailbox(tx, "x") })
	release()
	if err := <-behind; err != nil {
		t.Error(err)
	}
}

func TestUpdateSurvivesPanicAndGoexit(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	err := db.Update(t.Context(), func(tx rendezvous.Tx) error { return errors.Join(createMailbox(tx, "x"), panics(tx)) })
	p, ok := errors.AsType[*repo.PanicError](err)
	if !ok || p.Value != "ouch" || !strings.Contains(string(p.Stack), "repo_test.panics") {
		t.Errorf("%v", err)
	}
	if err := db.View(t.Context(), panics); !errors.As(err, &p) {
		t.Errorf("%v", err)
	}
	if err := db.Update(t.Context(), func(tx rendezvous.Tx) error {
		_ = createMailbox(tx, "x")
		runtime.Goexit()
		return nil
	}); err == nil {
		t.Error("a goroutine that ended was no error")
	}
	if err := db.Update(t.Context(), func(tx rendezvous.Tx) error { return createMailbox(tx, "x") }); err != nil {
		t.Error(err)
	}
}

func panics(rendezvous.Tx) error { panic("ouch") }

func TestTxIsUnusableAfterReturn(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	var kept rendezvous.Tx
	for _, run := range []func(context.Context, func(rendezvous.Tx) error) error{db.View, db.Update} {
		if err := run(t.Context(), func(tx rendezvous.Tx) error { kept = tx; return nil }); err != nil {
			t.Fatal(err)
		}
		release := blockWriter(db) // another transaction is open on the connection
		if _, err := kept.Counts(); err == nil {
			t.Error("it can still read")
		}
		if err := kept.MarkUsed(session.Key{}); err == nil {
			t.Error("it can still write")
		}
		release()
	}
}

func TestLastModificationNeverGoesBack(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(2000)
	db := open(t, repo.Options{Now: func() time.Time { return now }})
	for _, id := range []rendezvous.MailboxID{"a", "b"} {
		if err := db.Update(t.Context(), func(tx rendezvous.Tx) error { return createMailbox(tx, id) }); err != nil {
			t.Fatal(err)
		}
		if err := db.View(t.Context(), func(tx rendezvous.Tx) error {
			updated, err := tx.Updated()
			if !updated.Equal(time.UnixMilli(2000)) {
				t.Errorf("%v", updated)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		now = time.UnixMilli(1000) // read by the writer only after the next Update
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	path := repo.Path(t, db)
	release := blockWriter(db)
	waiting := enqueue(t.Context(), db, func(tx rendezvous.Tx) error { return createMailbox(tx, "x") })
	closed := make(chan error, 1)
	go func() { closed <- db.Close() }()
	for db.View(t.Context(), func(rendezvous.Tx) error { return nil }) == nil {
		runtime.Gosched()
	}
	release()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	// The queued update may have been in the last batch; its result must be true.
	told := <-waiting
	if told != nil && !errors.Is(told, rendezvous.ErrUnavailable) {
		t.Error(told)
	}
	for what, err := range map[string]error{
		"Update": db.Update(t.Context(), func(rendezvous.Tx) error { return nil }),
		"View":   db.View(t.Context(), func(rendezvous.Tx) error { return nil }),
		"Probe":  db.Probe(t.Context()),
	} {
		if !errors.Is(err, rendezvous.ErrUnavailable) {
			t.Errorf("%s afterwards: %v", what, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Errorf("once more: %v", err)
	}
	if exists(path + "-wal") {
		t.Error("the log was not written back")
	}
	again := open(t, repo.Options{URL: path})
	if err := again.View(t.Context(), func(tx rendezvous.Tx) error {
		_, err := tx.Mailbox("app", "x")
		if (err == nil) != (told == nil) {
			t.Errorf("told %v, and then: %v", told, err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
