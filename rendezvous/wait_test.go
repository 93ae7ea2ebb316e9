package rendezvous_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"restante/rendezvous"
)

// A wake that comes as the time is over, and brings nothing, does not make a wait go on until the hold is over.
func TestAWakeThatBringsNothingProlongsNoWait(t *testing.T) {
	t.Parallel()
	w := openAt(t, filepath.Join(t.TempDir(), "restante.db"), time.Now)
	defer w.stop()
	c := w.begin("a")
	poll, err := w.StartPoll(t.Context(), rendezvous.ReceiveRequest{Session: c.key})
	c.must(err)
	defer poll.Close()
	waitsNoLonger(t, w, rendezvous.Topic{Session: c.key}, func(ctx context.Context) (answered bool, err error) {
		_, answered, err = poll.Wait(ctx, 0)
		return answered, err
	})
}

// The same of a read of a log.
func TestAWakeThatBringsNothingProlongsNoRead(t *testing.T) {
	t.Parallel()
	w := openAt(t, filepath.Join(t.TempDir(), "restante.db"), time.Now)
	defer w.stop()
	key := w.openFor("nightly")
	read, err := w.StartRead(t.Context(), socketSide, rendezvous.ReadRequest{Mailbox: "nightly", Limit: 100, Wait: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	waitsNoLonger(t, w, rendezvous.Topic{Mailbox: key}, func(ctx context.Context) (answered bool, err error) {
		_, answered, err = read.Wait(ctx, 0)
		return answered, err
	})
}

// Reads of logs are held for as long as polls are: not all for the same time, so that those that began together do not
// come back together for ever. What a client asks for, if it is less, it gets.
func TestAReadIsHeldForATimeOfItsOwn(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		interval, held := w.Config.HeartbeatInterval, map[time.Duration]bool{}
		for i := range 10 {
			side := w.job(fmt.Sprint(i))
			took := func(wait time.Duration) time.Duration {
				began := time.Now()
				got := <-side.parkRead("nightly "+rendezvous.MailboxID(fmt.Sprint(i)), wait)
				if got.err != nil {
					t.Fatal(got.err)
				}
				return got.at.Sub(began)
			}
			hold := took(time.Hour)
			if hold > interval || hold <= interval-interval/10 {
				t.Errorf("a read is held for %v", hold)
			}
			held[hold] = true
			expect(t, took(time.Hour), hold)
			expect(t, took(3*time.Second), 3*time.Second)
			expect(t, took(0), 0)
		}
		if len(held) < 9 {
			t.Errorf("10 reads are held for %d times only", len(held))
		}
	})
}

// A read passes over what its own side added without loading it, as far as the log goes, and looks at nothing twice while
// it waits.
func TestAReadPassesOverItsOwnMessagesOnce(t *testing.T) {
	for _, tt := range []struct {
		own   int
		looks string // after which positions
	}{
		{300, "[0 300 301]"},
		{10_500, "[0 10000 10500 10501]"}, // no look takes long
	} {
		t.Run(fmt.Sprint(tt.own), func(t *testing.T) {
			var looks logLooks
			bubbleOn(t, nil, func(s rendezvous.Store) rendezvous.Store {
				looks = logLooks{}
				return lookedAt{s, &looks}
			}, func(t *testing.T, w *world) {
				own, other := w.job("own"), w.job("other")
				own.report("mine", "")
				other.collect(0)
				w.append(own.side, tt.own-1)
				looks = logLooks{}
				read, err := w.StartRead(t.Context(), own.side, rendezvous.ReadRequest{Mailbox: "nightly", Limit: 100, Open: true, Wait: time.Hour})
				if err != nil {
					t.Fatal(err)
				}
				defer read.Close()
				wait := func() (rendezvous.Page, bool) {
					page, answered, err := read.Wait(t.Context(), 0)
					if err != nil {
						t.Fatal(err)
					}
					return page, answered
				}
				own.report("mine, too", "")
				_, answered := wait()
				expect(t, answered, false)
				other.report("theirs", "")
				page, _ := wait()
				expect(t, fmt.Sprint(texts(page)), "[theirs]")
				expect(t, int(page.Next), tt.own+2)
				expect(t, read.Passed(), tt.own+1)
				expect(t, fmt.Sprint(looks.after), tt.looks)
				expect(t, looks.loaded, 1)
			})
		})
	}
}

// append adds messages of a side to the mailbox of [job.report] in one transaction.
func (w *world) append(side rendezvous.SideRef, count int) {
	w.t.Helper()
	err := w.store.Update(context.Background(), func(tx rendezvous.Tx) error {
		m, err := tx.Mailbox(side.App, "nightly")
		if err != nil {
			return err
		}
		var added []rendezvous.Message
		for range count {
			m = m.Appended("mine", tx.Now())
			added = append(added, rendezvous.Message{Position: m.Last, Side: side.Side, Draft: rendezvous.Draft{Phase: "text", Body: "mine"}, Received: tx.Now()})
		}
		return tx.Append(m, added...)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// lookedAt is a store that notes the looks at logs.
type lookedAt struct {
	rendezvous.Store
	looks *logLooks
}

// logLooks is after which positions logs were looked at, and how many messages were loaded.
type logLooks struct {
	after  []rendezvous.Position
	loaded int
}

func (s lookedAt) View(ctx context.Context, f func(rendezvous.Tx) error) error {
	return s.Store.View(ctx, func(tx rendezvous.Tx) error { return f(lookedAtTx{tx, s.looks}) })
}

type lookedAtTx struct {
	rendezvous.Tx
	looks *logLooks
}

func (t lookedAtTx) Messages(k rendezvous.MailboxKey, after rendezvous.Position, count int, size int64) ([]rendezvous.Message, error) {
	messages, err := t.Tx.Messages(k, after, count, size)
	t.looks.after, t.looks.loaded = append(t.looks.after, after), t.looks.loaded+len(messages)
	return messages, err
}

func (t lookedAtTx) MessagesOfOthers(k rendezvous.MailboxKey, than rendezvous.Side, after, upTo rendezvous.Position, count int, size int64) ([]rendezvous.Message, rendezvous.Position, error) {
	messages, seen, err := t.Tx.MessagesOfOthers(k, than, after, upTo, count, size)
	t.looks.after, t.looks.loaded = append(t.looks.after, after), t.looks.loaded+len(messages)
	return messages, seen, err
}

// parkRead reads a log in the background, as GET …/messages?open=true&wait=… does. It returns once the read is held, or answered.
func (j job) parkRead(id rendezvous.MailboxID, wait time.Duration) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		read, err := j.w.StartRead(context.Background(), j.side, rendezvous.ReadRequest{Mailbox: id, Limit: 100, Open: true, Wait: wait})
		if err == nil {
			defer read.Close()
			_, _, err = read.Wait(context.Background(), 2*wait)
		}
		done <- outcome{err: err, at: time.Now()}
	}()
	synctest.Wait()
	return done
}

// waitsNoLonger waits for no time after wakes that bring nothing.
func waitsNoLonger(t *testing.T, w *world, topic rendezvous.Topic, wait func(context.Context) (answered bool, err error)) {
	t.Helper()
	for range 32 { // which of the two is seen first is drawn each time
		w.Wake([]rendezvous.Topic{topic})
		answered, err := wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if answered {
			t.Fatal("it waited until the end of the hold")
		}
	}
}
