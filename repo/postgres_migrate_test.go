package repo_test

import (
	"testing"

	"restante/repo"
	"restante/repo/pgtest"
)

// refuseHurry has a database refuse to make a table for a transaction whose statements may not take their time.
const refuseHurry = `
	CREATE FUNCTION refuse_hurry() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
		IF current_query() LIKE '%CREATE TABLE mailboxes %' AND current_setting('statement_timeout') <> '0' THEN
			RAISE query_canceled USING MESSAGE = 'canceling statement due to statement timeout';
		END IF;
	END $$;
	CREATE EVENT TRIGGER refuse_hurry ON ddl_command_end EXECUTE FUNCTION refuse_hurry()`

// TestMigrationsTakeTheirTime has a database end statements that take long. Migrations do not heed that: one that was
// ended would be ended at the next start, too.
func TestMigrationsTakeTheirTime(t *testing.T) {
	t.Parallel()
	for name, pooled := range map[string]bool{"directly": false, "through a pooler": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, address := pgtest.Shared(t), pgtest.Database(t)
			database := databaseOf(t, address)
			c.Exec(t, database, refuseHurry)
			c.Exec(t, "postgres", "ALTER DATABASE "+database+" SET statement_timeout = 60000")
			wantWorking(t, open(t, repo.Options{URL: address, Pooled: pooled}))
		})
	}
}

func TestOpeningTellsThatAStatementTookTooLong(t *testing.T) {
	t.Parallel()
	c, address := pgtest.Shared(t), pgtest.Database(t)
	c.Exec(t, databaseOf(t, address), `
		CREATE FUNCTION end_it() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE query_canceled; END $$;
		CREATE EVENT TRIGGER end_it ON ddl_command_start EXECUTE FUNCTION end_it()`)
	wantOpenError(t, address, "it ended a statement that took too long")
}
