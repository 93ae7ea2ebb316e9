package page_test

import (
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// TestPageTrouble has two people write each other while everything happens to them that happens to pages, and the
// server is killed after each step. Each note arrives, once.
func TestPageTrouble(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t, "--heartbeat-interval=1s")
	w := newSite(t, s, nil)
	n := newWire(t, w)
	b := newBrowser(t, "IntensiveWakeUpThrottling:grace_period_seconds/2")
	restart := func() {
		t.Helper()
		s.Kill()
		s.Start()
		s.WaitReady()
	}
	reload := func(g *guest) {
		t.Helper()
		if err := chromedp.Do(g.ctx, chromedp.Reload()); err != nil {
			t.Fatal(err)
		}
	}
	said := []string{"one"}
	ada := b.visits(w.URL, "/")
	code := ada.writes("one")
	restart()
	reload(ada)
	ada.sees("Waiting for the other side")
	if again := look[string](ada.tab, "document.getElementById('big-code').textContent"); again != code {
		t.Fatalf("after a reload, the code is %s and not %s", again, code)
	}
	restart()
	bob := b.visits(w.URL, "/#"+code) // before Ada, who is hidden from now on
	bob.has(said...)
	restart()

	say := func(note string) {
		t.Helper()
		said = append(said, note)
		ada.says(note)
	}
	for _, step := range []struct {
		name string
		does func()
	}{
		{"loaded again", func() {
			reload(bob)
			say("two")
		}},
		{"hidden, with timers that are throttled", func() {
			b.open("about:blank")
			if seen := look[string](bob.tab, "document.visibilityState"); seen != "hidden" {
				t.Fatalf("the tab is %s", seen)
			}
			if err := testclient.Pause(t.Context(), 3*time.Second); err != nil {
				t.Fatal(err)
			}
			say("three")
		}},
		{"offline for a while", func() {
			n.set("cut")
			say("four")
			if err := testclient.Pause(t.Context(), 2*time.Second); err != nil {
				t.Fatal(err)
			}
			n.set("")
		}},
		{"the writer loaded again, right after", func() {
			say("five")
			reload(ada)
		}},
		{"both loaded again, and the server killed while they come back", func() {
			say("six")
			reload(ada)
			reload(bob)
			restart()
		}},
	} {
		began := time.Now()
		step.does()
		bob.has(said...)
		ada.sees("The notes were read")
		ada.has(said...)
		t.Logf("%s: there after %v", step.name, time.Since(began).Round(10*time.Millisecond))
		restart()
	}
	reload(bob)
	bob.has(said...)
	bob.says("Enough.")
	ada.has(append(said, "Enough.")...)
	bob.sees("The note was read")
	bob.presses("Leave")
	ada.sees("the other side left")
	bothLeft(t, s, "happy")
}

// TestPageLeftUnreachable has a page loaded again that then finds no server, and leaves its conversation there. What was
// not read is in the field again, and the other side sees that this one left as soon as the page finds the server. A link
// to another conversation is followed only if one leaves this one for it.
func TestPageLeftUnreachable(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	b := newBrowser(t, "")
	ada := b.visits(s.URL(), "/")
	code := ada.writes("mail")
	comesBack := func() {
		t.Helper()
		ada.cannotReach("*://*:*/v1/*")
		if err := chromedp.Do(ada.ctx, chromedp.Reload()); err != nil {
			t.Fatal(err)
		}
		ada.sees("The server cannot be reached")
	}
	comesBack()
	bob := b.visits(s.URL(), "/#"+code)
	bob.sees("The other side is here")
	ada.front()
	ada.presses("Go back")
	hasKept := func() {
		t.Helper()
		if kept := look[string](ada.tab, "document.getElementById('note').value"); kept != "mail" {
			t.Errorf("what was written is lost: %q", kept)
		}
	}
	hasKept()
	ada.cannotReach()
	ada.presses("Get a code")
	ada.sees("Waiting for the other side")
	bob.sees("The other side left")
	e2e.Eventually(t, "one mailbox is left", func() bool { return len(e2e.Column(t, s, "SELECT id FROM mailboxes")) == 1 })

	// Links, while the page finds no server again: to this conversation, and to another one.
	code = look[string](ada.tab, "document.getElementById('big-code').textContent")
	comesBack()
	follows := func(code string) {
		t.Helper()
		look[bool](ada.tab, "location.hash = "+quoted("#"+code)+", true")
		ada.until("location.hash === ''")
	}
	follows(code)
	ada.until("document.getElementById('other').hidden")
	follows("8-crossover-clockwork")
	ada.until("document.getElementById('other').textContent.includes('8-crossover-clockwork')")
	ada.cannotReach()
	ada.presses("Leave this one and join")
	ada.sees("Waiting for the other side")
	ada.presses("Cancel")
	ada.sees("Leave a note")
	hasKept()
}

// cannotReach has a tab reach no address of a pattern from now on; without one, it reaches all.
func (g *guest) cannotReach(patterns ...string) {
	g.b.t.Helper()
	blocked := []*network.BlockPattern{}
	for _, pattern := range patterns {
		blocked = append(blocked, &network.BlockPattern{URLPattern: pattern, Block: true})
	}
	if _, err := chromedp.Call(g.ctx, network.SetBlockedURLs, network.SetBlockedURLsParams{URLPatterns: blocked}); err != nil {
		g.b.t.Fatal(err)
	}
}

// TestPageDuplicate is a tab that is duplicated, with all that it keeps. The copy says that the conversation is the other
// tab's, and whatever is done in it, that one notices nothing.
func TestPageDuplicate(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	b := newBrowser(t, "")
	ada := b.visits(s.URL(), "/")
	code := ada.writes("mail")
	opening := chromedp.Evaluate[bool]("(window.copy = open('/')) !== null", func(e *runtime.EvaluateParams) { yes := true; e.UserGesture = &yes })
	if opened, err := chromedp.Run(ada.ctx, opening); err != nil || !opened {
		t.Fatalf("no window opens: %v", err)
	}
	ada.until("copy.document.getElementById('alarm-explanation')?.textContent.includes('another tab has it')")
	look[bool](ada.tab, "copy.document.getElementById('again').click() === undefined")
	ada.until("!copy.document.getElementById('start').hidden")
	if kept := look[string](ada.tab, "copy.document.getElementById('note').value"); kept != "mail" {
		t.Errorf("the copy offers %q to be sent again", kept)
	}
	bob := b.visits(s.URL(), "/#"+code)
	bob.has("mail")
	ada.sees("The note was read")
	bob.says("Thank you.")
	ada.has("mail", "Thank you.")
}
