package abuse_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"restante/internal/e2e"
)

// serve starts a server whose limits are reached soon: those of requests and of bytes are a small part of the defaults, so
// that a slow machine reaches them, too.
func serve(t *testing.T, more ...string) *e2e.Server {
	t.Helper()
	s := e2e.Serve(t, append([]string{
		"--trusted-proxies=127.0.0.1/32", "--request-rate=5", "--request-burst=40", "--claim-rate=30", "--claim-burst=60",
		"--max-nameplates-per-address=64", "--nameplate-rest=1m", "--max-bytes-per-address=1048576",
	}, more...)...)
	t.Cleanup(proxied.CloseIdleConnections)
	return s
}

// TestAbuse acts out each shape: four goroutines of one address that do not wait, beside honest clients that meet.
func TestAbuse(t *testing.T) {
	t.Parallel()
	s := serve(t)
	address := 0
	for name, sh := range shapes {
		address++
		from := fmt.Sprintf("198.51.100.%d", address)
		if name == "a thousand networks of one /48" {
			from = "2001:db8:7::1"
		}
		t.Run(name, func(t *testing.T) {
			c := &client{server: s, address: from, app: fmt.Sprint("app-", from)}
			stop := c.abuse(t, sh.act)
			e2e.Eventually(t, "it is refused", func() bool { return sh.unanswered || c.refused.Load() > 5 })
			for pair := range meetings {
				meet(t, s, c.app, pair+meetings*address)
			}
			c.isNamed(t, sh.found)
			stop()
			t.Logf("it was refused %d times", c.refused.Load())
		})
	}
}

// abuse has four goroutines act until stop is called, or the test ends.
func (c *client) abuse(t *testing.T, act func(ctx context.Context, c *client, w *worker, i int)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var acting sync.WaitGroup
	for n := range 4 {
		acting.Go(func() {
			w := &worker{n: n}
			for i := 0; ctx.Err() == nil; i++ {
				act(ctx, c, w, i)
			}
			if w.socket != nil {
				_ = w.socket.Close()
			}
		})
	}
	stop = sync.OnceFunc(func() {
		cancel()
		acting.Wait()
	})
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("it was refused %d times, and told last: %.500s", c.refused.Load(), c.told())
		}
	})
	return stop
}

// isNamed waits until the log has a line with each of these texts and the client's address.
func (c *client) isNamed(t *testing.T, found []string) {
	t.Helper()
	for _, text := range found {
		looks, id := 0, ""
		e2e.Eventually(t, "the log names it: "+text, func() bool {
			if looks%500 == 0 { // it changes at midnight
				id = c.id(t)
			}
			looks++
			if wide, _, is := strings.Cut(strings.TrimPrefix(id, "addr-"), "-"); is {
				id = "addr-" + wide // any network of the customer
			}
			return regexp.MustCompile(strings.Replace(text, "ADDR", id, 1)).MatchString(c.server.Output.Latest())
		})
	}
}
