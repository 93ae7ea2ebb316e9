package repo_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/repo"
)

// BenchmarkUpdate appends messages, durably: writers that arrive together share
// the fsync that is most of what a lone one waits for.
func BenchmarkUpdate(b *testing.B) {
	for _, writers := range []int{1, 8, 32, 128} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			db := open(b, repo.Options{URL: filepath.Join(b.TempDir(), "restante.db")})
			keys := make([]rendezvous.MailboxKey, writers)
			must(db.Update(b.Context(), func(tx rendezvous.Tx) error {
				for i := range keys {
					m, _ := rendezvous.NewMailbox("app", rendezvous.MailboxID(fmt.Sprint(i)), time.Minute, tx.Now()).Open("side", tx.Now())
					m, err := tx.CreateMailbox(m)
					must(err)
					keys[i] = m.Key
				}
				return nil
			}))
			b.ResetTimer()
			var all sync.WaitGroup
			for i, key := range keys {
				all.Go(func() {
					for n := i; n < b.N; n += writers {
						must(db.Update(b.Context(), func(tx rendezvous.Tx) error {
							m, err := tx.MailboxByKey(key)
							if err != nil {
								return err
							}
							m = m.Appended("body", tx.Now())
							return tx.Append(m, rendezvous.Message{Position: m.Last, Side: "side", Draft: rendezvous.Draft{Body: "body"}, Received: tx.Now()})
						}))
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
		})
	}
}

func BenchmarkView(b *testing.B) {
	db := open(b, repo.Options{})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			must(db.View(b.Context(), func(tx rendezvous.Tx) error {
				_, err := tx.Updated()
				return err
			}))
		}
	})
}
