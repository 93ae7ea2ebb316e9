package repo_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/repo"
	"restante/session"
)

// unlimited returns a service without limits.
func unlimited(b *testing.B) (*rendezvous.Service, *repo.DB) {
	b.Helper()
	db := open(b, repo.Options{})
	s := &rendezvous.Service{Config: rendezvous.DefaultConfig(), Store: db, Log: slog.New(slog.DiscardHandler)}
	s.Config.Limits.WindowFrames, s.Config.Limits.WindowBytes = 1<<40, 1<<40
	return s, db
}

// benchService returns a service without limits, a session with the side "reader", and who writes.
func benchService(b *testing.B) (s *rendezvous.Service, db *repo.DB, reader rendezvous.Command, writer rendezvous.SideRef) {
	b.Helper()
	s, db = unlimited(b)
	id, err := session.ParseID(strings.Repeat("r", 22))
	must(err)
	_, err = s.Handshake(context.Background(), rendezvous.Handshake{ID: id, App: "app", Side: "reader"})
	must(err)
	return s, db, rendezvous.Command{Session: id.Key()}, rendezvous.SideRef{App: "app", Side: "writer"}
}

// BenchmarkBytesWritten measures how many bytes the process writes for each message of 256 bytes that is added by itself
// while one session has the mailbox open. It acknowledges every 100 messages.
func BenchmarkBytesWritten(b *testing.B) {
	s, db, reader, writer := benchService(b)
	_, err := s.OpenFor(b.Context(), writer, "m")
	must(err)
	_, err = s.Open(b.Context(), reader, "m", rendezvous.OpenRequest{})
	must(err)
	draft := []rendezvous.Draft{{Phase: "p", Body: strings.Repeat("x", 256)}}
	before := writtenBytes()
	n := 0
	for b.Loop() {
		_, err := s.AddFor(b.Context(), writer, "m", draft)
		must(err)
		if n++; n%100 == 0 {
			must(db.Update(b.Context(), func(tx rendezvous.Tx) error {
				return tx.Acknowledge(session.Ack{Session: reader.Session, Epoch: 1, UpTo: session.Seq(n)})
			}))
		}
	}
	b.ReportMetric(float64(writtenBytes()-before)/float64(n), "written-B/op")
}

// BenchmarkBytesWrittenForSessions measures how many bytes the process writes for each message of 256 bytes that ten
// sessions add with numbered commands, at the same time, while ten others have their mailboxes open.
func BenchmarkBytesWrittenForSessions(b *testing.B) {
	s, _ := unlimited(b)
	const pairs = 10
	handshake := func(side string) rendezvous.Command {
		id, err := session.ParseID(fmt.Sprintf("%022s", side))
		must(err)
		_, err = s.Handshake(b.Context(), rendezvous.Handshake{ID: id, App: "app", Side: rendezvous.Side(side)})
		must(err)
		return rendezvous.Command{Session: id.Key()}
	}
	var writers [pairs]rendezvous.Command
	for i := range writers {
		writers[i] = handshake(fmt.Sprint("writer", i))
		for _, c := range []rendezvous.Command{writers[i], handshake(fmt.Sprint("reader", i))} {
			_, err := s.Open(b.Context(), c, rendezvous.MailboxID(fmt.Sprint("mailbox", i)), rendezvous.OpenRequest{})
			must(err)
		}
	}
	before := writtenBytes()
	b.ResetTimer()
	var all sync.WaitGroup
	for i, c := range writers {
		all.Go(func() {
			for n := range session.Seq((b.N + pairs - 1 - i) / pairs) {
				c.Seq = &n
				_, err := s.Add(b.Context(), c, rendezvous.MailboxID(fmt.Sprint("mailbox", i)), rendezvous.Draft{Phase: "p", Body: strings.Repeat("x", 256)})
				must(err)
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(writtenBytes()-before)/float64(b.N), "written-B/op")
}

// writtenBytes returns how many bytes this process has passed to the system to write.
func writtenBytes() (n int64) {
	io, err := os.ReadFile("/proc/self/io")
	must(err)
	_, err = fmt.Sscanf(string(io[strings.Index(string(io), "wchar:"):]), "wchar: %d", &n)
	must(err)
	return n
}

// BenchmarkBesideALongLog measures how long a client waits for each message that it adds, one every two milliseconds: alone,
// and beside another client that opens a mailbox of 10,000 messages, acknowledges them and closes it, again and again.
func BenchmarkBesideALongLog(b *testing.B) {
	for _, beside := range []bool{false, true} {
		b.Run(map[bool]string{false: "alone", true: "beside"}[beside], func(b *testing.B) {
			s, db, reader, writer := benchService(b)
			for _, id := range []rendezvous.MailboxID{"long", "unrelated"} {
				_, err := s.OpenFor(b.Context(), writer, id)
				must(err)
			}
			drafts := make([]rendezvous.Draft, 1000)
			for i := range drafts {
				drafts[i] = rendezvous.Draft{Phase: "p", Body: strings.Repeat("x", 256)}
			}
			for range 10 {
				_, err := s.AddFor(b.Context(), writer, "long", drafts)
				must(err)
			}
			ctx, stop := context.WithCancel(context.Background())
			stopped, opened := make(chan struct{}), 0
			go func() {
				defer close(stopped)
				for beside && ctx.Err() == nil {
					_, err := s.Open(context.Background(), reader, "long", rendezvous.OpenRequest{})
					must(err)
					opened++
					must(db.Update(context.Background(), func(tx rendezvous.Tx) error {
						return tx.Acknowledge(session.Ack{Session: reader.Session, Epoch: 1, UpTo: session.Seq(10_000 * opened)})
					}))
					_, err = s.Close(context.Background(), reader, "long", rendezvous.Happy)
					must(err)
				}
			}()
			var took []time.Duration
			every := time.NewTicker(2 * time.Millisecond)
			defer every.Stop()
			for b.Loop() {
				<-every.C
				began := time.Now()
				_, err := s.AddFor(context.Background(), writer, "unrelated", drafts[:1])
				must(err)
				took = append(took, time.Since(began))
			}
			stop()
			<-stopped
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(float64(opened), "opened")
		})
	}
}
