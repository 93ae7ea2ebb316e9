package repo

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
)

// send sends what is queued, and last after it, in one message. It returns how many rows last changed. An error means
// that one of the statements failed, and that those after it did not run.
func (c *conn) send(last ...statement) (changed int64, err error) {
	defer func() { err = c.classify(err) }()
	statements := slices.Concat(c.pipeline.queued, last)
	c.pipeline.queued = nil
	if len(statements) == 0 {
		return 0, nil
	}
	first := !c.sent
	c.sent = true
	r, err := c.exchange(statements)
	if err != nil && !r.answered && first && c.usedBefore && c.dialect.isConnLost(err) {
		// The connection died since its last transaction, or takes with it what this one has done so far.
		if err := c.reopen(); err != nil {
			return 0, err
		}
		c.sent = true
		r, err = c.exchange(statements)
	}
	c.usedBefore = c.usedBefore || err == nil
	return r.changed, err
}

// sendToCount sends a statement and returns how many rows it changed.
func (c *conn) sendToCount(query string, args []any) (int64, error) {
	s, err := withArgs(query, args)
	if err != nil {
		return 0, err
	}
	if err := c.flushRows(); err != nil {
		return 0, err
	}
	return c.send(s)
}

// flushRows sends what is queued if it returns rows for structs: the driver then does not tell what became of the last
// statement of a message.
func (c *conn) flushRows() error {
	if slices.ContainsFunc(c.pipeline.queued, func(s statement) bool { return s.each != nil }) {
		return c.flush()
	}
	return nil
}

// sendToRead sends a statement and calls each with its rows until each returns false.
func (c *conn) sendToRead(each func(*sqlx.Rows) (bool, error), query string, args []any) error {
	s, err := withArgs(query, args)
	if err != nil {
		return err
	}
	s.returns, s.each = true, each
	_, err = c.send(s)
	return err
}

// queueBegin has the first message of a transaction open it, and read the database's clock.
func (c *conn) queueBegin(begin string) error {
	c.pipeline.queued, c.sent, c.startedAt = nil, false, time.Time{}
	clock := statement{sql: postgresClockQuery, returns: true, number: func(n int64) { c.startedAt = millis(n).time() }}
	if err := c.beforeStatement(begin); err != nil {
		return err
	}
	c.pipeline.queued = append(c.pipeline.queued, statement{sql: begin}, clock)
	return c.flushIfStepwise()
}

// sendCommit sends what is queued, and COMMIT after it, if the first message was sent. COMMIT never goes with BEGIN: a
// transaction whose connection died before it can begin again on another one, unless it may have been committed.
func (c *conn) sendCommit() error {
	if err := c.flushRows(); err != nil {
		return err
	}
	if err := c.beforeStatement("COMMIT"); err != nil {
		return err
	}
	statements := slices.Concat(c.pipeline.queued, []statement{{sql: "COMMIT"}})
	c.pipeline.queued = nil
	r, err := c.exchange(statements)
	if err == nil && r.tag != "COMMIT" {
		err = errRolledBack
	}
	return c.classify(err)
}

// ensureSent sends the first message of the transaction, unless it was sent.
func (c *conn) ensureSent() error {
	if c.sent {
		return nil
	}
	return c.flush()
}

// sendRollback forgets what is queued, and undoes what was sent.
func (c *conn) sendRollback() error {
	c.pipeline.queued = nil
	if !c.sent {
		return nil
	}
	if err := c.beforeStatement("ROLLBACK"); err != nil {
		return err
	}
	_, err := c.send(statement{sql: "ROLLBACK"})
	return err
}

// reply is what PostgreSQL answered to a message, besides rows.
type reply struct {
	answered bool   // it answered before an error, if there is one
	changed  int64  // how many rows the last statement changed
	tag      string // the last statement's
}

// exchange sends statements in one message and hands out their rows.
func (c *conn) exchange(statements []statement) (reply, error) {
	text, fresh := c.pipeline.message(statements)
	var returning []statement
	structs := false
	for _, s := range statements {
		if s.returns {
			returning = append(returning, s)
		}
		structs = structs || s.each != nil
	}
	var r reply
	var err error
	if structs {
		r.answered, err = c.exchangeRows(text, returning)
	} else {
		r, err = c.exchangeNumbers(text, returning)
	}
	if err == nil {
		maps.Copy(c.pipeline.names, fresh)
	}
	if sqlState(err) == missingRow {
		err = errMissingRow
	}
	if isPostgresRefusal(err) {
		c.refused = statements
	}
	return r, err
}

// explain has PostgreSQL plan statements that it refused, without running them: it looks again for what they need.
func (c *conn) explain(refused []statement) error {
	for _, s := range refused {
		if s.args == nil { // it begins the transaction, reads the clock or explains
			continue
		}
		s.args = slices.Repeat([]string{"NULL"}, len(s.args))
		text := "EXPLAIN " + s.text()
		if err := c.queue(text, statement{sql: text, returns: true}); err != nil {
			return err
		}
	}
	return c.flush()
}

// exchangeRows sends a message of which some statements return rows for structs. The driver's results do not say more.
func (c *conn) exchangeRows(text string, returning []statement) (answered bool, err error) {
	rows, err := c.raw.QueryxContext(context.Background(), text)
	if err != nil {
		return false, err
	}
	defer func() { err = cmp.Or(err, rows.Close()) }()
	for i, s := range returning {
		if i > 0 && !rows.NextResultSet() {
			return true, cmp.Or(rows.Err(), errNoResult)
		}
		rows := &sqlx.Rows{Rows: rows.Rows, Mapper: rows.Mapper} // which caches what the columns are
		if err := s.readAll(rows); err != nil {
			return true, err
		}
	}
	return true, nil
}

// readAll reads a set of rows to its end.
func (s statement) readAll(rows *sqlx.Rows) error {
	more := true
	for rows.Next() {
		var n int64
		var err error
		switch {
		case s.each != nil && more:
			more, err = s.each(rows)
		case s.number != nil:
			if err = rows.Scan(&n); err == nil {
				s.number(n)
			}
		}
		if err != nil {
			return err
		}
	}
	return rows.Err()
}

// exchangeNumbers sends a message of which no statement returns rows for structs. It asks the driver itself, which alone
// knows the last statement's tag.
func (c *conn) exchangeNumbers(text string, returning []statement) (r reply, err error) {
	err = c.raw.Raw(func(driverConn any) (err error) {
		c, ok := driverConn.(driver.QueryerContext)
		if !ok {
			return errNoResult
		}
		rows, err := c.QueryContext(context.Background(), text, nil)
		if err != nil {
			return err
		}
		defer func() {
			if closed := rows.Close(); err == nil {
				err = closed
			}
			if last, ok := rows.(interface {
				Tag() string
				Result() driver.Result
			}); ok && err == nil {
				r.tag = last.Tag()
				r.changed, err = last.Result().RowsAffected()
			}
		}()
		r.answered = true
		for i, s := range returning {
			if next, ok := rows.(driver.RowsNextResultSet); i > 0 && (!ok || !next.HasNextResultSet() || next.NextResultSet() != nil) {
				return errNoResult
			}
			if err := eachNumber(rows, s.number); err != nil {
				return err
			}
		}
		return nil
	})
	return r, err
}

// eachNumber reads a set of rows, and calls number, if it is not nil, with each.
func eachNumber(rows driver.Rows, number func(int64)) error {
	row := make([]driver.Value, len(rows.Columns()))
	for {
		switch err := rows.Next(row); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case number != nil:
			n, ok := row[0].(int64)
			if !ok {
				return fmt.Errorf("PostgreSQL returned a %T for an integer", row[0])
			}
			number(n)
		}
	}
}
