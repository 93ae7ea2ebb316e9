package page_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"restante/internal/e2e"
	"restante/internal/testclient"
	"restante/internal/testgate"
)

// browserPage is a page that hears what is said in a mailbox, with the client as it is published. What it heard
// it notes where a reload, but no other tab, finds it. Its ticks show how its timers are throttled.
const browserPage = `<!doctype html><meta charset="utf-8"><title>page</title><script>
const draw = Math.random;
Math.random = () => window.drawn ?? draw(); // before the client takes it
</script><script type="module">
import { connect } from '/restante.js';
const asked = new URLSearchParams(location.search);
const heard = JSON.parse(sessionStorage.getItem('heard') ?? '[]');
const page = window.page = { heard, ticks: [], late: [], loaded: performance.now(), shown: 0, restored: 0, wrong: '' };
setInterval(() => page.ticks.push(performance.now()), 100);
addEventListener('pageshow', (event) => { page.shown++; if (event.persisted) page.restored++; });
for (const name of asked.getAll('deaf')) addEventListener(name, (event) => event.stopImmediatePropagation()); // the client does not hear it
try {
  const session = page.session = await connect({ appId: 'example.org/browser', transport: asked.get('transport') });
  page.state = () => session.state.value.name;
  page.via = () => session.transport.value;
  const mailbox = page.mailbox = session.mailboxes.get(asked.get('mailbox')) ?? await session.open(asked.get('mailbox'));
  page.ready = true;
  await mailbox.each(({ body }) => {
    const [number, sent] = body.split(' ');
    page.late.push(Date.now() - Number(sent));
    heard.push(Number(number));
    sessionStorage.setItem('heard', JSON.stringify(heard));
  });
} catch (error) {
  page.wrong = String(error.stack ?? error);
}
</script>`

// site is where a browser finds the page, the client and, behind them, a server: all of one origin.
type site struct {
	*httptest.Server
	// breaking has every third answer of the server break off in its body.
	breaking atomic.Bool
	answers  atomic.Int64
	broken   atomic.Int64
}

// newSite is a site before a server, which may die and come back behind it. More pages are added to those there are.
func newSite(t *testing.T, s *e2e.Server, pages map[string]string) *site {
	t.Helper()
	behind, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	w := &site{}
	proxy := httputil.NewSingleHostReverseProxy(behind)
	proxy.ModifyResponse = w.breakOff
	proxy.ErrorHandler = func(rw http.ResponseWriter, _ *http.Request, _ error) { rw.WriteHeader(http.StatusBadGateway) }
	mux := http.NewServeMux()
	mux.Handle("/", proxy)
	mux.HandleFunc("/restante.js", func(rw http.ResponseWriter, r *http.Request) {
		http.ServeFile(rw, r, e2e.Path("web/client/dist/restante.js"))
	})
	for path, page := range pages {
		mux.HandleFunc(path, func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(rw, page)
		})
	}
	w.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		w.CloseClientConnections()
		w.Close()
	})
	return w
}

// breakOff has the transport of a third of the answers believe that more is to come than there is.
func (w *site) breakOff(r *http.Response) error {
	if !w.breaking.Load() || r.StatusCode == http.StatusSwitchingProtocols || w.answers.Add(1)%3 != 0 {
		return nil
	}
	w.broken.Add(1)
	r.Header.Set("Content-Length", strconv.FormatInt(max(r.ContentLength, 0)+1, 10))
	r.Header.Del("Transfer-Encoding")
	return nil
}

// browser is a headless Chromium that throttles what is hidden, as one with a window does.
type browser struct {
	t   *testing.T
	ctx context.Context
}

// newBrowser starts one. Features are Chromium's own names, and there may be more options.
func newBrowser(t *testing.T, features string, more ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	testgate.Enter(t)
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("there is no browser: apt-get install chromium")
	}
	// Not the default options of chromedp: they switch throttling off.
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.NoSandbox,
		chromedp.Flag("headless", "new"), chromedp.Flag("disable-gpu", true), chromedp.Flag("mute-audio", true),
		chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(e2e.Limit), chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) {
			cmd.SysProcAttr = e2e.ChildAttr()
			t.Cleanup(func() { _ = e2e.Kill(cmd) }) // what is left of it, before its folder is removed
		}),
		logsNetwork(t),
		chromedp.Flag("host-resolver-rules", "MAP page.test 127.0.0.1, MAP *.google.com ~NOTFOUND, MAP *.googleapis.com ~NOTFOUND"), // page.test, unlike 127.0.0.1, has to be https to be trusted
		// Its maker is neither told nor asked anything of forms, updates and accounts.
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-features", "AutofillServerCommunication,OptimizationHints,MediaRouter,Translate"),
	}
	if features != "" {
		options = append(options, chromedp.Flag("enable-features", features))
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), append(options, more...)...)
	t.Cleanup(cancel)
	b := &browser{t: t}
	b.ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		_ = chromedp.Cancel(b.ctx) // closes it, and waits
		cancel()
	})
	if err := chromedp.Do(b.ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("the browser does not start: %v", err)
	}
	return b
}

// tab is a tab of the browser, which the test controls.
type tab struct {
	b   *browser
	ctx context.Context
}

// open loads a page in a new tab of the same window, which hides those that are there.
func (b *browser) open(address string) *tab {
	b.t.Helper()
	inWindow := false
	made, err := chromedp.CallBrowser(b.ctx, target.CreateTarget, target.CreateTargetParams{URL: "about:blank", NewWindow: &inWindow, Background: &inWindow})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithTargetID(made.TargetID))
	b.t.Cleanup(cancel)
	p := &tab{b, ctx}
	p.navigate(address)
	p.front()
	return p
}

func (p *tab) navigate(address string) {
	p.b.t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.Navigate(address)); err != nil {
		p.b.t.Fatalf("%s does not load: %v", address, err)
	}
}

// front shows a tab, and hides the others.
func (p *tab) front() {
	p.b.t.Helper()
	id := chromedp.FromContext(p.ctx).Target.TargetID
	if _, err := chromedp.CallBrowser(p.b.ctx, target.ActivateTarget, target.ActivateTargetParams{TargetID: id}); err != nil {
		p.b.t.Fatal(err)
	}
}

// back goes back in the history of a tab. It does not wait for a load, as [chromedp.NavigateBack] does: a page from the
// back/forward cache is not loaded. Neither does it ask the page, which may be gone before it has answered.
func (p *tab) back() {
	p.b.t.Helper()
	history, err := chromedp.Call(p.ctx, page.GetNavigationHistory, cdp.Empty{})
	if err != nil {
		p.b.t.Fatal(err)
	}
	before := page.NavigateToHistoryEntryParams{EntryID: history.Entries[history.CurrentIndex-1].ID}
	if _, err := chromedp.Call(p.ctx, page.NavigateToHistoryEntry, before); err != nil {
		p.b.t.Fatal(err)
	}
}

// look evaluates an expression in a page.
func look[T any](p *tab, expression string) T {
	p.b.t.Helper()
	value, err := evaluate[T](p, expression)
	if err != nil {
		p.b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

func evaluate[T any](p *tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, e2e.Limit)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// isLeft reports whether an evaluation failed because its page was left meanwhile.
func isLeft(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "target navigated or closed") || strings.Contains(err.Error(), "context was destroyed"))
}

// until waits until an expression holds in a page. Another page may be there at first.
func (p *tab) until(expression string) {
	p.b.t.Helper()
	said, _ := evaluate[string](p, "String(window.page?.wrong)")
	e2e.Eventually(p.b.t, expression+" (the page said at first: "+said+")", func() bool {
		holds, err := evaluate[bool](p, "Boolean("+expression+")")
		if err != nil && !isLeft(err) {
			p.b.t.Fatalf("%s: %v", expression, err)
		}
		return holds
	})
}

// listen opens the page, by a transport, in a mailbox.
func (b *browser) listen(w *site, transport, mailbox string) *tab {
	b.t.Helper()
	p := b.open(w.URL + "/page?transport=" + transport + "&mailbox=" + mailbox)
	p.until("page.ready")
	return p
}

// heardAll fails unless the page heard the numbers from 0 up to n, once each and in order.
func (p *tab) heardAll(n int) {
	p.b.t.Helper()
	for i, number := range look[[]int](p, "page.heard") {
		if i != number {
			p.b.t.Fatalf("message %d came as number %d", number, i)
		}
	}
	if heard := look[int](p, "page.heard.length"); heard != n {
		p.b.t.Fatalf("%d of %d messages came; the page is %s, and says: %s", heard, n, look[string](p, "page.state?.()"), look[string](p, "page.wrong"))
	}
}

// speaker is a session that says numbers, with the time, in a mailbox.
type speaker struct {
	t       *testing.T
	c       *testclient.Client
	mailbox string
	said    int
}

func newSpeaker(t *testing.T, s *e2e.Server, mailbox string) *speaker {
	t.Helper()
	c := e2e.NewClient(s, "speaker-"+mailbox)
	c.App = "example.org/browser"
	if err := c.Handshake(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Command(t.Context(), http.MethodPut, "/v1/mailboxes/"+mailbox, nil); err != nil {
		t.Fatal(err)
	}
	return &speaker{t: t, c: c, mailbox: mailbox}
}

// say adds the next numbers, each until it is answered.
func (k *speaker) say(n int) {
	k.t.Helper()
	for range n {
		body := strconv.Itoa(k.said) + " " + strconv.FormatInt(time.Now().UnixMilli(), 10)
		if _, err := k.c.Command(k.t.Context(), http.MethodPost, "/v1/mailboxes/"+k.mailbox+"/messages", map[string]string{"phase": "number", "body": body}); err != nil {
			k.t.Fatal(err)
		}
		k.said++
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
