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
