package repo_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"restante/rendezvous"
	"restante/repo"
	"restante/session"
)

// behaviour is what a member of a batch does beside its changes.
type behaviour string

const (
	succeeds               behaviour = "keeps"
	fails                  behaviour = "fails"
	failsBefore            behaviour = "fails before it changes anything"
	panicking              behaviour = "panics"
	exits                  behaviour = "ends its goroutine"
	ignores                behaviour = "ignores that a statement failed"
	cancelsBefore          behaviour = "has a caller that cancels it in the queue"
	cancelsDuring          behaviour = "has a caller that cancels it while it runs"
	endsTransaction        behaviour = "makes the database end the transaction"
	endsTransactionOnce    behaviour = "makes the database end the transaction, the first time"
	endsTransactionIgnored behaviour = "makes the database end the transaction, and ignores it"
)

// statementFault makes one statement fail: the nth with this prefix.
type statementFault struct {
	prefix          string
	nth             int
	endsTransaction bool // it ends the transaction, too
}

// TestBatch runs members in one batch; each may misbehave, and statements fail. The stored data must
// be the same as if the committed members had run one by one in their order, and every caller must
// get the true result.
func TestBatch(t *testing.T) {
	t.Parallel()
	stopped := repo.Options{Now: func() time.Time { return time.UnixMilli(1000) }}
	db, again := open(t, stopped), open(t, stopped)
	rapid.Check(t, func(t *rapid.T) {
		b := &batchRun{t: t, db: db, replay: again, committed: make(map[int]bool)}
		members := rapid.SliceOfN(rapid.SampledFrom([]behaviour{
			succeeds, succeeds, succeeds, fails, failsBefore, panicking, exits, ignores, cancelsBefore, cancelsDuring, endsTransaction, endsTransactionOnce, endsTransactionIgnored,
		}), 1, 8).Draw(t, "members")
		troubles := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) statementFault {
			return statementFault{
				prefix:          rapid.SampledFrom([]string{"BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK", "COMMIT", "UPDATE modified", "INSERT INTO messages"}).Draw(t, "statement"),
				nth:             rapid.IntRange(1, 4).Draw(t, "nth"),
				endsTransaction: rapid.Bool().Draw(t, "ends the transaction"),
			}
		}), 0, 2).Draw(t, "troubles")
		b.run(members, troubles)
	})
}

type batchRun struct {
	t          *rapid.T
	db, replay *repo.DB
	endNext    bool // the next statement ends the transaction; used by the writer's goroutine

	mu        sync.Mutex
	order     []int        // the order of the commits; guarded by mu
	committed map[int]bool // guarded by mu
}

func (b *batchRun) run(members []behaviour, troubles []statementFault) {
	for _, db := range []*repo.DB{b.db, b.replay} {
		repo.DeleteAll(db)
		must(db.Update(context.Background(), func(tx rendezvous.Tx) error { return createMailbox(tx, "shared") }))
	}
	release := blockWriter(b.db)
	repo.SetHook(b.db, b.hook(troubles))
	outcomes := make([]<-chan error, len(members))
	for i, c := range members {
		ctx, leave := context.WithCancel(context.Background())
		defer leave()
		outcomes[i] = enqueue(ctx, b.db, b.member(i, c, leave))
		if c == cancelsBefore {
			leave()
			if err := <-outcomes[i]; !errors.Is(err, context.Canceled) {
				b.t.Errorf("member %d was canceled in the queue and returned %v", i, err)
			}
		}
	}
	release()
	for i, c := range members {
		if c != cancelsBefore {
			b.checkResult(i, c, <-outcomes[i], len(troubles) > 0)
		}
	}
	repo.SetHook(b.db, nil)
	must(b.db.Update(context.Background(), func(rendezvous.Tx) error { return nil })) // waits for the members whose callers no longer wait
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, i := range b.order {
		must(b.replay.Update(context.Background(), func(tx rendezvous.Tx) error { return updateMailbox(tx, i) }))
	}
	if diff := cmp.Diff(repo.Dump(b.t, b.replay), repo.Dump(b.t, b.db)); diff != "" {
		b.t.Errorf("one by one, and in a batch:\n%s", diff)
	}
}

// updateMailbox is what every member does. Its result depends on the members before.
func updateMailbox(tx rendezvous.Tx, i int) error {
	m, err := tx.Mailbox("app", "shared")
	if err != nil {
		return err
	}
	m = m.Appended("body", tx.Now())
	message := rendezvous.Message{Position: m.Last, Side: rendezvous.Side(fmt.Sprint(i)), Received: tx.Now()}
	return errors.Join(tx.Append(m, message), createMailbox(tx, rendezvous.MailboxID(fmt.Sprint(i))))
}

// member returns a function with the given behaviour.
func (b *batchRun) member(i int, c behaviour, leave func()) func(rendezvous.Tx) error {
	times := 0
	return func(tx rendezvous.Tx) error {
		times++
		tx.AfterCommit(func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.committed[i] {
				b.t.Errorf("member %d was committed twice", i)
			}
			b.order, b.committed[i] = append(b.order, i), true
		})
		if c == cancelsDuring {
			leave()
		}
		if c == failsBefore {
			_, err := tx.Mailbox("app", "shared")
			return errors.Join(err, errTest)
		}
		if err := updateMailbox(tx, i); err != nil {
			return err
		}
		switch c {
		case succeeds, cancelsDuring, failsBefore:
		case fails:
			return errTest
		case panicking:
			panic("ouch")
		case exits:
			runtime.Goexit()
		case ignores:
			_, _, _ = tx.Subscribe(session.Key{}, 999, rendezvous.Watch{})
		case cancelsBefore:
			b.t.Errorf("member %d ran after it was canceled", i)
		case endsTransaction, endsTransactionIgnored, endsTransactionOnce:
			b.endNext = c != endsTransactionOnce || times == 1
			err := tx.MarkUsed(session.Key{})
			b.endNext = false
			if c != endsTransactionIgnored {
				return err
			}
			_ = createMailbox(tx, "outside of any transaction")
		}
		return nil
	}
}

// hook makes statements fail.
func (b *batchRun) hook(troubles []statementFault) func(string) error {
	seen := make([]int, len(troubles))
	return func(query string) error {
		if b.endNext {
			return repo.EndTransaction(b.db)
		}
		for i, x := range troubles {
			if !strings.HasPrefix(oneLine(query), x.prefix) {
				continue
			}
			if seen[i]++; seen[i] == x.nth {
				if x.endsTransaction && x.prefix != "BEGIN" {
					return repo.EndTransaction(b.db)
				}
				return errTest
			}
		}
		return nil
	}
}

// checkResult checks that a member's caller got the true result.
func (b *batchRun) checkResult(i int, c behaviour, err error, troubled bool) {
	b.mu.Lock()
	committed := b.committed[i]
	b.mu.Unlock()
	switch {
	case c == cancelsDuring && errors.Is(err, context.Canceled): // it may still commit
	case committed != (err == nil):
		b.t.Errorf("member %d, which %s, returned %v; committed: %v", i, c, err, committed)
	case err == nil && !slices.Contains([]behaviour{succeeds, cancelsDuring, endsTransactionOnce}, c):
		b.t.Errorf("member %d, which %s, was committed", i, c)
	case err != nil && c == succeeds && !troubled:
		b.t.Errorf("member %d, which %s, returned %v", i, c, err)
	}
}
