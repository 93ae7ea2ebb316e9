package page_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// naivePage is a page with a client of its own, that tells the server it is there by a timer.
const naivePage = `<!doctype html><meta charset="utf-8"><title>naive</title><script type="module">
const sessionId = crypto.randomUUID();
const page = window.page = { ticks: [], status: 0 };
const ask = (method, path, body) => fetch(path, {
  method, body: body && JSON.stringify(body),
  headers: { Authorization: 'Bearer ' + sessionId, ...(body && { 'Content-Type': 'application/json' }) },
});
await ask('POST', '/v1/sessions', { protocolVersion: '1', appId: 'example.org/naive', sessionId, expectedSessionState: { nextExpectedSeq: 0, nextSentSeq: 0 } });
await ask('PUT', '/v1/mailboxes/naive');
setInterval(() => page.ticks.push(performance.now()), 100);
setInterval(async () => { page.status = (await ask('POST', '/v1/session/ack', { ack: 0 })).status; }, 1000);
</script>`

// TestBrowserHidden has tabs in the background hear a thousand messages, by each
// transport, while their timers are throttled. A client that relies on its timers is cut
// meanwhile. The nightly form takes seven minutes, which is beyond the five after which
// Chromium throttles timers to once a minute, and holds that messages are not late either; the
// other one has it do so after five seconds.
func TestBrowserHidden(t *testing.T) {
	t.Parallel()
	messages, features, last, throttled := 300, "IntensiveWakeUpThrottling:grace_period_seconds/5", 12*time.Second, 6*time.Second
	nightly := os.Getenv("RESTANTE_NIGHTLY") != ""
	if nightly {
		messages, features, last, throttled = 1000, "", 7*time.Minute, 320*time.Second
	}
	// A session that is silent for twenty seconds is over.
	s := e2e.Serve(t, "--heartbeat-interval=5s", "--session-grace=10s", "--boot-grace=0s", "--prune-interval=1s")
	w := newSite(t, s, map[string]string{"/page": browserPage, "/naive": naivePage})
	b := newBrowser(t, features)
	transports := []string{"poll", "sse", "socket"}
	tabs, speakers := map[string]*tab{}, map[string]*speaker{}
	for _, transport := range transports {
		tabs[transport] = b.listen(w, transport, transport)
	}
	naive := b.open(w.URL + "/naive")
	naive.until("page.status === 200")
	b.open("about:blank")
	for transport, p := range tabs {
		if seen := look[string](p, "document.visibilityState"); seen != "hidden" {
			t.Fatalf("the tab by %s is %s", transport, seen)
		}
	}
	for _, transport := range transports {
		speakers[transport] = newSpeaker(t, s, transport) // now: a speaker that does not speak for so long is over as well
	}

	done := make(chan struct{})
	for _, k := range speakers {
		go func() {
			defer func() { done <- struct{}{} }()
			began := time.Now()
			for i := range messages {
				k.say(1)
				if testclient.Pause(t.Context(), time.Until(began.Add(last*time.Duration(i)/time.Duration(messages)))) != nil {
					return
				}
			}
		}()
	}
	began := time.Now()
	for range speakers {
		<-done
	}
	for _, transport := range transports {
		p := tabs[transport]
		p.until("page.heard.length >= " + itoa(messages))
		p.heardAll(messages)
		late := look[[]int](p, "page.late")
		slices.Sort(late)
		p95 := late[len(late)*95/100]
		// From when it was to be throttled on, in a page of which a hundred milliseconds should have ticked.
		ticks := look[float64](p, "page.ticks.filter((at) => at > performance.now() - "+itoa(int((last-throttled).Milliseconds()))+").length") / (last - throttled).Seconds()
		t.Logf("%s: %d messages in %v, p50 %d ms, p95 %d ms, at most %d ms; its timer of 100 ms ticked %.2f times a second",
			transport, len(late), time.Since(began).Round(time.Second), late[len(late)/2], p95, late[len(late)-1], ticks)
		if nightly && p95 >= 500 {
			t.Errorf("%s: p95 is %d ms", transport, p95)
		}
		if ticks > 1.1 {
			t.Errorf("%s: timers were not throttled: %.2f ticks a second", transport, ticks)
		}
		if shaken := look[int](p, "page.session.state.value.reply.epoch"); shaken != 1 || look[string](p, "page.state()") != "connected" {
			t.Errorf("%s: the session did not last: it is %s, after %d handshakes", transport, look[string](p, "page.state()"), shaken)
		}
	}
	e2e.Eventually(t, "the session of the client that relies on its timers is over", func() bool {
		for _, k := range speakers {
			k.say(1) // so that its session is not over as well
		}
		return s.Status().Counts.Sessions == int64(2*len(transports))
	})
	naive.front() // so that its timer runs, and it hears what became of it
	naive.until("page.status === 410 || page.status === 401")
}
