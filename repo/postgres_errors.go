package repo

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/lib/pq"
)

// sqlState returns PostgreSQL's code of an error; it is empty for other errors.
func sqlState(err error) string {
	if e, ok := errors.AsType[*pq.Error](err); ok {
		return string(e.Code)
	}
	return ""
}

// isPostgresRetriable reports whether a transaction lost against another: by a serialisation
// failure, a deadlock, or because both created the same row, which the second attempt will find.
func isPostgresRetriable(err error) bool {
	switch sqlState(err) {
	case "40001", "40P01", "23505":
		return true
	}
	return false
}

// postgresRetriesExhausted returns the error of a transaction that lost too often. A transaction
// that always finds that the row it creates exists has a fault of its own.
func postgresRetriesExhausted(err error) error {
	if sqlState(err) == "23505" {
		return err
	}
	return unavailableError(err)
}

// isPostgresUnavailable reports, by the code's class, whether an error is the storage's and not a fault of ours.
func isPostgresUnavailable(err error) bool {
	state := sqlState(err)
	if state == "" {
		return false
	}
	switch state[:2] {
	case "08", "53", "57", "58", "28", "3D", "XX": // connection, resources, operator, system, credentials, catalog, internal
		return true
	}
	switch state {
	case "25006", "55P03": // it became a standby; a lock timed out
		return true
	}
	return isPostgresRefusal(err)
}

// isPostgresUnwritable reports whether PostgreSQL's disk is full. A database that is read-only is no such case: it may
// have become a standby, which lags behind.
func isPostgresUnwritable(err error) bool { return sqlState(err) == "53100" }

// isPostgresRefusal reports whether PostgreSQL refuses a statement because a right, a schema, a table or a column was taken
// from a server that runs.
func isPostgresRefusal(err error) bool {
	switch sqlState(err) {
	case "42501", "3F000", "42P01", "42703":
		return true
	}
	return false
}

// isPostgresConnLost reports whether a connection is of no use after an error: network errors,
// and the errors with which PostgreSQL closes the connection.
func isPostgresConnLost(err error) bool {
	if isConnLost(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	e, ok := errors.AsType[*pq.Error](err)
	return ok && (e.Severity == "FATAL" || e.Severity == "PANIC")
}

// isPostgresConnAtFault reports whether another connection may do better after an error for which the storage counts as
// unavailable: a connection keeps the settings that it was opened with, and may be to a server that is no longer the
// primary. It does no better where a statement took too long, waited too long for a lock, or found no space.
func isPostgresConnAtFault(err error) bool {
	switch sqlState(err) {
	case "57014", "55P03", "53100", "53400":
		return false
	}
	return isPostgresUnavailable(err)
}

// isPostgresFull reports whether PostgreSQL, or a pooler, lacks what another connection needs.
func isPostgresFull(err error) bool { return strings.HasPrefix(sqlState(err), "53") }

// isPostgresOutcomeUnknown reports whether a failed COMMIT may have been done nevertheless.
func isPostgresOutcomeUnknown(err error) bool {
	state := sqlState(err)
	return strings.HasPrefix(state, "08") || strings.HasPrefix(state, "57P")
}

// These errors are without the URL, which may contain a password.
var (
	errBadURL      = errors.New("not a URL of a database")
	errCutPassword = errors.New("a URL of a database whose password seems to be cut short")
)

// postgresOpenError returns the OpenError for an error of opening a database.
func postgresOpenError(address string, err error) error {
	if e, ok := errors.AsType[*OpenError](err); ok {
		e.Path = redactedURL(address)
		return e
	}
	if errors.Is(err, context.Canceled) {
		return err // the caller gave up
	}
	p := &OpenError{Path: redactedURL(address), Err: err}
	state := sqlState(err)
	switch {
	case errors.Is(err, errBadURL):
		p.Problem, p.Hint = "this is not a URL of a PostgreSQL database", "write it like postgres://user:password@host:5432/restante?sslmode=require"
	case errors.Is(err, errCutPassword):
		p.Problem, p.Hint = "a character in its password has a meaning in URLs", "write special characters in the password as %2F (/), %23 (#), %3F (?), …"
	case state == "3D000":
		p.Problem, p.Hint = "there is no such database", "create it with: createdb --encoding=UTF8 --template=template0 NAME"
	case strings.HasPrefix(state, "28"):
		p.Problem, p.Hint = "it refuses this user", "check the user, the password and pg_hba.conf"
	case state == "42501":
		p.Problem, p.Hint = "this user may not create tables in it", "make the user the owner of the database"
	case state == "25006":
		p.Problem, p.Hint = "it is read-only", "name the primary, not a standby; target_session_attrs=read-write in the URL finds it among several hosts"
	case state == "57014":
		p.Problem, p.Hint = "it ended a statement that took too long ("+errorMessage(err)+")", "set statement_timeout to some seconds or more for this user and this database"
	case state == "55P03":
		p.Problem, p.Hint = "another program has locked its tables ("+errorMessage(err)+")", "start the server again when that program, such as a backup, has ended"
	case strings.HasPrefix(state, "53"), strings.HasPrefix(state, "57"):
		p.Problem, p.Hint = "it accepts no connections now ("+errorMessage(err)+")", "try again when it does"
	case strings.Contains(err.Error(), "unsupported startup parameter"):
		p.Problem, p.Hint = "PgBouncer stands before it and refuses what is asked of a connection ("+errorMessage(err)+")",
			"add statement_timeout, lock_timeout, idle_in_transaction_session_timeout and synchronous_commit to PgBouncer's ignore_startup_parameters and keep it in session mode, or use --notify=poll (docs/scaling.md)"
	case strings.Contains(err.Error(), "SSL is not enabled"):
		p.Problem, p.Hint = "it does not speak TLS", "add sslmode=disable to the URL if the network is safe without TLS"
	case state == "":
		p.Problem, p.Hint = "it cannot be reached ("+errorMessage(err)+")", "check that it runs, and check host and port"
	default:
		p.Problem, p.Hint = "it cannot be prepared ("+errorMessage(err)+")", "please report this if the message does not say what to do"
	}
	return p
}

// errorMessage returns an error's text without the address or the statement.
func errorMessage(err error) string {
	if e, ok := errors.AsType[*pq.Error](err); ok {
		return e.Message
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}
