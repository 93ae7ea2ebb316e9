package repo

import (
	"cmp"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// pipeline sends the statements of a connection to PostgreSQL in few messages, because each message is a round trip. It
// owns what was not sent yet, and which statements are prepared on the connection, under which names. It does not know
// what the statements are for.
//
// A message of the simple query protocol holds several statements. PostgreSQL runs them one after the other, and none
// after one that fails. In a transaction that is READ COMMITTED, each sees what was committed before it began, as if it
// came in a message of its own: "lock, then read" holds within a message, too. The driver prepares nothing in this
// protocol, so the pipeline has PREPARE and EXECUTE do it.
type pipeline struct {
	queued   []statement
	prepares bool              // statements are prepared
	names    map[string]string // of those that are, by their SQL
	named    int               // how many names were given out
}

// statement is one statement of a message.
type statement struct {
	sql  string
	args []string // as literals of SQL; nil if there are none and the statement is not prepared
	// returns is true if the statement returns rows, if only none or such that are of no interest.
	returns bool
	// each, if it is not nil, is called with the rows until it returns false.
	each func(*sqlx.Rows) (more bool, err error)
	// number, if it is not nil, is called with each row of a statement that returns an integer.
	number func(int64)
}

// newPipeline returns a pipeline that prepares statements, or not, because the next transaction may be on another
// connection of a pooler.
func newPipeline(prepares bool) *pipeline {
	return &pipeline{prepares: prepares, names: map[string]string{}}
}

var (
	errRolledBack = errors.New("the database answered COMMIT with ROLLBACK")
	errNoResult   = errors.New("the database returned too few results")
	errMissingRow = errors.New("a row that must exist is missing")
	errZeroByte   = errors.New("a text for PostgreSQL contains a zero byte")
)

// missingRow is the code of the error by which a statement of mustChange fails.
const missingRow = "22012"

// mustChange returns a statement that fails unless the given one changes a row: it divides by the number of rows. So
// PostgreSQL itself stops before a COMMIT that is in the same message.
func mustChange(query string) string {
	return `WITH changed AS (` + query + ` RETURNING 1) SELECT 1 / COUNT(*) FROM changed`
}

// withArgs returns a statement that is prepared when it is first sent on a connection, if the pipeline prepares any.
func withArgs(query string, args []any) (statement, error) {
	s := statement{sql: query, args: make([]string, len(args))}
	for i, arg := range args {
		var err error
		if s.args[i], err = literal(arg); err != nil {
			return statement{}, err
		}
	}
	return s, nil
}

// literal returns a value as a literal of SQL, of which PostgreSQL infers the type, as it does of parameters.
func literal(arg any) (string, error) {
	value, err := driver.DefaultParameterConverter.ConvertValue(arg)
	if err != nil {
		return "", err
	}
	switch v := value.(type) {
	case nil:
		return "NULL", nil
	case int64:
		return "'" + strconv.FormatInt(v, 10) + "'", nil
	case []byte:
		return `E'\\x` + hex.EncodeToString(v) + "'", nil
	case string:
		if strings.IndexByte(v, 0) >= 0 { // it would end the message
			return "", errZeroByte
		}
		return pq.QuoteLiteral(v), nil
	}
	return "", fmt.Errorf("no literal for %T", value)
}

// message returns the text of statements, and the names of those that it prepares.
func (p *pipeline) message(statements []statement) (text string, fresh map[string]string) {
	var b strings.Builder
	fresh = map[string]string{}
	for _, s := range statements {
		if s.args == nil {
			b.WriteString(s.sql + ";")
			continue
		}
		if !p.prepares {
			b.WriteString(s.text() + ";")
			continue
		}
		name := cmp.Or(p.names[s.sql], fresh[s.sql])
		if name == "" {
			p.named++
			name = "r" + strconv.Itoa(p.named)
			fresh[s.sql] = name
			b.WriteString("PREPARE " + name + " AS " + sqlx.Rebind(sqlx.DOLLAR, s.sql) + ";")
		}
		b.WriteString("EXECUTE " + name)
		for i, arg := range s.args {
			b.WriteByte("(,"[min(i, 1)])
			b.WriteString(arg)
		}
		if len(s.args) > 0 {
			b.WriteByte(')')
		}
		b.WriteByte(';')
	}
	return b.String(), fresh
}

// text returns a statement with its arguments in it.
func (s statement) text() string {
	parts := strings.Split(s.sql, "?")
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteString(s.args[i-1])
		}
		b.WriteString(part)
	}
	return b.String()
}
