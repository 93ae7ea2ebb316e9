package repo

import (
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"

	"restante/rendezvous"
)

// dialect holds the differences between the engines, except how each is opened.
type dialect struct {
	gooseDialect goose.Dialect
	// schemaWords replace the [[…]] in the schema.
	schemaWords struct{ Identity, Clustered, Text string }
	// migrationSettings are the statements with which the transaction of each migration begins.
	migrationSettings string
	// migrationLocker keeps other servers from migrating at the same time; nil if there can be none.
	migrationLocker func() (goose.ProviderOption, error)
	// beginRead opens a transaction that sees one snapshot, beginWrite one that may change rows.
	beginRead, beginWrite string
	// isUnavailable reports, by code, whether an error is the storage's.
	isUnavailable func(error) bool
	// isUnwritable reports, by code, whether the storage takes no changes and can be read.
	isUnwritable func(error) bool
	// isOutcomeUnknown reports, by code, whether an error of a COMMIT leaves its outcome open.
	isOutcomeUnknown func(error) bool
	// concurrentWriters is true if several transactions write at once, so that rows are locked when they
	// are loaded to be changed.
	concurrentWriters bool
	// repliesInMessages is true if the reply to a command that added a message is stored in the message's row. On
	// PostgreSQL it is not: a row that changes is written again, and servers of the version before look only in replies.
	repliesInMessages bool
	// rowID is what a row of a table without a key can be told by in a statement, if not rowid.
	rowID string
	// newPipeline returns what sends a connection's statements; nil if each is sent by itself, as there are no round
	// trips to a file.
	newPipeline func() *pipeline
	// isRetriable reports whether a transaction lost against another and has to run again.
	isRetriable func(error) bool
	// retriesExhausted returns the error of a transaction that lost too often.
	retriesExhausted func(error) error
	// storageSize returns how much storage the database takes.
	storageSize func(*tx) (rendezvous.StorageSize, error)
	// freeSpace gives back some of the space that is free, and reports whether there is more; nil if the database does
	// that by itself.
	freeSpace func(*tx) (more bool, err error)
	// isConnLost reports whether the connection is of no use after err.
	isConnLost func(error) bool
	// isConnAtFault reports, by code, whether err may be the fault of the connection, on which the next statement runs.
	isConnAtFault func(error) bool
	// isFull reports, by code, whether a connection was not opened because the database has too many.
	isFull func(error) bool
	// onRollback registers ended, which is called when the database ends a transaction by
	// itself; nil removes it.
	onRollback func(c *sqlx.Conn, ended func()) error
}

// byRow returns a query with the engine's word for rowid.
func (d *dialect) byRow(query string) string {
	if d.rowID == "" {
		return query
	}
	return strings.ReplaceAll(query, "rowid", d.rowID)
}

// wrapError marks err as unavailable if it is the storage's, and says if the storage can be read.
func (d *dialect) wrapError(err error) error {
	switch {
	case err == nil:
		return nil
	case d.isUnwritable(err):
		return unwritableError(err)
	case d.isConnLost(err) || d.isUnavailable(err):
		return unavailableError(err)
	}
	return err
}

// commitError returns what the error of a COMMIT means for the transaction.
func (d *dialect) commitError(err error) error {
	if d.isConnLost(err) || d.isOutcomeUnknown(err) {
		return outcomeUnknownError(err)
	}
	return err
}
