package repo

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/jmoiron/sqlx"
)

var errNoRoom = errors.New("too many connections")

// limitedPool returns a pool of at most three connections to a database that has room for limit, and counts the attempts to
// open one.
func limitedPool(t *testing.T, limit *int) (p *connPool, attempts *int) {
	t.Helper()
	db, err := sqlx.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	attempts = new(int)
	isFull := func(err error) bool { return errors.Is(err, errNoRoom) }
	p = newConnPool(3, make(chan struct{}), isFull, func(ctx context.Context) (*conn, error) {
		if *attempts++; db.Stats().InUse >= *limit {
			return nil, errNoRoom
		}
		return openConn(ctx, db, newSQLiteDialect(), &statementHook{})
	})
	return p, attempts
}

// acquired is what acquire returned, once it has.
type acquired struct {
	*conn
	err  error
	done bool
}

func acquireLater(ctx context.Context, p *connPool) *acquired {
	a := &acquired{}
	go func() {
		a.conn, a.err = p.acquire(ctx)
		a.done = true
	}()
	synctest.Wait()
	return a
}

// TestPoolWhereTheDatabaseHasNoRoom has several wait for the only connection that the database accepts.
func TestPoolWhereTheDatabaseHasNoRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limit := 1
		p, attempts := limitedPool(t, &limit)
		ctx, leave := context.WithCancel(t.Context())
		first := acquireLater(t.Context(), p)
		leaves := acquireLater(ctx, p)
		second := acquireLater(t.Context(), p)
		third := acquireLater(t.Context(), p) // waits until as many as may be are no longer in use
		if !first.done || first.err != nil || leaves.done || second.done || third.done {
			t.Fatalf("%+v, %+v, %+v, %+v", first, leaves, second, third)
		}
		if *attempts != 2 {
			t.Errorf("it tried %d times to open one, want 2", *attempts)
		}
		leave()
		synctest.Wait()
		if !errors.Is(leaves.err, context.Canceled) || second.done || third.done {
			t.Errorf("%+v left, %+v, %+v", leaves, second, third)
		}
		p.release(first.conn)
		synctest.Wait()
		if second.conn != first.conn || third.done {
			t.Errorf("%+v and then %+v, want the first connection in the order in which they came", second, third)
		}
		second.broken = true
		p.release(second.conn)
		synctest.Wait()
		if third.err != nil || third.conn == nil || third.conn == first.conn {
			t.Errorf("%+v, want another connection in place of one that is broken", third)
		}
		limit = 0
		third.broken = true
		p.release(third.conn)
		if none := acquireLater(t.Context(), p); !errors.Is(none.err, errNoRoom) {
			t.Errorf("%+v, want an error if there is no connection to wait for", none)
		}
		limit = 1
		last := acquireLater(t.Context(), p)
		waits := acquireLater(t.Context(), p)
		close(p.closing)
		synctest.Wait()
		if last.err != nil || !errors.Is(waits.err, errClosed) {
			t.Errorf("when it is closed: %+v, %+v", last, waits)
		}
		p.release(last.conn)
		p.close()
	})
}

// TestPoolPrefersOpenConnections has one transaction after the other use the same connection.
func TestPoolPrefersOpenConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limit := 3
		p, attempts := limitedPool(t, &limit)
		first, second := acquireLater(t.Context(), p), acquireLater(t.Context(), p)
		for _, c := range []*conn{first.conn, second.conn} {
			p.release(c)
		}
		for range 5 {
			c, err := p.acquire(t.Context())
			if err != nil || c != second.conn {
				t.Errorf("%p, %v, want the one that was used last, %p", c, err, second.conn)
			}
			p.release(c)
		}
		if *attempts != 2 {
			t.Errorf("%d were opened, want 2", *attempts)
		}
		close(p.closing)
		p.close()
	})
}

// TestPoolWhoseCallerLeaves has callers leave while a connection is opened for them: they get none, and it is kept for the
// next.
func TestPoolWhoseCallerLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limit := 3
		p, attempts := limitedPool(t, &limit)
		ctx, leave := context.WithCancel(t.Context())
		opened, open := make(chan struct{}), p.open
		p.open = func(ctx context.Context) (*conn, error) {
			<-opened
			return open(ctx)
		}
		left := acquireLater(ctx, p)
		leave()
		close(opened)
		synctest.Wait()
		if !errors.Is(left.err, context.Canceled) || left.conn != nil {
			t.Errorf("%+v, want the context's error and no connection", left)
		}
		next := acquireLater(t.Context(), p)
		if !next.done || next.err != nil || *attempts != 1 {
			t.Fatalf("the next: %+v after %d were opened, want the one that was opened before", next, *attempts)
		}
		p.release(next.conn)
		close(p.closing)
		p.close()
	})
}
