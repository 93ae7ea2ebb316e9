package repo_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/repo"
	"restante/repo/pgtest"
)

// BenchmarkUpdate appends messages durably. Concurrent updates share the fsync, which is most of the
// time of a lone one. docs/performance.md says how to measure what PostgreSQL can do by itself.
func BenchmarkUpdate(b *testing.B) {
	for _, engine := range []string{"sqlite", "postgres"} {
		b.Run(engine, func(b *testing.B) {
			url := filepath.Join(b.TempDir(), "restante.db")
			if engine == "postgres" {
				url = pgtest.Start(b, "fsync=on", "full_page_writes=on").Database(b)
			}
			for _, writers := range []int{1, 8, 32, 128} {
				b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
					db := open(b, repo.Options{URL: url})
					keys := makeMailboxes(b, db, writers)
					b.ResetTimer()
					var all sync.WaitGroup
					for i, key := range keys {
						all.Go(func() {
							for n := i; n < b.N; n += writers {
								must(db.Update(b.Context(), func(tx rendezvous.Tx) error { return appendTo(tx, key) }))
							}
						})
					}
					all.Wait()
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
				})
			}
		})
	}
}

// made is how many mailboxes the benchmarks have made: a benchmark that runs again finds those of the run before.
var made atomic.Int64

func makeMailboxes(b *testing.B, db *repo.DB, many int) []rendezvous.MailboxKey {
	b.Helper()
	keys := make([]rendezvous.MailboxKey, many)
	must(db.Update(b.Context(), func(tx rendezvous.Tx) error {
		for i := range keys {
			id := rendezvous.MailboxID(fmt.Sprint(made.Add(1)))
			m, _ := rendezvous.NewMailbox("app", id, time.Minute, tx.Now()).Open("side", tx.Now())
			m, err := tx.CreateMailbox(m)
			must(err)
			keys[i] = m.Key
		}
		return nil
	}))
	return keys
}

func appendTo(tx rendezvous.Tx, key rendezvous.MailboxKey) error {
	m, err := tx.MailboxByKey(key)
	if err != nil {
		return err
	}
	m = m.Appended("body", tx.Now())
	return tx.Append(m, rendezvous.Message{Position: m.Last, Side: "side", Draft: rendezvous.Draft{Body: "body"}, Received: tx.Now()})
}

func BenchmarkView(b *testing.B) {
	db := open(b, repo.Options{})
	b.ResetTimer() // opening takes longer than the benchmark may on a machine that is busy
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			must(db.View(b.Context(), func(tx rendezvous.Tx) error {
				_, err := tx.Updated()
				return err
			}))
		}
	})
}
