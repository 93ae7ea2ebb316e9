package rendezvous_test

import (
	"context"
	"path/filepath"
	"testing"
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
