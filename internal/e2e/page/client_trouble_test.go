package page_test

import (
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// wire is a network between a browser and a site, that can be cut, or swallow what is sent over it.
type wire struct {
	net.Listener
	to string

	mu    sync.Mutex
	state string // "", "cut" or "silent"
	all   map[net.Conn]bool
	moved *sync.Cond
}

func newWire(t *testing.T, w *site) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &wire{Listener: l, to: w.Listener.Addr().String(), all: map[net.Conn]bool{}}
	n.moved = sync.NewCond(&n.mu)
	w.URL = "http://" + l.Addr().String()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go n.carry(c)
		}
	}()
	t.Cleanup(func() {
		n.set("cut")
		_ = l.Close()
	})
	return n
}

// set changes what it does: "cut" ends what is under way and refuses what comes, "silent" neither carries nor ends anything.
func (n *wire) set(state string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state = state
	if state == "cut" {
		for c := range n.all {
			_ = c.Close()
		}
	}
	n.moved.Broadcast()
}

func (n *wire) carry(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp", n.to)
	if err != nil {
		return
	}
	defer to.Close()
	n.mu.Lock()
	if n.state == "cut" {
		n.mu.Unlock()
		return
	}
	n.all[from], n.all[to] = true, true
	n.mu.Unlock()
	done := make(chan struct{}, 2)
	go n.copy(to, from, done)
	go n.copy(from, to, done)
	<-done
	_, _ = from.Close(), to.Close()
	<-done
	n.mu.Lock()
	delete(n.all, from)
	delete(n.all, to)
	n.mu.Unlock()
}

// copy carries one direction. What came while it was silent is lost, with the connection.
func (n *wire) copy(to io.Writer, from io.Reader, done chan struct{}) {
	defer func() { done <- struct{}{} }()
	buffer := make([]byte, 32<<10)
	for {
		size, err := from.Read(buffer)
		if err != nil {
			return
		}
		n.mu.Lock()
		silent := n.state == "silent"
		for n.state == "silent" {
			n.moved.Wait()
		}
		n.mu.Unlock()
		if silent {
			return
		}
		if _, err := to.Write(buffer[:size]); err != nil {
			return
		}
	}
}

// TestBrowserTrouble has a page by each transport go through what happens to pages.
// In each, it hears everything once and in order, in one session.
func TestBrowserTrouble(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"poll", "sse", "socket", "auto"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			s := e2e.Serve(t, "--heartbeat-interval=1s", "--drain=100ms")
			w := newSite(t, s, map[string]string{"/page": browserPage, "/elsewhere": "<!doctype html><title>elsewhere</title>"})
			n := newWire(t, w)
			b := newBrowser(t, "")
			p := b.listen(w, transport, "box")
			k := newSpeaker(t, s, "box")
			if locks := look[int](p, "navigator.locks.query().then(({ held }) => held.length)"); locks != 1 {
				t.Errorf("the page holds %d locks", locks)
			}
			side := look[string](p, "page.session.side")
			heard := func(what string) {
				t.Helper()
				began := time.Now()
				p.until("page.heard.length >= " + itoa(k.said))
				p.heardAll(k.said)
				t.Logf("%s: all is heard after %v, by %s, with handshake %d", what, time.Since(began).Round(10*time.Millisecond), look[string](p, "page.via()"), look[int](p, "page.session.state.value.reply?.epoch ?? 0"))
			}

			k.say(50)
			heard("nothing special")

			w.breaking.Store(true)
			k.say(60)
			heard("every third answer broke off")
			for transport == "poll" && w.broken.Load() < 3 { // a fast server answers many messages at once
				k.say(1)
				heard("and another")
			}
			w.breaking.Store(false)

			away := func() {
				t.Helper()
				n.set("cut")
				k.say(20)
				p.until("page.state() !== 'connected'")
				if err := testclient.Pause(t.Context(), offlineFor()); err != nil {
					t.Fatal(err)
				}
				k.say(20)
			}
			away()
			n.set("")
			// Nothing tells the page that the network is back, so it finds out when it next tries.
			heard("the network away for a while")

			online(p, false)
			// By itself it would wait for longer than this test does: it goes on as it is told that it is online again.
			look[bool](p, "(window.drawn = 1e4, true)")
			away()
			p.until("page.session.state.value.until - Date.now() > " + itoa(2*int(e2e.Limit.Milliseconds())))
			n.set("")
			online(p, true)
			heard("offline for a while")
			look[bool](p, "delete window.drawn")

			n.set("silent")
			k.say(20)
			// It is noticed by clientTimeoutMs, which is 2.4 s here.
			p.until("page.state() !== 'connected'")
			n.set("")
			heard("a server that went silent")

			lifecycle(p, "frozen")
			k.say(20)
			if err := testclient.Pause(t.Context(), 2*time.Second); err != nil {
				t.Fatal(err)
			}
			lifecycle(p, "active")
			heard("the page frozen")

			s.Kill()
			s.Start()
			s.WaitReady()
			k.say(20)
			heard("the server killed")

			if err := chromedp.Do(p.ctx, chromedp.Reload()); err != nil {
				t.Fatal(err)
			}
			k.say(20)
			p.until("page.ready")
			heard("the page loaded again")
			if !look[bool](p, "page.session.resumed") || look[string](p, "page.session.side") != side {
				t.Error("another session after a reload")
			}

			p.navigate(w.URL + "/elsewhere")
			k.say(20)
			p.back()
			p.until("window.page?.ready")
			heard("back from another page")
			if look[int](p, "page.restored") != 1 {
				t.Error("the page was not restored from the back/forward cache, but loaded again")
			}
			if look[string](p, "page.session.side") != side {
				t.Error("another session after the back/forward cache")
			}

			if transport == "auto" && look[string](p, "page.via()") == "poll" {
				p.until("page.via() !== 'poll'")
			}
		})
	}
}

// TestBrowserDuplicate opens a window from a page, which copies its sessionStorage as
// duplicating the tab does. The copy begins a session of its own, and the original notices nothing.
func TestBrowserDuplicate(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	w := newSite(t, s, map[string]string{"/page": browserPage})
	b := newBrowser(t, "")
	p, k := b.listen(w, "auto", "box"), newSpeaker(t, s, "box")
	k.say(3)
	p.until("page.heard.length >= 3")
	opening := chromedp.Evaluate[bool]("(window.copy = open('/page?transport=auto&mailbox=another')) !== null",
		func(e *runtime.EvaluateParams) { yes := true; e.UserGesture = &yes })
	if opened, err := chromedp.Run(p.ctx, opening); err != nil || !opened {
		t.Fatalf("no window opens: %v", err)
	}
	p.until("copy.page?.ready")
	if !look[bool](p, "copy.sessionStorage.getItem('heard') === '[0,1,2]'") {
		t.Fatal("nothing was copied, so this shows nothing")
	}
	if look[bool](p, "copy.page.session.resumed || copy.page.session.side === page.session.side || copy.page.session.mailboxes.has('box')") {
		t.Error("the copy has the original's session")
	}
	k.say(3)
	p.until("page.heard.length >= 6")
	p.heardAll(6)
	if epoch := look[int](p, "page.session.state.value.reply.epoch"); epoch != 1 || look[string](p, "copy.page.state()") != "connected" {
		t.Errorf("the two disturb each other: the original has shaken hands %d times, the copy is %s", epoch, look[string](p, "copy.page.state()"))
	}
}

// lifecycle has a page be "frozen", or "active" again.
func lifecycle(p *tab, state string) {
	p.b.t.Helper()
	if _, err := chromedp.Call(p.ctx, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: page.SetWebLifecycleStateState(state)}); err != nil {
		p.b.t.Fatal(err)
	}
}

// online has the browser believe that it is, and tell its page. What it sends and is sent it leaves alone.
func online(p *tab, is bool) {
	p.b.t.Helper()
	state := network.OverrideNetworkStateParams{Offline: !is, DownloadThroughput: -1, UploadThroughput: -1}
	if _, err := chromedp.Call(p.ctx, network.OverrideNetworkState, state); err != nil {
		p.b.t.Fatal(err)
	}
	p.until("navigator.onLine === " + strconv.FormatBool(is))
}

// offlineFor is how long a page is offline: half a minute in the nightly form.
func offlineFor() time.Duration {
	if os.Getenv("RESTANTE_NIGHTLY") != "" {
		return 30 * time.Second
	}
	return time.Second
}
