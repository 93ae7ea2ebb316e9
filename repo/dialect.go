package repo

import (
	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
)

// dialect is all that the engines disagree about, beside how they are opened.
type dialect struct {
	gooseDialect goose.Dialect
	// schema fills in the [[…]] of the schema.
	schemaWords struct{ Identity, Clustered, Text string }
	// locker keeps other servers from migrating at the same time; nil where there can be none.
	migrationLocker func() (goose.ProviderOption, error)
	// beginRead and beginWrite open a transaction that sees one snapshot, and one that is serializable.
	beginRead, beginWrite string
	// unavailable tells the errors that are the storage's, by code.
	isUnavailable func(error) bool
	// unknown tells the errors of a COMMIT that leave its outcome open, by code.
	isOutcomeUnknown func(error) bool
	// clock asks the database what time it is, in the same breath as a transaction is begun;
	// empty: it is not asked.
	clockQuery string
	// concurrent tells that several write at once, so that what is loaded to be changed has to be locked.
	concurrentWriters bool
	// unprepared has statements sent as they are: the next transaction may be on another connection.
	unprepared bool
	// again tells the errors of a transaction that lost against another, and that is to be run again.
	isRetriable func(error) bool
	// exhausted is what becomes of such an error when it comes again and again.
	retriesExhausted func(error) error
	// lost tells the errors after which a connection is of no use.
	isConnLost func(error) bool
	// watch has ended called when the database ends a transaction by itself, if it does that;
	// nil takes that back.
	onRollback func(c *sqlx.Conn, ended func()) error
}

// explain marks the storage's errors as such.
func (d *dialect) wrapError(err error) error {
	if err != nil && (d.isConnLost(err) || d.isUnavailable(err)) {
		return unavailableError(err)
	}
	return err
}

// commitError tells what a COMMIT that failed means.
func (d *dialect) commitError(err error) error {
	if d.isConnLost(err) || d.isOutcomeUnknown(err) {
		return outcomeUnknownError(err)
	}
	return err
}
