package repo

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"restante/rendezvous"
)

// sentBatch is what a transport was given, and when.
type sentBatch struct {
	After      time.Duration
	Mailboxes  int
	Everything bool
}

// slowTransport delays each notification and fails some.
type slowTransport struct {
	began time.Time
	delay time.Duration
	fail  func(call int) error
	sent  []sentBatch
}

func (w *slowTransport) send(_ context.Context, topics []rendezvous.Topic, everything bool) error {
	w.sent = append(w.sent, sentBatch{time.Since(w.began), len(topics), everything})
	time.Sleep(w.delay)
	if w.fail == nil {
		return nil
	}
	return w.fail(len(w.sent))
}

func (*slowTransport) receive(ctx context.Context, _ wakes) { <-ctx.Done() }
func (*slowTransport) close() error                         { return nil }

func TestNotifierBatchesTopics(t *testing.T) {
	const ms = time.Millisecond
	tests := map[string]struct {
		news []time.Duration // when each topic is announced
		fail func(int) error
		want []sentBatch
	}{
		"the first topic is sent at once": {
			news: []time.Duration{0},
			want: []sentBatch{{0, 1, false}},
		},
		"topics of 2 ms are sent together": {
			news: []time.Duration{0, ms / 2, ms, 3 * ms / 2},
			want: []sentBatch{{0, 1, false}, {2 * ms, 3, false}},
		},
		"a later topic is sent at once again": {
			news: []time.Duration{0, 10 * ms},
			want: []sentBatch{{0, 1, false}, {10 * ms, 1, false}},
		},
		"after a lost notification everything is woken": {
			news: []time.Duration{0, ms},
			fail: func(call int) error {
				if call == 1 {
					return errors.New("cut")
				}
				return nil
			},
			want: []sentBatch{{0, 1, false}, {250 * ms, 1, true}},
		},
		"topics of the last moment are sent": {
			news: []time.Duration{0, 999*ms + ms/2, 999*ms + ms/2 + 1},
			want: []sentBatch{{0, 1, false}, {999*ms + ms/2, 1, false}, {time.Second, 1, false}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &slowTransport{began: time.Now(), fail: test.fail}
				n := newNotifier(w, complete(Options{Log: slog.New(slog.DiscardHandler)}))
				ctx, stop := context.WithTimeout(t.Context(), time.Second)
				defer stop()
				go func() {
					for i, at := range test.news {
						time.Sleep(at - time.Since(w.began))
						n.Announce([]rendezvous.Topic{{Mailbox: rendezvous.MailboxKey(i + 1)}})
					}
				}()
				n.Run(ctx, nil)
				lost := int64(0)
				for i, batch := range w.sent {
					if test.fail != nil && test.fail(i+1) != nil {
						lost += int64(batch.Mailboxes)
					}
				}
				if n.lost.Load() != lost {
					t.Errorf("%d topics count as lost, want %d", n.lost.Load(), lost)
				}
				if diff := cmp.Diff(test.want, w.sent); diff != "" {
					t.Errorf("told (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestAnnounceDoesNotBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &slowTransport{began: time.Now(), delay: time.Second}
		n := newNotifier(w, complete(Options{Log: slog.New(slog.DiscardHandler)}))
		ctx, stop := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer stop()
		go n.Run(ctx, nil)
		began := time.Now()
		for i := range 1000 {
			n.Announce([]rendezvous.Topic{{Mailbox: rendezvous.MailboxKey(i + 1)}, {Mailbox: 1}})
			time.Sleep(time.Microsecond)
		}
		if took := time.Since(began); took != time.Millisecond {
			t.Errorf("announcing took %v, want 1ms, of which nothing is waiting", took)
		}
		<-ctx.Done()
		synctest.Wait()
		time.Sleep(2 * time.Second)
		all := 0
		for _, one := range w.sent {
			all += one.Mailboxes
		}
		if len(w.sent) != 2 || all != 1001 {
			t.Errorf("told %+v, want 2 notifications of 1001 topics", w.sent)
		}
	})
}

func TestTopicEncoding(t *testing.T) {
	var topics []rendezvous.Topic
	for i := range 500 {
		topics = append(topics, rendezvous.Topic{Mailbox: rendezvous.MailboxKey(i*i*i + 1)})
		var s rendezvous.Topic
		for j := range s.Session {
			s.Session[j] = byte(i * j)
		}
		topics = append(topics, s)
	}
	notes := make([]string, len(topics))
	for i, topic := range topics {
		notes[i] = encodeTopic(topic)
		if got, err := decodeTopic(notes[i]); err != nil || got != topic {
			t.Fatalf("topicOf(%q) = %v, %v; want %v", notes[i], got, err, topic)
		}
	}
	texts := joinUpTo(notes, maxPayload)
	if len(texts) < 2 {
		t.Fatalf("%d texts, want several", len(texts))
	}
	for _, text := range texts {
		if len(text) > maxPayload {
			t.Errorf("a text of %d bytes, want at most %d", len(text), maxPayload)
		}
	}
	for _, bad := range []string{"", "*", "m", "mx", "s", "sAAAA", "t12"} {
		if got, err := decodeTopic(bad); err == nil {
			t.Errorf("topicOf(%q) = %v, want an error", bad, got)
		}
	}
}
