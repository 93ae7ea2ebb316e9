package page_test

import (
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"restante/internal/e2e"
)

// guest is a person at the page at /.
type guest struct {
	*tab
	site string // where the page is served

	mu    sync.Mutex
	wrong []string // what it complains of, and which other servers it asks
}

// visits opens an address of a site in a new tab. Nothing may go wrong in it, and it may ask no other server.
func (b *browser) visits(site, path string) *guest {
	b.t.Helper()
	g := &guest{tab: b.open("about:blank"), site: site}
	if err := chromedp.Listen(g.ctx, g.hear); err != nil {
		b.t.Fatal(err)
	}
	if _, err := chromedp.Call(g.ctx, network.Enable, network.EnableParams{}); err != nil {
		b.t.Fatal(err)
	}
	if _, err := chromedp.Call(g.ctx, log.Enable, cdp.Empty{}); err != nil {
		b.t.Fatal(err)
	}
	g.navigate(site + path)
	b.t.Cleanup(g.check)
	return g
}

// of is the same browser, in a test of its own.
func (b *browser) of(t *testing.T) *browser { return &browser{t, b.ctx} }

func (g *guest) hear(event any) {
	wrong := ""
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		wrong = g.stranger(e.Request.URL)
	case *network.EventWebSocketCreated:
		wrong = g.stranger(e.URL)
	case *runtime.EventExceptionThrown:
		wrong = e.ExceptionDetails.Text + " " + e.ExceptionDetails.Exception.Description
	case *log.EventEntryAdded:
		// A server that is down is not the page's fault. One without TLS, which is not on this machine, cannot have
		// pages that are isolated from others, and browsers say so.
		if e.Entry.Source != log.EntrySourceNetwork && !strings.Contains(e.Entry.Text, "Cross-Origin-Opener-Policy header has been ignored") {
			wrong = e.Entry.Text
		}
	}
	if wrong == "" {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wrong = append(g.wrong, wrong)
}

// stranger is an address that is not of the page's own server.
func (g *guest) stranger(address string) string {
	_, place, _ := strings.Cut(g.site, "://")
	scheme, rest, _ := strings.Cut(address, "://")
	if strings.HasPrefix(address, "data:") || slices.Contains([]string{"http", "ws", "https", "wss"}, scheme) && strings.HasPrefix(rest, place+"/") {
		return ""
	}
	return address
}

// check fails if anything went wrong in the page, or if the page asked another server.
func (g *guest) check() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, wrong := range g.wrong {
		g.b.t.Errorf("the page: %s", wrong)
	}
}

// types is what a person does with a keyboard, in a field. Keys are those of the package kb, or what they write.
func (g *guest) types(id, keys string) {
	g.b.t.Helper()
	look[bool](g.tab, "document.getElementById("+quoted(id)+").focus(), true")
	if err := chromedp.Do(g.ctx, chromedp.KeyEvent(keys)); err != nil {
		g.b.t.Fatal(err)
	}
}

// puts something into a field, at once.
func (g *guest) puts(id, text string) {
	g.b.t.Helper()
	look[bool](g.tab, "document.getElementById("+quoted(id)+").value = "+strconv.Quote(text)+", true")
}

// presses a button, as a person does: one that is there, and that can be pressed.
func (g *guest) presses(label string) {
	g.b.t.Helper()
	button := "[...document.querySelectorAll('button')].find((b) => b.checkVisibility() && b.textContent === " + quoted(label) + ")"
	g.until(button)
	pressing := chromedp.Evaluate[bool](button+".click() === undefined", func(e *runtime.EvaluateParams) { yes := true; e.UserGesture = &yes })
	if _, err := chromedp.Run(g.ctx, pressing); err != nil {
		g.b.t.Fatal(err)
	}
}

// writes a note, and gets a code for it.
func (g *guest) writes(note string) (code string) {
	g.b.t.Helper()
	g.puts("note", note)
	g.presses("Get a code")
	g.sees("Waiting for the other side")
	code = look[string](g.tab, "document.getElementById('big-code').textContent")
	if strings.Count(code, "-") != 2 {
		g.b.t.Fatalf("the code is %q", code)
	}
	return code
}

// reads what is to be had for a code.
func (g *guest) reads(code string) {
	g.b.t.Helper()
	g.puts("code", code)
	g.presses("Read the note")
}

// says one more thing.
func (g *guest) says(note string) {
	g.b.t.Helper()
	g.until("!document.getElementById('say').hidden")
	g.puts("line", note)
	g.presses("Send")
}

// sees waits until the page says how it stands.
func (g *guest) sees(headline string) {
	g.b.t.Helper()
	g.until("[...document.querySelectorAll('h1')].some((h) => h.checkVisibility() && h.textContent.includes(" + quoted(headline) + "))")
}

// notes are those that are shown, of both sides.
func (g *guest) notes() []string {
	g.b.t.Helper()
	return look[[]string](g.tab, "[...document.querySelectorAll('article > p')].map((p) => p.textContent)")
}

// has waits until exactly these notes are shown.
func (g *guest) has(notes ...string) {
	g.b.t.Helper()
	g.until("document.querySelectorAll('article').length >= " + itoa(len(notes)))
	if shown := g.notes(); !slices.Equal(shown, notes) {
		g.b.t.Fatalf("the page shows %q, want %q", shown, notes)
	}
}

// tellsNothing checks that nothing a server keeps, counts or says tells a secret. Its log is read at the end.
func tellsNothing(t *testing.T, s *e2e.Server, secrets ...string) {
	t.Helper()
	s.Secret(secrets...)
	// The help text of a metric may contain a word of a code, from which nothing can be learned.
	metrics := regexp.MustCompile(`(?m)^#.*$`).ReplaceAllString(string(s.Get("/metrics").Body), "")
	places := map[string]string{"its metrics": metrics, "its status": string(s.Get("/v1/status").Body)}
	for _, file := range []string{s.Database, s.Database + "-wal"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		places[file] = string(content)
	}
	// So may a comment of the schema, which is in the file, and what a client is called: "python" is a word of codes, too.
	open := strings.Join(append(
		e2e.Column(t, s, "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"),
		e2e.Column(t, s, "SELECT implementation FROM client_versions WHERE implementation IS NOT NULL")...,
	), "\n")
	for place, content := range places {
		for _, secret := range secrets {
			if strings.Contains(open, secret) {
				continue
			}
			if strings.Contains(content, secret) || strings.Contains(content, hex.EncodeToString([]byte(secret))) {
				t.Errorf("%s tells %q", place, secret)
			}
		}
	}
}

// bothLeft waits until both sides have left the only mailbox, and holds how that went.
func bothLeft(t *testing.T, s *e2e.Server, mood string) {
	t.Helper()
	e2e.Eventually(t, "no mailbox is left", func() bool { return len(e2e.Column(t, s, "SELECT id FROM mailboxes")) == 0 })
	e2e.CheckNothingLeft(t, s, nil)
	e2e.CheckUsage(t, s, "nameplates", "happy")
	e2e.CheckUsage(t, s, "mailboxes", mood)
}

// words of a code are what is secret of it.
func words(code string) []string { return strings.Split(code, "-")[1:] }

// TestPage has two people write each other, from the first word to the last. The server learns nothing of it.
func TestPage(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	b := newBrowser(t, "")
	ada := b.visits(s.URL(), "/")
	code := ada.writes("Tea at four?\nBring the blue cups.")
	bob := b.visits(s.URL(), "/")
	// The words are completed, with the keyboard alone.
	number, _, _ := strings.Cut(code, "-")
	first, second := words(code)[0], words(code)[1]
	bob.types("code", number+" "+first[:len(first)-1]+"\t")
	if typed := look[string](bob.tab, "document.getElementById('code').value"); typed != number+"-"+first+"-" {
		t.Errorf("%q is typed", typed)
	}
	bob.types("code", second+"\r")
	bob.sees("Connected")
	bob.has("Tea at four?\nBring the blue cups.")
	ada.sees("The note was read")
	bob.says("With pleasure.")
	ada.has("Tea at four?\nBring the blue cups.", "With pleasure.")
	bob.sees("The note was read")
	ada.says("Good.")
	ada.sees("The notes were read")
	bob.has("Tea at four?\nBring the blue cups.", "With pleasure.", "Good.")

	verifier := func(g *guest) string { return look[string](g.tab, "document.getElementById('verifier').textContent") }
	if one := verifier(ada); len(strings.ReplaceAll(one, " ", "")) != 64 || one != verifier(bob) {
		t.Errorf("the verifiers are %q and %q", one, verifier(bob))
	}
	tellsNothing(t, s, append(words(code), "Tea at four", "blue cups", "With pleasure")...)

	ada.types("line", "And")
	bob.presses("Leave")
	bob.sees("Leave a note")
	ada.sees("The notes were read, and the other side left")
	if focused := look[string](ada.tab, "document.activeElement.id"); focused != "again" {
		t.Errorf("the field is gone, and the focus at %q", focused)
	}
	bothLeft(t, s, "happy")

	// And once more, in the same session.
	ada.presses("Write another note")
	code = ada.writes("Tomorrow, too?")
	bob.reads(code)
	bob.has("Tomorrow, too?")
	ada.sees("The note was read")
}

// TestPageLink opens the link to a note. The code does not stay in the address, and so not in the browser's history.
// The server asks for a hashcash stamp, which the browser makes.
func TestPageLink(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t, "--hashcash-bits=12")
	begin := `{"protocolVersion":"1","appId":"restante.page","expectedSessionState":{"nextExpectedSeq":0,"nextSentSeq":0}}`
	if a := e2e.Ask(t, http.MethodPost, s.URL()+"/v1/sessions", http.Header{"Content-Type": {"application/json"}}, begin); !strings.Contains(string(a.Body), "permissionRequired") {
		t.Fatalf("a session without a stamp is answered %d %s", a.Status, a.Body)
	}
	b := newBrowser(t, "")
	ada := b.visits(s.URL(), "/")
	code := ada.writes("mail")
	bob := b.visits(s.URL(), "/#"+code)
	bob.has("mail")
	if address := look[string](bob.tab, "location.href"); address != s.URL()+"/" {
		t.Errorf("the address is %s", address)
	}
	// Another link, while this conversation goes on.
	look[bool](bob.tab, "location.hash = '#8-crossover-clockwork', true")
	bob.until("document.getElementById('other').textContent.includes('8-crossover-clockwork')")
	bob.presses("Leave this one and join")
	bob.sees("Waiting for the other side")
	ada.sees("the other side left")
	bob.presses("Cancel")
	bob.sees("Leave a note")
	// A link that is none.
	look[bool](bob.tab, "location.hash = '#7', true")
	bob.until("document.getElementById('code-problem').textContent !== ''")
}

// TestPageCopies has the code and the link copied, with the browser's clipboard and, where there is none as there
// is no TLS, without. Nor are there locks then, and the page works nevertheless.
func TestPageCopies(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t, "--allowed-hosts=127.0.0.1,page.test")
	b := newBrowser(t, "")
	paste := cdpbrowser.SetPermissionParams{Permission: &cdpbrowser.PermissionDescriptor{Name: "clipboard-read"}, Setting: cdpbrowser.PermissionSettingGranted}
	if _, err := chromedp.CallBrowser(b.ctx, cdpbrowser.SetPermission, paste); err != nil {
		t.Fatal(err)
	}
	ada := b.visits(s.URL(), "/")
	code := ada.writes("mail")
	copies := func(g *guest, label, what string) {
		t.Helper()
		g.front()
		g.presses(label)
		g.until("document.getElementById('said').textContent === 'Copied'")
		ada.front()
		ada.until("navigator.clipboard.readText().then((text) => text === " + quoted(what) + ")")
	}
	copies(ada, "Copy the code", code)
	copies(ada, "Copy a link", s.URL()+"/#"+code)
	copies(ada, "Copy the command", "wormhole --relay-url ws://"+s.Address+"/v1 receive "+code)

	plain := strings.Replace(s.URL(), "127.0.0.1", "page.test", 1)
	bob := b.visits(plain, "/#"+code)
	bob.has("mail")
	if look[bool](bob.tab, "isSecureContext || navigator.clipboard !== undefined || navigator.locks !== undefined") {
		t.Error("this shows nothing: the page is trusted")
	}
	copies(bob, "Copy the note", "mail")
	if err := chromedp.Do(bob.ctx, chromedp.Reload()); err != nil {
		t.Fatal(err)
	}
	bob.has("mail")
	bob.says("Thank you.")
	ada.has("mail", "Thank you.")
}

// TestPageTerminal has the page and the clients that people use in terminals send each other notes.
func TestPageTerminal(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, "")
	// tries has a client and the page exchange something, which may fail if it is William's fault.
	tries := func(t *testing.T, client string, exchange func() (*e2e.Person, func())) {
		t.Helper()
		if client == e2e.William {
			e2e.Exchange(t, func(string) ([]*e2e.Person, func()) {
				william, check := exchange()
				return []*e2e.Person{william}, check
			})
			return
		}
		_, check := exchange()
		check()
	}
	for _, client := range []string{e2e.Python, e2e.William} {
		t.Run("to "+client, func(t *testing.T) {
			tries(t, client, func() (*e2e.Person, func()) {
				s := e2e.Serve(t)
				ada := b.of(t).visits(s.URL(), "/")
				code := ada.writes("mail-of-the-page")
				to := e2e.RunClient(t, s.Address, client, "receive", "--verify", code)
				return to, func() {
					to.MustSucceed("mail-of-the-page")
					ada.sees("The note was read")
					shown := strings.ReplaceAll(look[string](ada.tab, "document.getElementById('verifier').textContent"), " ", "")
					if len(shown) != 64 || !strings.Contains(strings.ToLower(to.Screen.String()), shown) {
						t.Errorf("the verifier is %q here", shown)
					}
					tellsNothing(t, s, append(words(code), "mail-of-the-page")...)
				}
			})
		})
		t.Run("from "+client, func(t *testing.T) {
			tries(t, client, func() (*e2e.Person, func()) {
				s := e2e.Serve(t)
				from := e2e.RunClient(t, s.Address, client, "send", "--text", "mail-of-the-terminal")
				code := from.WaitCode()
				ada := b.of(t).visits(s.URL(), "/")
				ada.reads(code)
				return from, func() {
					ada.has("mail-of-the-terminal")
					from.MustSucceed("text message sent")
					tellsNothing(t, s, append(words(code), "mail-of-the-terminal")...)
					if client == e2e.Python { // the other may exit before its close has gone out
						ada.sees("The other side left")
						bothLeft(t, s, "happy")
					}
				}
			})
		})
	}
	t.Run("as much as the deafest of them hears", func(t *testing.T) {
		tries(t, e2e.William, func() (*e2e.Person, func()) {
			s := e2e.Serve(t)
			ada := b.of(t).visits(s.URL(), "/")
			ada.puts("note", strings.Repeat("a", 15_999))
			ada.presses("Get a code")
			ada.until("document.getElementById('note-problem').textContent.includes('too long for one note, by 1 bytes')")
			note := strings.Repeat("a", 15_998)
			to := e2e.RunClient(t, s.Address, e2e.William, "receive", ada.writes(note))
			return to, func() {
				to.MustSucceed(note)
				ada.sees("The note was read")
			}
		})
	})
	t.Run("a file is not taken", func(t *testing.T) {
		s := e2e.Serve(t)
		path := filepath.Join(t.TempDir(), "holiday.txt")
		if err := os.WriteFile(path, []byte("sun"), 0o600); err != nil {
			t.Fatal(err)
		}
		from := e2e.RunClient(t, s.Address, e2e.Python, "send", "--no-listen", "--hide-progress", path) // nothing of it is taken
		ada := b.of(t).visits(s.URL(), "/")
		ada.reads(from.WaitCode())
		ada.sees("This did not work")
		from.MustFail("text")
		ada.until("document.getElementById('alarm-explanation').textContent.includes('Only text')")
	})
}

// TestPageWrongCode is a code that was mistyped, or guessed: both sides say so, and the note stays where it is.
func TestPageWrongCode(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, "")
	const alarm = "Wrong code: someone may have guessed"
	wrong := func(code string) string { return strings.Split(code, "-")[0] + "-drunken-zulu" }
	t.Run("page", func(t *testing.T) {
		t.Parallel()
		s := e2e.Serve(t)
		b := b.of(t)
		ada := b.visits(s.URL(), "/")
		code := ada.writes("mail")
		bob := b.visits(s.URL(), "/#"+wrong(code))
		bob.sees(alarm)
		ada.sees(alarm)
		if shown := bob.notes(); len(shown) > 0 {
			t.Errorf("a wrong code shows %q", shown)
		}
		ada.presses("Begin again")
		if kept := look[string](ada.tab, "document.getElementById('note').value"); kept != "mail" {
			t.Errorf("what was not read is lost: %q", kept)
		}
		bothLeft(t, s, "scary")
	})
	t.Run("terminal receives", func(t *testing.T) {
		t.Parallel()
		s := e2e.Serve(t)
		ada := b.of(t).visits(s.URL(), "/")
		to := e2e.RunClient(t, s.Address, e2e.Python, "receive", wrong(ada.writes("mail")))
		to.MustFail("Key confirmation failed")
		ada.sees(alarm)
		bothLeft(t, s, "scary")
	})
	t.Run("terminal sends", func(t *testing.T) {
		t.Parallel()
		s := e2e.Serve(t)
		from := e2e.RunClient(t, s.Address, e2e.Python, "send", "--text", "mail")
		ada := b.of(t).visits(s.URL(), "/")
		ada.reads(wrong(from.WaitCode()))
		ada.sees(alarm)
		from.MustFail("Key confirmation failed")
		bothLeft(t, s, "scary")
	})
}

// TestPageIsSmall holds what it takes to see the page, and what both pages add to the program.
func TestPageIsSmall(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	size := func(paths ...string) (total int) {
		for _, path := range paths {
			a := e2e.Ask(t, http.MethodGet, s.URL()+path, http.Header{"Accept": {"text/html"}, "Accept-Encoding": {"gzip"}})
			if a.Status != http.StatusOK || a.Header.Get("Content-Encoding") != "gzip" {
				t.Fatalf("%s: %d %s", path, a.Status, a.Header)
			}
			total += len(a.Body)
		}
		return total
	}
	home := size("/", "/assets/page.js", "/assets/page.css", "/assets/icon.svg")
	docs := size("/docs", "/assets/docs.js", "/assets/docs.css", "/assets/swagger-ui.js", "/assets/swagger-ui.css", "/assets/swagger-ui.LICENSE.txt")
	t.Logf("the page takes %d bytes, the reference %d", home, docs)
	if home >= 60_000 || docs >= 1_000_000 {
		t.Error("that is too much")
	}
}
