package page_test

import (
	"os"
	"strings"
	"testing"

	"restante/internal/e2e"
)

// TestBrowserExample pastes the example of docs/browser.md, and has two windows talk.
func TestBrowserExample(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile(e2e.Path("docs/browser.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, example, found := strings.Cut(string(docs), "<!-- example -->\n```html\n")
	example, _, ended := strings.Cut(example, "```")
	if !found || !ended {
		t.Fatal("docs/browser.md has no example")
	}
	w := newSite(t, e2e.Serve(t), map[string]string{"/talk": example})
	b := newBrowser(t, "")
	says := func(p *tab, line string) {
		t.Helper()
		p.until("document.body.innerText.includes(" + quoted(line) + ")")
	}
	say := func(p *tab, line string) {
		t.Helper()
		look[bool](p, "document.forms[0].line.value = "+quoted(line)+", document.forms[0].requestSubmit(), true")
	}

	ada := b.open(w.URL + "/talk")
	says(ada, "connected")
	says(ada, "?number=")
	bob := b.open(look[string](ada, "/http\\S+/.exec(document.body.innerText)[0]"))
	says(bob, "connected")
	say(ada, "Tea at four?")
	says(bob, "Tea at four?")
	say(bob, "With cake.")
	says(ada, "With cake.")
	bob.navigate(look[string](bob, "location.href"))
	say(ada, "Which one?")
	says(bob, "Which one?")
	if seen := look[string](bob, "document.body.innerText"); strings.Contains(seen, "four") {
		t.Errorf("a message that was processed came again: %s", seen)
	}
}

// quoted is a text as JavaScript has it.
func quoted(text string) string { return "'" + text + "'" }
