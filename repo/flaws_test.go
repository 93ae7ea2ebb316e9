package repo_test

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/repo"
	"restante/repo/pgtest"
	"restante/session"
)

// sound fills a store with what is as it should be: a mailbox with two messages and its nameplate, and a session that is
// to receive both.
func sound(t *testing.T, s *rendezvous.Service) {
	t.Helper()
	for _, name := range []string{"a", "b"} {
		_, err := s.Handshake(t.Context(), rendezvous.Handshake{ID: id(name), App: "app", Side: rendezvous.Side(name)})
		must(err)
	}
	command := func(of string) rendezvous.Command { return rendezvous.Command{Session: id(of).Key()} }
	claimed, err := s.Claim(t.Context(), command("a"), "42", 0)
	must(err)
	for _, name := range []string{"a", "b"} {
		_, err = s.Open(t.Context(), command(name), claimed.Result.Mailbox, rendezvous.OpenRequest{})
		must(err)
	}
	for _, body := range []string{"one", "two"} {
		_, err = s.Add(t.Context(), command("a"), claimed.Result.Mailbox, rendezvous.Draft{Phase: "p", Body: body})
		must(err)
	}
}

// spoiled are what is done to a sound database, without its constraints, and the flaws that are then found, before and
// after each round of mending.
var spoiled = map[string]struct {
	statements []string
	want       []rendezvous.FlawKind
}{
	"a mailbox without sides":      {[]string{`DELETE FROM mailbox_sides`}, []rendezvous.FlawKind{rendezvous.FlawMailboxSides}},
	"a message is missing":         {[]string{`DELETE FROM messages WHERE position = 1`}, []rendezvous.FlawKind{rendezvous.FlawMailboxLog, rendezvous.FlawOutboxFrames, rendezvous.FlawMailboxBytes}},
	"a message is another":         {[]string{`UPDATE messages SET body = body || body WHERE position = 1`}, []rendezvous.FlawKind{rendezvous.FlawMailboxBytes}},
	"a mailbox is missing":         {[]string{`DELETE FROM mailboxes`}, []rendezvous.FlawKind{rendezvous.FlawNameplateMailbox, rendezvous.FlawOutboxFrames, rendezvous.FlawOrphans}},
	"claims are missing":           {[]string{`DELETE FROM claims`}, []rendezvous.FlawKind{rendezvous.FlawNameplateClaims}},
	"a nameplate is missing":       {[]string{`DELETE FROM nameplates`}, []rendezvous.FlawKind{rendezvous.FlawOrphans}},
	"a nameplate is not listed":    {[]string{`UPDATE nameplates SET waiting = 0`}, []rendezvous.FlawKind{rendezvous.FlawNameplateWaiting}},
	"an entry is missing":          {[]string{`DELETE FROM outbox_entries`}, []rendezvous.FlawKind{rendezvous.FlawOutboxFrames, rendezvous.FlawOutboxCounters}},
	"a counter is wrong":           {[]string{`UPDATE outboxes SET bytes = 7`}, []rendezvous.FlawKind{rendezvous.FlawOutboxCounters}},
	"outboxes are missing":         {[]string{`DELETE FROM outboxes`}, []rendezvous.FlawKind{rendezvous.FlawSessionOutbox}},
	"sessions are missing":         {[]string{`DELETE FROM sessions`}, []rendezvous.FlawKind{rendezvous.FlawOrphans}},
	"a usage record is missing":    {[]string{`INSERT INTO retired_logs (mailbox, id, retired) VALUES (99, 'gone', 9999999999999)`}, []rendezvous.FlawKind{rendezvous.FlawUsage}},
	"a usage record was deleted":   {[]string{`INSERT INTO retired_logs (mailbox, id, retired) VALUES (99, 'gone', 7)`}, nil},
	"a reply belongs to nothing":   {[]string{`INSERT INTO replies SELECT {key}, 0, {key}, {key}`}, []rendezvous.FlawKind{rendezvous.FlawOrphans}},
	"bytes are counted for no one": {[]string{`INSERT INTO stored_bytes (mailbox, address, bytes) VALUES (99, 'x', 7)`}, []rendezvous.FlawKind{rendezvous.FlawOrphans}},
}

func TestFlawsAreFoundAndMended(t *testing.T) {
	t.Parallel()
	for engine, url := range map[string]func(*testing.T) string{
		"SQLite":     func(t *testing.T) string { return filepath.Join(t.TempDir(), "flaws.db") },
		"PostgreSQL": func(t *testing.T) string { return pgtest.Database(t) },
	} {
		for name, tt := range spoiled {
			t.Run(engine+"/"+name, func(t *testing.T) {
				t.Parallel()
				url := url(t)
				db := open(t, repo.Options{URL: url})
				s := &rendezvous.Service{Config: rendezvous.DefaultConfig(), Store: db, Log: slog.New(slog.DiscardHandler)}
				sound(t, s)
				check := func() []rendezvous.Flaw {
					flaws, err := rendezvous.Check(t.Context(), db, s.Config)
					must(err)
					return flaws
				}
				if flaws := check(); len(flaws) > 0 {
					t.Fatalf("a sound database has %+v", flaws)
				}
				for _, statement := range tt.statements {
					repo.ExecWithoutConstraints(t, url, literalKey(url, statement))
				}
				flaws := check()
				kinds := map[rendezvous.FlawKind]bool{}
				for _, f := range flaws {
					kinds[f.Kind] = true
					if f.Wrong() == "" || strings.Contains(f.Wrong(), "42") || (f.Mending() == "") != (f.Kind == rendezvous.FlawUsage) {
						t.Errorf("%+v: %q, %q", f, f.Wrong(), f.Mending())
					}
				}
				for _, kind := range tt.want {
					if !kinds[kind] {
						t.Errorf("%s is not found", kind)
					}
					delete(kinds, kind)
				}
				if len(kinds) > 0 {
					t.Errorf("found besides: %v", kinds)
				}
				for range 3 {
					for _, f := range flaws {
						if f.Mending() != "" {
							_, err := s.Mend(t.Context(), f)
							must(err)
						}
					}
					if flaws = check(); len(flaws) == 0 {
						return
					}
				}
				if tt.want[0] != rendezvous.FlawUsage {
					t.Errorf("after mending, there are %+v", flaws)
				}
			})
		}
	}
}

// TestUsageRecordsThatMadeWayAreNotMissing is of a database that has about as many usage records as are kept: the oldest
// were deleted.
func TestUsageRecordsThatMadeWayAreNotMissing(t *testing.T) {
	t.Parallel()
	for engine, url := range map[string]func(*testing.T) string{
		"SQLite":     func(t *testing.T) string { return filepath.Join(t.TempDir(), "flaws.db") },
		"PostgreSQL": func(t *testing.T) string { return pgtest.Database(t) },
	} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			url := url(t)
			db := open(t, repo.Options{URL: url})
			repo.ExecWithoutConstraints(t, url, `INSERT INTO retired_logs (mailbox, id, retired) VALUES (99, 'gone', 9999999999999)`)
			for range 7 {
				repo.ExecWithoutConstraints(t, url, `INSERT INTO usage_mailboxes (app, for_nameplate, started, total, result) VALUES ('app', 0, 1, 1, 'quiet')`)
			}
			for records, want := range map[int]int{8: 0, 9: 1} {
				c := rendezvous.DefaultConfig()
				c.Limits.UsageRecords = records
				flaws, err := rendezvous.Check(t.Context(), db, c)
				must(err)
				if usage := slices.DeleteFunc(flaws, func(f rendezvous.Flaw) bool { return f.Kind != rendezvous.FlawUsage }); len(usage) != want {
					t.Errorf("where %d are kept, %d are missing, want %d", records, len(usage), want)
				}
			}
		})
	}
}

// TestMendingASessionKeepsItsMailboxes ends sessions by mending them. What their sides hold lives from their last sign of
// life, and not only from its own last change.
func TestMendingASessionKeepsItsMailboxes(t *testing.T) {
	t.Parallel()
	for engine, url := range map[string]func(*testing.T) string{
		"SQLite":     func(t *testing.T) string { return filepath.Join(t.TempDir(), "flaws.db") },
		"PostgreSQL": func(t *testing.T) string { return pgtest.Database(t) },
	} {
		for name, spoil := range map[string]string{"frames are lost": `DELETE FROM outbox_entries`, "outboxes are lost": `DELETE FROM outboxes`} {
			t.Run(engine+"/"+name, func(t *testing.T) {
				t.Parallel()
				url, began := url(t), time.Now().Truncate(time.Millisecond)
				db := open(t, repo.Options{URL: url})
				s := &rendezvous.Service{Config: rendezvous.DefaultConfig(), Store: db, Log: slog.New(slog.DiscardHandler)}
				sound(t, s)
				for _, statement := range []string{`UPDATE mailboxes SET updated = 8, stale_at = 9`, spoil} {
					repo.ExecWithoutConstraints(t, url, statement)
				}
				flaws, err := rendezvous.Check(t.Context(), db, s.Config)
				must(err)
				for _, f := range flaws {
					_, err := s.Mend(t.Context(), f)
					must(err)
				}
				must(db.View(t.Context(), func(tx rendezvous.Tx) error {
					mailboxes, err := tx.MailboxesOf("app", "b")
					if len(mailboxes) != 1 || mailboxes[0].Updated.Before(began) || mailboxes[0].StaleAt.Before(began.Add(mailboxes[0].TTL)) {
						t.Errorf("after mending %+v: %+v, want one that lives from the session's end", flaws, mailboxes)
					}
					return err
				}))
			})
		}
	}
}

// literalKey spells a session's key as the engine does.
func literalKey(url, statement string) string {
	quote := "x'%s'"
	if strings.HasPrefix(url, "postgres") {
		quote = `'\x%s'::bytea`
	}
	return strings.ReplaceAll(statement, "{key}", fmt.Sprintf(quote, strings.Repeat("07", len(session.Key{}))))
}
