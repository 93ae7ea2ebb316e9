package repo

import (
	"context"
	"database/sql/driver"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
)

// statementHook sees every statement before it runs and can make it fail. Tests set it.
type statementHook = atomic.Pointer[hookFunc]

// hookFunc is called before a statement runs. Unless it says that statements stay together, those before it have run by
// then, and none waits to be sent together with others.
type hookFunc struct {
	before   func(query string) error
	together bool
}

// conn is a connection with the statements prepared on it. Every statement, BEGIN and
// COMMIT included, goes through [conn.beforeStatement]. Only one goroutine may use a conn
// at a time.
type conn struct {
	raw      *sqlx.Conn
	pool     *sqlx.DB // from which raw was taken
	dialect  *dialect
	hook     *statementHook
	prepared map[string]*sqlx.Stmt
	pipeline *pipeline // sends all statements if it is not nil

	// unsubscribed and remembered are what the connection that writes a SQLite file remembers.
	unsubscribed unsubscribed
	remembered   *remembered

	// inTx is true while a transaction is open. The database may end one by itself; the next
	// statement, even a SAVEPOINT, would then be a transaction of its own. So no statement runs
	// outside of a transaction.
	inTx bool
	// broken is true once the state of the connection is unknown, or may be why the storage is unavailable.
	broken bool
	// refused are the statements of the message that PostgreSQL refused.
	refused []statement
	// renewals is how often the pool had been renewed when the connection was opened.
	renewals int
	// usedBefore is true if the connection has begun a transaction before.
	usedBefore bool
	// sent is true once the first message of the pipeline's transaction, which begins it, was sent.
	sent bool
	// startedAt is when the transaction began, by the clock of PostgreSQL, once its first message was answered.
	startedAt time.Time
}

// openConn takes a connection out of the pool for good.
func openConn(ctx context.Context, pool *sqlx.DB, d *dialect, h *statementHook) (*conn, error) {
	raw, err := pool.Connx(ctx)
	if err != nil {
		return nil, d.wrapError(err)
	}
	c := &conn{raw: raw, pool: pool, dialect: d, hook: h, prepared: make(map[string]*sqlx.Stmt)}
	if d.newPipeline != nil {
		c.pipeline = d.newPipeline()
	}
	if err := d.onRollback(raw, func() { c.inTx = false; c.remembered.forget() }); err != nil {
		c.discard()
		return nil, d.wrapError(err)
	}
	return c, nil
}

// beforeStatement runs the hook and fails outside of a transaction. Statements run on no
// caller's context: interrupting one would end the transaction of other callers, too.
func (c *conn) beforeStatement(query string) error {
	if c.remembered.mustWriteBefore(query) {
		if err := c.writeUnwritten(); err != nil {
			return err
		}
	}
	if before := c.hook.Load(); before != nil {
		if err := before.before(query); err != nil {
			return err
		}
	}
	if !c.inTx {
		return errTxEnded
	}
	c.remembered.before(query)
	return nil
}

// prepare prepares a statement, once.
func (c *conn) prepare(query string) (*sqlx.Stmt, error) {
	if s, ok := c.prepared[query]; ok {
		return s, nil
	}
	s, err := c.raw.PreparexContext(context.Background(), c.raw.Rebind(query))
	if err != nil {
		return nil, err
	}
	c.prepared[query] = s
	return s, nil
}

// classify marks a statement's error as the storage's where it is, and the connection as broken where it is lost or may
// be at fault.
func (c *conn) classify(err error) error {
	c.broken = c.broken || err != nil && (c.dialect.isConnLost(err) || c.dialect.isConnAtFault(err))
	return c.dialect.wrapError(err)
}

// later runs a statement whose results are of no interest, at the latest together with the next one that is waited for,
// or with COMMIT. If it fails, that one does.
func (c *conn) later(query string, args ...any) error {
	if c.pipeline == nil {
		_, err := c.exec(query, args...)
		return err
	}
	s, err := withArgs(query, args)
	if err != nil {
		return err
	}
	return c.queue(query, s)
}

// laterMustChange is later for a statement that fails unless it changes a row.
func (c *conn) laterMustChange(query string, args ...any) error {
	s, err := withArgs(mustChange(query), args)
	if err != nil {
		return err
	}
	s.returns = true
	return c.queue(query, s)
}

// queryLater is query, at the latest together with the next statement that is waited for. each is nil if the rows are of
// no interest.
func (c *conn) queryLater(each func(*sqlx.Rows) (more bool, err error), query string, args ...any) error {
	if c.pipeline == nil {
		return c.query(each, query, args...)
	}
	s, err := withArgs(query, args)
	if err != nil {
		return err
	}
	s.returns, s.each = true, each
	return c.queue(query, s)
}

// queue has the pipeline send a statement with the next message.
func (c *conn) queue(query string, s statement) error {
	if err := c.beforeStatement(query); err != nil {
		return err
	}
	c.pipeline.queued = append(c.pipeline.queued, s)
	return c.flushIfStepwise()
}

// flushIfStepwise sends what is queued if a hook wants each statement to be sent by itself.
func (c *conn) flushIfStepwise() error {
	if hook := c.hook.Load(); hook != nil && !hook.together {
		return c.flush()
	}
	return nil
}

// flush sends what the pipeline has queued.
func (c *conn) flush() error {
	if c.pipeline == nil {
		return nil
	}
	_, err := c.send()
	return err
}

// exec runs a statement and returns how many rows it changed.
func (c *conn) exec(query string, args ...any) (n int64, err error) {
	defer func() { err = c.classify(err) }()
	if err := c.beforeStatement(query); err != nil {
		return 0, err
	}
	if c.pipeline != nil {
		return c.sendToCount(query, args)
	}
	s, err := c.prepare(query)
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// query runs a statement and calls each with its rows until each returns false.
func (c *conn) query(each func(*sqlx.Rows) (more bool, err error), query string, args ...any) (err error) {
	defer func() { err = c.classify(err) }()
	if err := c.beforeStatement(query); err != nil {
		return err
	}
	if c.pipeline != nil {
		return c.sendToRead(each, query, args)
	}
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	rows, err := s.QueryxContext(context.Background(), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if more, err := each(rows); err != nil || !more {
			return err
		}
	}
	return rows.Err()
}

// begin opens a transaction. A pipeline begins it with the first message.
func (c *conn) begin(statement string) (err error) {
	c.inTx = true
	if c.pipeline != nil {
		err = c.queueBegin(statement)
	} else {
		_, err = c.exec(statement)
	}
	if err != nil {
		c.inTx = false
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	c.usedBefore = c.usedBefore || c.pipeline == nil
	return nil
}

// savepoint, rollbackToSavepoint and releaseSavepoint bound one update's part of a transaction.
func (c *conn) savepoint() error           { _, err := c.exec("SAVEPOINT member"); return err }
func (c *conn) rollbackToSavepoint() error { _, err := c.exec("ROLLBACK TO member"); return err }
func (c *conn) releaseSavepoint() error    { _, err := c.exec("RELEASE member"); return err }

// commit commits the transaction.
func (c *conn) commit() (err error) {
	if c.pipeline != nil {
		err = c.sendCommit()
	} else {
		_, err = c.exec("COMMIT")
	}
	if err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	c.inTx = false
	return nil
}

// rollback undoes the transaction, if one is open. A connection that cannot roll back is broken.
func (c *conn) rollback() {
	if !c.inTx {
		return
	}
	var err error
	if c.pipeline != nil {
		err = c.sendRollback()
	} else {
		_, err = c.exec("ROLLBACK")
	}
	c.broken = c.broken || err != nil
	c.inTx = false
}

// reopen replaces the connection by a new one, on which nothing has run.
func (c *conn) reopen() error {
	fresh, err := openConn(context.Background(), c.pool, c.dialect, c.hook)
	if err != nil {
		return err
	}
	c.discard()
	fresh.inTx, fresh.renewals = c.inTx, c.renewals
	*c = *fresh
	return nil
}

// discard closes the connection instead of returning it to the pool, which also undoes an
// open transaction. database/sql does not close the statements that were prepared on a
// connection, and SQLite keeps a connection and its locks until the last statement is closed.
func (c *conn) discard() {
	for _, s := range c.prepared {
		_ = s.Close()
	}
	_ = c.dialect.onRollback(c.raw, nil)
	_ = c.raw.Raw(func(any) error { return driver.ErrBadConn })
	_ = c.raw.Close()
}
