package repo_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/repo"
	"restante/repo/pgtest"
)

// pgbenchScript is what appendTo does, as a script of pgbench. Each client has a mailbox of its own, the first one :first.
const pgbenchScript = `
\set mailbox :first + :client_id
BEGIN ISOLATION LEVEL READ COMMITTED;
SELECT m.key, m.app, m.id, m.created, m.updated, m.ttl, m.stale_at, m.for_nameplate, m.crowded, m.last_position, m.bytes, m.stored,
       m.held, m.watched, m.crowded_told, m.received_told
FROM mailboxes AS m WHERE m.key = :mailbox FOR NO KEY UPDATE OF m \gset
SELECT s.mailbox, s.side, s.entered, s.opened, s.closed, s.mood, s.attendance, s.received
FROM mailbox_sides AS s WHERE s.mailbox = :mailbox ORDER BY s.entered, s.side;
\set now :updated + 1
\set next :last_position + 1
\set size :bytes + 4
UPDATE mailboxes SET updated = :now, last_position = :next, bytes = :size, stored = :stored
WHERE key = :mailbox AND last_position + 1 = :next;
INSERT INTO messages (mailbox, position, side, phase, body, id, received)
VALUES (:mailbox, :next, 'side', '', '\x626f6479', NULL, :now);
COMMIT;
`

// BenchmarkAgainstPgbench appends messages to PostgreSQL durably, and has pgbench run the same statements as often, on the
// same server, right after: "of-pgbench" is the rate as a part of pgbench's.
func BenchmarkAgainstPgbench(b *testing.B) {
	url := pgtest.Start(b, "fsync=on", "full_page_writes=on").Database(b)
	script := filepath.Join(b.TempDir(), "append.sql")
	must(os.WriteFile(script, []byte(pgbenchScript), 0o600))
	for _, writers := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			db := open(b, repo.Options{URL: url, Connections: writers})
			keys := makeMailboxes(b, db, 2*writers)
			many := max(1, b.N/writers)
			run := func(times int) {
				var all sync.WaitGroup
				for _, key := range keys[:writers] {
					all.Go(func() {
						for range times {
							must(db.Update(b.Context(), func(tx rendezvous.Tx) error { return appendTo(tx, key) }))
						}
					})
				}
				all.Wait()
			}
			run(10) // connections are opened, and statements prepared
			began := time.Now()
			run(many)
			ours := float64(many*writers) / time.Since(began).Seconds()
			theirs := pgbench(b, url, script, writers, many, int64(keys[writers]))
			b.ReportMetric(ours, "updates/s")
			b.ReportMetric(theirs, "pgbench/s")
			b.ReportMetric(100*ours/theirs, "%-of-pgbench")
		})
	}
}

// pgbench returns how many transactions a second pgbench runs.
func pgbench(b *testing.B, url, script string, clients, times int, first int64) float64 {
	b.Helper()
	out, err := exec.CommandContext(b.Context(), "pgbench", "-n", "-M", "prepared", "-c", strconv.Itoa(clients), "-j", "2",
		"-t", strconv.Itoa(times), "-D", fmt.Sprint("first=", first), "-f", script, url).CombinedOutput()
	if err != nil {
		b.Fatalf("pgbench: %v\n%s", err, out)
	}
	rate := regexp.MustCompile(`tps = ([0-9.]+) \(without`).FindStringSubmatch(strings.TrimSpace(string(out)))
	if rate == nil {
		b.Fatalf("pgbench says no rate:\n%s", out)
	}
	tps, err := strconv.ParseFloat(rate[1], 64)
	must(err)
	return tps
}
