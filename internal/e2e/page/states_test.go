package page_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// form is a way to look at a page: the size of the window, and what the user prefers.
type form struct {
	name          string
	width, height int64
	scheme        string
}

var forms = []form{
	{"phone-dark", 390, 844, "dark"},
	{"phone-light", 390, 844, "light"},
	{"desktop-dark", 1280, 800, "dark"},
	{"desktop-light", 1280, 800, "light"},
}

// axe checks a page for what people with disabilities stumble over.
const axe = `axe.run({ resultTypes: ['violations'] }).then(({ violations }) =>
  violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ target, any, all }) => target + ' ' + [...any, ...all].map(({ message }) => message)).join('; ')))`

// examine looks at a page in each form: nothing may be in anybody's way, and nothing may be cut off. With
// RESTANTE_PICTURES, which names a folder, it leaves a picture of each there.
func (g *guest) examine(state string) {
	g.b.t.Helper()
	g.front()
	script, err := os.ReadFile(e2e.Path("web/node_modules/axe-core/axe.min.js"))
	if err != nil {
		g.b.t.Fatalf("what checks pages is not there (npm --prefix web ci): %v", err)
	}
	look[bool](g.tab, string(script)+"\n;true")
	for _, f := range forms {
		features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: f.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}
		if _, err := chromedp.Call(g.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
			g.b.t.Fatal(err)
		}
		if err := chromedp.Do(g.ctx, chromedp.EmulateViewport(f.width, f.height)); err != nil {
			g.b.t.Fatal(err)
		}
		look[bool](g.tab, "new Promise((done) => requestAnimationFrame(() => done(true)))") // by when the page knows its form
		for _, violation := range look[[]string](g.tab, axe) {
			g.b.t.Errorf("%s, %s: %s", state, f.name, violation)
		}
		if wide := look[int64](g.tab, "document.documentElement.scrollWidth"); wide > f.width {
			g.b.t.Errorf("%s, %s: the page is %d wide", state, f.name, wide)
		}
		if dir := os.Getenv("RESTANTE_PICTURES"); dir != "" {
			picture, err := chromedp.Run(g.ctx, chromedp.FullScreenshot(100))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, state+"-"+f.name+".png"), picture, 0o600)
			}
			if err != nil {
				g.b.t.Fatal(err)
			}
		}
	}
}

// TestPageStates goes through all that the page can show, and examines each.
func TestPageStates(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t, "--motd=Please be kind.")
	b := newBrowser(t, "")
	ada := b.visits(s.URL(), "/")
	ada.examine("start")
	ada.presses("Get a code")
	ada.presses("Read the note")
	ada.examine("mistakes")
	ada.types("code", "7-cr")
	ada.until("document.getElementById('code').getAttribute('aria-expanded') === 'true'")
	ada.types("code", kb.Escape) // Escape closes the list
	ada.until("document.getElementById('words').hidden")
	ada.types("code", "o")
	ada.examine("typing")
	ada.puts("code", "")

	code := ada.writes("Tea at four?\nBring the blue cups, please, and anybody who might like to come.")
	ada.examine("waiting")
	bob := b.visits(s.URL(), "/#"+code)
	bob.sees("Connected")
	bob.examine("received")
	bob.says("With pleasure.")
	ada.has("Tea at four?\nBring the blue cups, please, and anybody who might like to come.", "With pleasure.")
	ada.front()
	look[bool](ada.tab, "document.querySelectorAll('details').forEach((d) => { d.open = true; }) === undefined")
	ada.until("document.getElementById('session-rows').textContent.includes('attached')")
	if shown := look[string](ada.tab, "document.getElementById('session-rows').textContent"); !strings.Contains(shown, "3600 s") {
		t.Errorf("the server does not wait long enough for a telephone: %s", shown)
	}
	ada.examine("connected")
	bob.presses("Leave")
	ada.sees("the other side left")
	ada.examine("left")

	ada.presses("Write another note")
	code = ada.writes("A secret")
	bob.reads(code + "-zulu")
	bob.sees("Wrong code")
	bob.examine("wrong-code")
	ada.sees("Wrong code")
	ada.examine("guessed")
	ada.presses("Begin again")
	code = ada.writes("A secret")
	s.Kill()
	ada.until("document.getElementById('connection').textContent !== ''")
	ada.examine("server-away")
	bob.presses("Begin again")
	s.Start()
	s.WaitReady()
	ada.until("document.getElementById('connection').textContent === ''")
	bob.reads(code)
	bob.has("A secret")
	ada.sees("The note was read")
}

// TestPageUnreachable is a page that was loaded, and finds no server when it is used. What was written is not lost.
func TestPageUnreachable(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t, "--max-ttl=30m") // which is less than the page asks for
	ada := newBrowser(t, "").visits(s.URL(), "/")
	s.Kill()
	ada.puts("note", "mail")
	ada.presses("Get a code")
	ada.sees("Connecting")
	ada.sees("The server cannot be reached")
	ada.examine("unreachable")
	ada.presses("Go back")
	if kept := look[string](ada.tab, "document.getElementById('note').value"); kept != "mail" {
		t.Errorf("what was written is lost: %q", kept)
	}
	ada.presses("Get a code")
	ada.sees("The server cannot be reached")
	ada.presses("Try again")
	ada.presses("Cancel")
	s.Start()
	s.WaitReady()
	if err := testclient.Pause(t.Context(), time.Second); err != nil { // in which it would connect, and go on
		t.Fatal(err)
	}
	ada.sees("Leave a note")
	ada.presses("Get a code")
	ada.sees("Waiting for the other side")
	if n := len(e2e.Column(t, s, "SELECT id FROM mailboxes")); n != 1 {
		t.Errorf("there are %d mailboxes", n)
	}
}

// TestPageUnreachableLoadedAgain is a page that finds no server and is loaded again: it goes on with the note that was
// written, and with the link that was followed, and forgets them when one goes back.
func TestPageUnreachableLoadedAgain(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	b := newBrowser(t, "")
	loadedAgain := func(g *guest, then string) {
		t.Helper()
		if err := chromedp.Do(g.ctx, chromedp.Reload()); err != nil {
			t.Fatal(err)
		}
		g.sees(then)
	}
	const away, api = "The server cannot be reached", "*://*:*/v1/*"
	ada := b.visits(s.URL(), "/")
	ada.cannotReach(api)
	ada.puts("note", "mail")
	ada.presses("Get a code")
	ada.sees(away)
	loadedAgain(ada, away)
	ada.presses("Go back")
	if kept := look[string](ada.tab, "document.getElementById('note').value"); kept != "mail" {
		t.Errorf("what was written is lost: %q", kept)
	}
	ada.presses("Get a code")
	ada.sees(away)
	ada.cannotReach()
	loadedAgain(ada, "Waiting for the other side")
	code := look[string](ada.tab, "document.getElementById('big-code').textContent")

	bob := b.visits(s.URL(), "/")
	bob.cannotReach(api)
	bob.reads(code)
	bob.sees(away)
	loadedAgain(bob, away)
	bob.presses("Go back")
	if kept := look[string](bob.tab, "document.getElementById('code').value"); kept != code {
		t.Errorf("the code is lost: %q, want %q", kept, code)
	}
	bob.presses("Read the note")
	bob.sees(away)
	bob.cannotReach()
	bob.presses("Try again")
	bob.has("mail")
	ada.sees("The note was read")
	bob.presses("Leave")
	bob.cannotReach(api)
	loadedAgain(bob, "Leave a note")
}
