package page_test

import (
	"testing"

	"restante/internal/e2e"
)

// TestBrowserCache leaves a page and comes back to it from the back/forward cache, and shows that
// this is the client's doing. On pagehide it lets go of its lock: a page that does not hear that event keeps it, and is
// thrown out of the cache once another page looks. On pageshow it goes on: a page that does not hear that one stays as it was left.
func TestBrowserCache(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	w := newSite(t, s, map[string]string{"/page": browserPage, "/elsewhere": "<!doctype html><title>elsewhere</title>"})
	b := newBrowser(t, "")
	for _, transport := range []string{"poll", "sse", "socket"} {
		for deaf, want := range map[string]struct {
			locks, restored, handshakes, heard int
			state                              string
		}{
			"":         {0, 1, 2, 20, "connected"},
			"pagehide": {1, 0, 2, 20, "connected"}, // it was loaded again, and resumed its session
			"pageshow": {0, 1, 0, 10, "noConnection"},
		} {
			name := transport
			if deaf != "" {
				name += ", deaf to " + deaf
			}
			t.Run(name, func(t *testing.T) {
				mailbox := transport + "-" + deaf
				p, k := b.listen(w, transport, mailbox+"&deaf="+deaf), newSpeaker(t, s, mailbox)
				k.say(10)
				p.until("page.heard.length >= 10")
				p.navigate(w.URL + "/elsewhere")
				if locks := look[int](p, "navigator.locks.query().then(({ held }) => held.length)"); locks != want.locks {
					t.Errorf("the page that was left holds %d locks, want %d", locks, want.locks)
				}
				k.say(10)
				p.back()
				p.until("window.page?.ready && page.heard.length >= " + itoa(want.heard))
				p.heardAll(want.heard)
				restored, state := look[int](p, "page.restored"), look[string](p, "page.state()")
				if handshakes := look[int](p, "page.session.state.value.reply?.epoch ?? 0"); restored != want.restored || handshakes != want.handshakes || state != want.state {
					t.Errorf("it was restored %d times and is %s, after %d handshakes; want %v", restored, state, handshakes, want)
				}
				look[bool](p, "page.session.leave() === undefined") // so that it holds no lock, in the next test
			})
		}
	}
}
