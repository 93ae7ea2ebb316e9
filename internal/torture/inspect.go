package torture

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// counts are what /v1/status says is stored.
type counts struct{ Nameplates, Mailboxes, Messages, Sessions int64 }

// stored asks a server what is stored.
func (w *world) stored(ctx context.Context) (counts, error) {
	status, body := get(ctx, "http://"+w.servers[0].address+"/v1/status")
	var answer struct{ Counts counts }
	if status != http.StatusOK {
		return counts{}, fmt.Errorf("/v1/status was answered %d", status)
	}
	err := json.Unmarshal(body, &answer)
	return answer.Counts, err
}

// emptied waits until nothing is stored any more, in a database that was empty at the beginning.
func (w *world) emptied(ctx context.Context, within time.Duration) {
	limit := time.Now().Add(within)
	for {
		left, err := w.stored(ctx)
		if err == nil && left == (counts{}) {
			return
		}
		if time.Now().After(limit) {
			if n := int64(w.apps.unheard()); err == nil && left.Nameplates <= n && left.Mailboxes <= n && left.Messages+left.Sessions == 0 {
				return
			}
			w.violate(Violation{Rule: ruleNothing, What: fmt.Sprintf("%v after the end /v1/status counts %+v (%v)", within, left, err), When: w.now()})
			return
		}
		if pause(ctx, 100*time.Millisecond) != nil {
			return
		}
	}
}

// emptyTables hold nothing once all mailboxes are retired and all sessions have ended.
var emptyTables = []string{"mailboxes", "mailbox_sides", "messages", "nameplates", "claims", "subscriptions", "frames", "outbox_entries", "retired_logs"}

// ofNameplates have a row for each nameplate that was allocated for a wormhole client whose connection was cut before it
// heard of it. It cannot release what it does not know, and the wormhole protocol has no way to allocate the same again.
var ofNameplates = []string{"mailboxes", "mailbox_sides", "nameplates", "claims"}

// inspect looks into the database for usage records and for what is left over.
func (w *world) inspect(ctx context.Context, db *sql.DB, placeholder string, leftovers bool) error {
	present, err := tables(ctx, db, w.cfg.engine())
	if err != nil {
		return err
	}
	number := func(statement string, args ...any) (n int, err error) {
		err = db.QueryRowContext(ctx, statement, args...).Scan(&n)
		return n, err
	}
	for app, made := range w.apps.known {
		for table, want := range map[string]int{"usage_nameplates": made.nameplates, "usage_mailboxes": made.mailboxes} {
			if !slices.Contains(present, table) {
				return fmt.Errorf("there is no table %s to count usage records in", table)
			}
			n, err := number("SELECT count(*) FROM "+table+" WHERE app = "+placeholder, app)
			if err != nil {
				return err
			}
			if n < want || n > want+made.maybe {
				w.violate(Violation{Rule: ruleUsage, What: fmt.Sprintf("%s has %d records of %s, want %d to %d", table, n, app, want, want+made.maybe), When: w.now()})
			}
		}
	}
	for _, table := range emptyTables {
		if !leftovers || !slices.Contains(present, table) {
			continue
		}
		n, err := number("SELECT count(*) FROM " + table) // #nosec G202 -- a name from the list above
		if err != nil {
			return err
		}
		if slices.Contains(ofNameplates, table) {
			n -= min(n, w.apps.unheard())
		}
		if n > 0 {
			w.violate(Violation{Rule: ruleNothing, What: fmt.Sprintf("%d rows are left in %s", n, table), When: w.now()})
		}
	}
	return nil
}

func tables(ctx context.Context, db *sql.DB, engine string) (names []string, err error) {
	statement := "SELECT name FROM sqlite_master WHERE type = 'table'"
	if engine == "postgresql" {
		statement = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
	}
	rows, err := db.QueryContext(ctx, statement)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}
