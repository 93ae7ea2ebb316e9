package rendezvous_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"restante/rendezvous"
	"restante/session"
)

// TestBytesAreFreedWithTheLog is of an address whose mailbox is retired, while a session has not read it to the end.
func TestBytesAreFreedWithTheLog(t *testing.T) {
	config := func(c *rendezvous.Config) { c.Limits.AddressBytes = 40 << 10 }
	bubble(t, config, func(t *testing.T, w *world) {
		synctest.Wait() // until what is stored was summed up: without other processes, that is done once
		from := rendezvous.SideRef{App: app, Side: "a", Address: "addr-a"}
		add := func(mailbox rendezvous.MailboxID) error {
			if _, err := w.OpenFor(t.Context(), from, mailbox); err != nil {
				return err
			}
			refused, err := w.AddFor(t.Context(), from, mailbox, []rendezvous.Draft{{Phase: "p", Body: strings.Repeat("x", 30<<10)}})
			if err != nil {
				return err
			}
			return refused[0]
		}
		reader := w.begin("b")
		reader.must(add("m"))
		reader.open("m")
		expect(t, code(t, add("n")), rendezvous.QuotaExceeded)
		reader.must(w.CloseFor(t.Context(), from, "m", rendezvous.Happy))
		reader.close("m", rendezvous.Happy)
		expect(t, code(t, add("n")), rendezvous.QuotaExceeded) // the reader still has the log
		read := session.Seq(len(reader.receive(0)))
		_, err := w.Acknowledge(t.Context(), rendezvous.Query{Session: reader.key, Ack: &read})
		reader.must(err)
		<-time.After(time.Minute) // logs are pruned every ten seconds
		reader.must(add("n"))
	})
}

// TestAKeyThatIsUsedAgainCountsOnce uses an idempotency key again after its reply's 24 hours, before the reply is pruned. Of
// replies without content, two fit.
func TestAKeyThatIsUsedAgainCountsOnce(t *testing.T) {
	t.Parallel()
	bubble(t, func(c *rendezvous.Config) { c.PruneInterval, c.Limits.AddressBytes = 48*time.Hour, 1<<10 }, func(t *testing.T, w *world) {
		synctest.Wait() // as above
		release := func(key string) error {
			c := rendezvous.Command{Keyed: w.job("secret").side, IdempotencyKey: key, Address: "addr-a"}
			_, err := w.Release(t.Context(), c, "1")
			return err
		}
		fit := 0
		for release(fmt.Sprint(fit)) == nil {
			fit++
		}
		time.Sleep(day + time.Second)
		for i := range fit {
			if err := release(fmt.Sprint(i)); err != nil {
				t.Errorf("%d of %d: %v", i, fit, err)
			}
		}
	})
}
