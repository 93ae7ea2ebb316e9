package repo_test

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/repo"
	"restante/repo/pgtest"
	"restante/session"
)

// filledVersion3 fills a database of schema version 3, before outboxes referred to messages: a mailbox with
// two messages, the session of its reader with one frame acknowledged and two stored, and a tombstone.
var filledVersion3 = []string{
	`INSERT INTO mailboxes (app, id, created, updated, ttl, stale_at, for_nameplate, crowded, last_position, bytes, held) VALUES ('a', 'box', 1, 2, 1000, 9999999999999, 0, 0, 2, 6, 0)`,
	`INSERT INTO mailbox_sides (mailbox, app, side, entered, opened) VALUES (1, 'a', 'reader', 1, 1), (1, 'a', 'writer', 1, 1)`,
	`INSERT INTO messages (mailbox, position, side, phase, body, received) VALUES (1, 1, 'writer', 'p', {6f6e65}, 3), (1, 2, 'writer', 'p', {74776f}, 4)`,
	`INSERT INTO sessions (key, app, side, address, began, turn, epoch, wanted, seen, grace, used, sweep_at) VALUES ({KEY1}, 'a', 'reader', '192.0.2.1', 1, 1, 7, 1, 5, 600000, 1, 9999999999999)`,
	`INSERT INTO sessions (key, app, side, address, began, turn, epoch, wanted, seen, grace, used, ended, reason, sweep_at) VALUES ({KEY2}, 'a', 'gone', '192.0.2.1', 1, 1, 2, 3, 5, 600000, 1, 6, 'deleted', 9999999999999)`,
	`INSERT INTO outboxes (session, kept, next, bytes) VALUES ({KEY1}, 1, 3, 8), ({KEY2}, 4, 4, 0)`,
	`INSERT INTO frames (session, seq, payload) VALUES ({KEY1}, 1, {6672616d}), ({KEY1}, 2, {65203221})`,
	`INSERT INTO replies (session, seq, fingerprint, outcome) VALUES ({KEY1}, 0, {KEY1}, {7b7d})`,
	`INSERT INTO subscriptions (mailbox, session) VALUES (1, {KEY1})`,
	`INSERT INTO client_versions (app, side, connected, implementation, version) VALUES ('a', 'reader', 1, 'i', 'v')`,
}

// literal spells the bytes of a statement as the engine does.
func literal(url, statement string) string {
	quote := "x'%s'"
	if strings.HasPrefix(url, "postgres") {
		quote = `'\x%s'::bytea`
	}
	for k, n := range map[string]byte{"KEY1": 1, "KEY2": 2} {
		key := session.Key{0: n}
		statement = strings.ReplaceAll(statement, "{"+k+"}", "{"+hex.EncodeToString(key[:])+"}")
	}
	for {
		before, rest, found := strings.Cut(statement, "{")
		if !found {
			return statement
		}
		digits, after, _ := strings.Cut(rest, "}")
		statement = before + fmt.Sprintf(quote, digits) + after
	}
}

// A database of the schema before is brought forward with everything that is in it: the same frames
// come back with the same numbers, and new messages follow them.
func TestMigratingAFilledDatabase(t *testing.T) {
	t.Parallel()
	for engine, url := range map[string]func(*testing.T) string{
		"SQLite":     func(t *testing.T) string { return filepath.Join(t.TempDir(), "old.db") },
		"PostgreSQL": func(t *testing.T) string { return pgtest.Database(t) },
	} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			url := url(t)
			old := repo.MigrateTo(t, url, 3)
			for _, statement := range filledVersion3 {
				if _, err := old.ExecContext(t.Context(), literal(url, statement)); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
			must(old.Close())
			db := open(t, repo.Options{URL: url})
			reader, gone := session.Key{0: 1}, session.Key{0: 2}
			want := [][]byte{[]byte("fram"), []byte("e 2!")}
			must(db.Update(t.Context(), func(tx rendezvous.Tx) error {
				s, err := tx.Session(reader)
				must(err)
				if s.Epoch != 7 || s.Ledger != (session.Ledger{Wanted: 1, Kept: 1, Next: 3}) {
					t.Errorf("the session is %+v", s.Record)
				}
				frames, err := tx.Frames(reader, 1, 9, 1<<20)
				must(err)
				if fmt.Sprint(frames) != fmt.Sprint(want) {
					t.Errorf("the frames are %q", frames)
				}
				backlog, err := tx.Backlog(reader)
				must(err)
				if backlog != (rendezvous.Backlog{Frames: 2, Bytes: 8}) {
					t.Errorf("the backlog is %+v", backlog)
				}
				if _, err := tx.Reply(reader, 0); err != nil {
					t.Errorf("the reply: %v", err)
				}
				if ended, err := tx.Session(gone); err != nil || ended.Ended == nil || ended.Wanted != 3 {
					t.Errorf("the tombstone is %+v (%v)", ended.Record, err)
				}
				if _, err := tx.SendFrame(gone, func(session.Seq) []byte { return []byte("x") }); err == nil {
					t.Error("a session that had ended is sent a frame")
				}

				box, err := tx.Mailbox("a", "box")
				must(err)
				box = box.Appended("three", time.UnixMilli(5))
				must(tx.Append(box, rendezvous.Message{Position: box.Last, Side: "writer", Draft: rendezvous.Draft{Phase: "p", Body: "three"}, Received: time.UnixMilli(5).UTC()}))
				subscribers, err := tx.Subscribers(box.Key)
				must(err)
				if len(subscribers) != 1 || subscribers[0].Watch != (rendezvous.Watch{}) {
					t.Fatalf("the subscribers are %v", subscribers)
				}
				if watched, err := tx.WatchedMailboxes(0, 9); err != nil || len(watched) != 0 || !box.Watched.IsZero() {
					t.Errorf("no side asked, and %v are watched (%v)", watched, err)
				}
				must(tx.UpdateMailbox(box.Watch(time.UnixMilli(5))))
				owners, err := tx.OwnersIn(box.Key, box.Key)
				must(err)
				if len(owners) != 1 || owners[0].Key != reader {
					t.Errorf("the owners of the sides are %v", owners)
				}
				progress, err := tx.Progress(box.Key)
				must(err)
				if fmt.Sprint(progress) != fmt.Sprint([]rendezvous.Progress{{Session: reader, Side: "reader", Kept: 1}}) {
					t.Errorf("the progress is %v", progress)
				}
				first, err := tx.SendMessages(reader, box.Key, 2, 2)
				must(err)
				if first != 3 {
					t.Errorf("the next frame is %d", first)
				}
				messages, err := tx.Messages(box.Key, 1, 9, 1<<20)
				must(err)
				for i, m := range messages {
					want = append(want, rendezvous.Encode(rendezvous.MessageFrame{Message: m}, box.ID, first+session.Seq(i)))
				}
				frames, err = tx.Frames(reader, 1, 9, 1<<20)
				must(err)
				if fmt.Sprint(frames) != fmt.Sprint(want) {
					t.Errorf("the frames are %q, want %q", frames, want)
				}
				return tx.Acknowledge(session.Ack{Session: reader, Epoch: 7, UpTo: 4})
			}))
			must(db.View(t.Context(), func(tx rendezvous.Tx) error {
				backlog, err := tx.Backlog(reader)
				if backlog != (rendezvous.Backlog{}) {
					t.Errorf("after an acknowledgement the backlog is %+v", backlog)
				}
				return err
			}))
		})
	}
}
