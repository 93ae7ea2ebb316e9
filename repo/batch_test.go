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

// conduct is what a member of a batch does, beside its work.
type conduct string

const (
	keeps        conduct = "keeps"
	fails        conduct = "fails"
	panicking    conduct = "panics"
	exits        conduct = "ends its goroutine"
	ignores      conduct = "ignores that a statement failed"
	leavesBefore conduct = "has a caller that leaves the queue"
	leaves       conduct = "has a caller that leaves while it runs"
	ended        conduct = "makes the database end the transaction"
	endedOnce    conduct = "makes the database end the transaction, the first time"
	endedIgnored conduct = "makes the database end the transaction, and ignores it"
)

// trouble is a statement that fails once: the nth of those that begin so.
type trouble struct {
	beginning string
	nth       int
	ends      bool // and with it the transaction
}

// TestBatch runs members together, any of which may misbehave, while statements fail.
// What is then stored is what those that were committed make, each alone, in their order;
// and every caller was told the truth.
func TestBatch(t *testing.T) {
	t.Parallel()
	stopped := repo.Options{Now: func() time.Time { return time.UnixMilli(1000) }}
	db, again := open(t, stopped), open(t, stopped)
	rapid.Check(t, func(t *rapid.T) {
		b := &batch{t: t, db: db, again: again, committed: make(map[int]bool)}
		members := rapid.SliceOfN(rapid.SampledFrom([]conduct{
			keeps, keeps, keeps, fails, panicking, exits, ignores, leavesBefore, leaves, ended, endedOnce, endedIgnored,
		}), 1, 8).Draw(t, "members")
		troubles := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) trouble {
			return trouble{
				beginning: rapid.SampledFrom([]string{"BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK", "COMMIT", "UPDATE modified", "INSERT INTO messages"}).Draw(t, "statement"),
				nth:       rapid.IntRange(1, 4).Draw(t, "nth"),
				ends:      rapid.Bool().Draw(t, "ends the transaction"),
			}
		}), 0, 2).Draw(t, "troubles")
		b.run(members, troubles)
	})
}

type batch struct {
	t         *rapid.T
	db, again *repo.DB
	end       bool // the next statement ends the transaction; the writer's own

	mu        sync.Mutex
	order     []int        // in which they were committed; guarded by mu
	committed map[int]bool // guarded by mu
}

func (b *batch) run(members []conduct, troubles []trouble) {
	for _, db := range []*repo.DB{b.db, b.again} {
		repo.DeleteAll(db)
		must(db.Update(context.Background(), func(tx rendezvous.Tx) error { return create(tx, "shared") }))
	}
	release := busy(b.db)
	repo.SetHook(b.db, b.hook(troubles))
	outcomes := make([]<-chan error, len(members))
	for i, c := range members {
		ctx, leave := context.WithCancel(context.Background())
		defer leave()
		outcomes[i] = enqueue(ctx, b.db, b.member(i, c, leave))
		if c == leavesBefore {
			leave()
			if err := <-outcomes[i]; !errors.Is(err, context.Canceled) {
				b.t.Errorf("member %d left the queue and was told %v", i, err)
			}
		}
	}
	release()
	for i, c := range members {
		if c != leavesBefore {
			b.told(i, c, <-outcomes[i], len(troubles) > 0)
		}
	}
	repo.SetHook(b.db, nil)
	must(b.db.Update(context.Background(), func(rendezvous.Tx) error { return nil })) // behind those whose callers left
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, i := range b.order {
		must(b.again.Update(context.Background(), func(tx rendezvous.Tx) error { return work(tx, i) }))
	}
	if diff := cmp.Diff(repo.Dump(b.t, b.again), repo.Dump(b.t, b.db)); diff != "" {
		b.t.Errorf("each alone, and together:\n%s", diff)
	}
}

// work is what every member does; what comes of it depends on what came before.
func work(tx rendezvous.Tx, i int) error {
	m, err := tx.Mailbox("app", "shared")
	if err != nil {
		return err
	}
	m = m.Appended("body", tx.Now())
	message := rendezvous.Message{Position: m.Last, Side: rendezvous.Side(fmt.Sprint(i)), Received: tx.Now()}
	return errors.Join(tx.Append(m, message), create(tx, rendezvous.MailboxID(fmt.Sprint(i))))
}

// member is a function that conducts itself so.
func (b *batch) member(i int, c conduct, leave func()) func(rendezvous.Tx) error {
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
		if c == leaves {
			leave()
		}
		if err := work(tx, i); err != nil {
			return err
		}
		switch c {
		case keeps, leaves:
		case fails:
			return errMine
		case panicking:
			panic("ouch")
		case exits:
			runtime.Goexit()
		case ignores:
			_, _ = tx.Subscribe(session.Key{}, 999)
		case leavesBefore:
			b.t.Errorf("member %d ran after its caller had left", i)
		case ended, endedIgnored, endedOnce:
			b.end = c != endedOnce || times == 1
			err := tx.MarkUsed(session.Key{})
			b.end = false
			if c != endedIgnored {
				return err
			}
			_ = create(tx, "outside of any transaction")
		}
		return nil
	}
}

// hook makes statements fail.
func (b *batch) hook(troubles []trouble) func(string) error {
	seen := make([]int, len(troubles))
	return func(query string) error {
		if b.end {
			return repo.EndTransaction(b.db)
		}
		for i, x := range troubles {
			if !strings.HasPrefix(oneLine(query), x.beginning) {
				continue
			}
			if seen[i]++; seen[i] == x.nth {
				if x.ends && x.beginning != "BEGIN" {
					return repo.EndTransaction(b.db)
				}
				return errMine
			}
		}
		return nil
	}
}

// told tells whether a member's caller was told the truth.
func (b *batch) told(i int, c conduct, err error, troubled bool) {
	b.mu.Lock()
	committed := b.committed[i]
	b.mu.Unlock()
	switch {
	case c == leaves && errors.Is(err, context.Canceled): // and it may be committed yet
	case committed != (err == nil):
		b.t.Errorf("member %d, which %s: it was told %v; committed: %v", i, c, err, committed)
	case err == nil && !slices.Contains([]conduct{keeps, leaves, endedOnce}, c):
		b.t.Errorf("member %d, which %s, was committed", i, c)
	case err != nil && c == keeps && !troubled:
		b.t.Errorf("member %d, which %s, was told %v", i, c, err)
	}
}
