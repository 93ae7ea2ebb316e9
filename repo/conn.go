package repo

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
)

// statementHook sees every statement before it runs and can make it fail. Tests set it.
type statementHook = atomic.Pointer[func(query string) error]

// conn is a connection with the statements prepared on it. Every statement, BEGIN and
// COMMIT included, goes through [conn.beforeStatement]. Only one goroutine may use a conn
// at a time.
type conn struct {
	raw      *sqlx.Conn
	dialect  *dialect
	hook     *statementHook
	prepared map[string]*sqlx.Stmt

	// unsubscribed is what the connection that writes a SQLite file remembers.
	unsubscribed unsubscribed

	// inTx is true while a transaction is open. The database may end one by itself; the next
	// statement, even a SAVEPOINT, would then be a transaction of its own. So no statement runs
	// outside of a transaction.
	inTx bool
	// broken is true once the state of the connection is unknown.
	broken bool
	// usedBefore is true if the connection has begun a transaction before.
	usedBefore bool
	// startedAt is when the transaction began, by the database's clock, if the dialect has a clockQuery.
	startedAt time.Time
}

// openConn takes a connection out of the pool for good.
func openConn(ctx context.Context, pool *sqlx.DB, d *dialect, h *statementHook) (*conn, error) {
	raw, err := pool.Connx(ctx)
	if err != nil {
		return nil, d.wrapError(err)
	}
	c := &conn{raw: raw, dialect: d, hook: h, prepared: make(map[string]*sqlx.Stmt)}
	if err := d.onRollback(raw, func() { c.inTx = false }); err != nil {
		c.discard()
		return nil, d.wrapError(err)
	}
	return c, nil
}

// beforeStatement runs the hook and fails outside of a transaction. Statements run on no
// caller's context: interrupting one would end the transaction of other callers, too.
func (c *conn) beforeStatement(query string) error {
	if before := c.hook.Load(); before != nil {
		if err := (*before)(query); err != nil {
			return err
		}
	}
	if !c.inTx {
		return errTxEnded
	}
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

// classify marks a statement's error as the storage's where it is, and the connection as broken where it is lost.
func (c *conn) classify(err error) error {
	c.broken = c.broken || err != nil && c.dialect.isConnLost(err)
	return c.dialect.wrapError(err)
}

// exec runs a statement and returns how many rows it changed.
func (c *conn) exec(query string, args ...any) (n int64, err error) {
	defer func() { err = c.classify(err) }()
	if err := c.beforeStatement(query); err != nil {
		return 0, err
	}
	r, err := c.execStatement(query, args)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (c *conn) execStatement(query string, args []any) (sql.Result, error) {
	if c.dialect.unprepared {
		return c.raw.ExecContext(context.Background(), c.raw.Rebind(query), args...)
	}
	s, err := c.prepare(query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(context.Background(), args...)
}

// query runs a statement and calls each with its rows until each returns false.
func (c *conn) query(each func(*sqlx.Rows) (more bool, err error), query string, args ...any) (err error) {
	defer func() { err = c.classify(err) }()
	if err := c.beforeStatement(query); err != nil {
		return err
	}
	rows, err := c.queryStatement(query, args)
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

func (c *conn) queryStatement(query string, args []any) (*sqlx.Rows, error) {
	if c.dialect.unprepared {
		return c.raw.QueryxContext(context.Background(), c.raw.Rebind(query), args...)
	}
	s, err := c.prepare(query)
	if err != nil {
		return nil, err
	}
	return s.QueryxContext(context.Background(), args...)
}

// begin opens a transaction.
func (c *conn) begin(statement string) (err error) {
	c.inTx = true
	if c.dialect.clockQuery == "" {
		_, err = c.exec(statement)
	} else {
		err = c.beginWithClock(statement)
	}
	if err != nil {
		c.inTx = false
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	c.usedBefore = true
	return nil
}

// beginWithClock opens a transaction and reads the database's clock in one round trip.
func (c *conn) beginWithClock(statement string) (err error) {
	defer func() { err = c.classify(err) }()
	if err := c.beforeStatement(statement); err != nil {
		return err
	}
	var now millis
	if err := c.raw.QueryRowxContext(context.Background(), statement+"; "+c.dialect.clockQuery).Scan(&now); err != nil {
		return err
	}
	c.startedAt = now.time()
	return nil
}

// savepoint, rollbackToSavepoint and releaseSavepoint bound one update's part of a transaction.
func (c *conn) savepoint() error           { _, err := c.exec("SAVEPOINT member"); return err }
func (c *conn) rollbackToSavepoint() error { _, err := c.exec("ROLLBACK TO member"); return err }
func (c *conn) releaseSavepoint() error    { _, err := c.exec("RELEASE member"); return err }

// commit commits the transaction.
func (c *conn) commit() error {
	if _, err := c.exec("COMMIT"); err != nil {
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
	if _, err := c.exec("ROLLBACK"); err != nil {
		c.broken = true
	}
	c.inTx = false
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
