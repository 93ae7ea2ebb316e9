package repo

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"restante/internal/workers"
)

const (
	// maxAttempts is how often a transaction runs that loses against others.
	maxAttempts = 20
	// retryDelay times the number of attempts is the longest pause before the next one.
	retryDelay = 2 * time.Millisecond
)

// postgresWriter runs each Update in a transaction of its own, several at once.
type postgresWriter struct {
	dialect       *dialect
	conns         *connPool
	now           func(*conn) time.Time
	log           *slog.Logger
	retried       *atomic.Int64
	workers       *workers.Pool
	stampInterval time.Duration // normally the constant; tests shorten it

	lastStamp atomic.Int64 // Unix milliseconds: the last time that this process stored
}

// update runs f on a goroutine of its own, so that it returns at once when ctx ends.
func (w *postgresWriter) update(ctx context.Context, f func(*tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c, err := w.conns.acquire(ctx)
	if err != nil {
		return err
	}
	outcome := make(chan error, 1)
	w.workers.Run(func() {
		err := errGoexit
		defer func() {
			w.conns.release(c)
			outcome <- err
		}()
		err = w.run(&c, f)
	})
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run runs f until it no longer loses against another transaction.
func (w *postgresWriter) run(c **conn, f func(*tx) error) error {
	for attempt := 1; ; attempt++ {
		err := w.transact(c, f)
		if !w.dialect.isRetriable(err) {
			return err
		}
		if attempt == maxAttempts {
			return w.dialect.retriesExhausted(err)
		}
		w.retried.Add(1)
		time.Sleep(rand.N(time.Duration(attempt) * retryDelay)) // #nosec G404 -- spreads the load, needs no secrecy
	}
}

func (w *postgresWriter) transact(c **conn, f func(*tx) error) error {
	if err := w.conns.begin(c, w.dialect.beginWrite); err != nil {
		return err
	}
	defer (*c).rollback() // unless it is committed
	t := &tx{conn: *c, now: w.now(*c)}
	if err := t.run(f); err != nil {
		return err
	}
	if err := (*c).ensureSent(); err != nil {
		return err
	}
	if t.changed {
		t.now = w.now(*c)
		undo, err := w.stamp(t)
		if err != nil {
			return err
		}
		defer func() {
			if (*c).inTx { // it did not commit
				undo()
			}
		}()
	}
	err := (*c).commit()
	if err != nil {
		err = w.dialect.commitError(err)
	}
	t.ended(err, w.log)
	return err
}

// stamp stores the time of the modification as the last statement of its transaction, because other
// transactions wait for that row until this one has committed. If it does not commit, undo lets the
// next transaction store its time.
func (w *postgresWriter) stamp(t *tx) (undo func(), err error) {
	now, last := t.now.UnixMilli(), w.lastStamp.Load()
	if !stampDue(t.now, time.UnixMilli(last), w.stampInterval) || !w.lastStamp.CompareAndSwap(last, now) {
		return func() {}, nil
	}
	return func() { w.lastStamp.CompareAndSwap(now, last) }, t.conn.stamp(t.now)
}

// stop has nothing to wait for: a running transaction has a connection, and the pool was closed before.
func (w *postgresWriter) stop() error { return nil }
