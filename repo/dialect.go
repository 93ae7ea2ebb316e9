package repo

import (
	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
)

// dialect is all that the engines disagree about, beside how they are opened.
type dialect struct {
	goose goose.Dialect
	// schema fills in the [[…]] of the schema.
	schema struct{ Identity, Clustered string }
	// beginRead and beginWrite open a transaction that sees one snapshot, and one that is serializable.
	beginRead, beginWrite string
	// unavailable tells the errors that are the storage's, by code.
	unavailable func(error) bool
	// unknown tells the errors of a COMMIT that leave its outcome open, by code.
	unknown func(error) bool
	// watch has ended called when the database ends a transaction by itself, if it does that;
	// nil takes that back.
	watch func(c *sqlx.Conn, ended func()) error
}

// explain marks the storage's errors as such.
func (d *dialect) explain(err error) error {
	if err != nil && (lostConnection(err) || d.unavailable(err)) {
		return unavailable(err)
	}
	return err
}

// commitError tells what a COMMIT that failed means.
func (d *dialect) commitError(err error) error {
	if lostConnection(err) || d.unknown(err) {
		return outcomeUnknown(err)
	}
	return err
}
