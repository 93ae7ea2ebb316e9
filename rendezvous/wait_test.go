package rendezvous_test

import (
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
	for range 32 { // which of the two is seen first is drawn each time
		w.Wake([]rendezvous.Topic{{Session: c.key}})
		_, answered, err := poll.Wait(t.Context(), 0)
		c.must(err)
		if answered {
			t.Fatal("it waited until the end of the hold")
		}
	}
}
