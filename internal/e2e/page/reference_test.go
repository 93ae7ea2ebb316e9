package page_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"restante/internal/e2e"
)

// TestPageReference is /docs: it has each operation, with the command for it, and asks no other server for anything.
func TestPageReference(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	g := newBrowser(t, "").readsReference(s)
	if n := look[int](g.tab, "document.querySelectorAll('.opblock').length"); n < 20 {
		t.Errorf("only %d operations are there", n)
	}
	sessions := look[string](g.tab, "[...document.querySelectorAll('#operations-tag-sessions ~ * .opblock')].map(({ id }) => id.split('-').pop()).join(' ')")
	if want := "beginSession receive socket acknowledge updateMetadata getSession endSession"; sessions != want {
		t.Errorf("the operations on sessions are %s; in the order in which one reads, they are %s", sessions, want)
	}
	for id, command := range map[string]string{
		"operations-nameplates-claimNameplate": "curl -X PUT " + s.URL() + "/v1/nameplates/4",
		"operations-sessions-socket":           "ws://" + s.Address + "/v1/session/socket",
		"operations-wormhole-wormhole":         "wormhole --relay-url ws://" + s.Address + "/v1 send",
	} {
		operation := "document.getElementById(" + quoted(id) + ")"
		look[bool](g.tab, operation+".querySelector('.opblock-summary-control').click() === undefined")
		g.until(operation + ".querySelector('.samples pre')")
		if shown := look[string](g.tab, operation+".querySelector('.samples').textContent"); !strings.Contains(shown, command) {
			t.Errorf("%s says %q, want %q in it", id, shown, command)
		}
	}
}

// TestPageReferenceTries is what two readers of /docs do: each presses Execute, from the handshake to a message that the
// one sent and the other received. They type only the number on the nameplate.
func TestPageReferenceTries(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	b := newBrowser(t, "")
	ada, bob := b.readsReference(s), b.readsReference(s)
	ada.executes("sessions-beginSession", 201)
	ada.examine("reference") // with what was sent and answered
	claim := ada.executes("nameplates-allocateNameplate", 201)
	ada.executes("mailboxes-openMailbox", 200)

	bob.executes("sessions-beginSession", 201)
	_, number, _ := strings.Cut(claim, `"nameplate": "`)
	number, _, _ = strings.Cut(number, `"`)
	bob.front()
	bob.expands("nameplates-claimNameplate")
	bob.until("((field) => { field?.focus(); return field !== null && document.activeElement === field; })" + // the page may still draw it
		"(document.querySelector('#operations-nameplates-claimNameplate tr[data-param-name=nameplate] input'))")
	if err := chromedp.Do(bob.ctx, chromedp.KeyEvent(number)); err != nil {
		t.Fatal(err)
	}
	look[bool](bob.tab, "document.activeElement.blur() === undefined") // as a person who goes on to the button does
	bob.executes("nameplates-claimNameplate", 200)
	bob.executes("mailboxes-openMailbox", 200)
	bob.executes("mailboxes-addMessage", 201)

	if got := ada.executes("sessions-receive", 200); !strings.Contains(got, `"body": "7b22b1e4"`) {
		t.Errorf("the message is not in what was received: %s", got)
	}
	if got := ada.executes("mailboxes-listMessages", 200); !strings.Contains(got, `"body": "7b22b1e4"`) {
		t.Errorf("the message is not in the log: %s", got)
	}
	ada.executes("sessions-getSession", 200)
	ada.executes("mailboxes-closeMailbox", 204)
	ada.executes("sessions-endSession", 204)
}

// TestPageReferenceExecutesWhatItKnows holds that no button to execute an operation is there before the viewer knows the
// operation, which takes a slow browser a while: one that is pressed before would stay disabled for ever, and nothing be sent.
func TestPageReferenceExecutesWhatItKnows(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	r := newBrowser(t, "").readsReference(s)
	const operation = "document.getElementById('operations-sessions-beginSession')"
	// The viewer looks an operation up a moment after it was opened. That moment does not end before the test says so.
	look[bool](r.tab, "window.held = [], window.timer = setTimeout, window.setTimeout = (f) => held.push(f), true")
	look[bool](r.tab, operation+".querySelector('.opblock-summary-control').click() === undefined")
	r.until(operation + ".querySelector('.opblock-body') && held.length > 0")
	if look[bool](r.tab, operation+".querySelector('.execute') !== null") {
		t.Error("there is a button to execute an operation that the viewer does not know yet")
	}
	look[bool](r.tab, "window.setTimeout = timer, held.forEach((f) => f()), true")
	r.executes("sessions-beginSession", 201)
}

// reader is a person at /docs.
type reader struct{ *guest }

// readsReference opens /docs, and waits until it can be used.
func (b *browser) readsReference(s *e2e.Server) *reader {
	b.t.Helper()
	g := b.visits(s.URL(), "/docs")
	g.until("document.querySelectorAll('.opblock').length > 0")
	return &reader{g}
}

// expands opens an operation, if it is not open.
func (r *reader) expands(id string) (operation string) {
	r.b.t.Helper()
	operation = "document.getElementById(" + quoted("operations-"+id) + ")"
	look[bool](r.tab, operation+".classList.contains('is-open') || "+operation+".querySelector('.opblock-summary-control').click() === undefined")
	r.until(operation + ".querySelector('.execute')")
	return operation
}

// executes an operation with what the page has filled in, and returns what was answered.
func (r *reader) executes(id string, status int) (body string) {
	r.b.t.Helper()
	r.front() // as the page of a person who presses a button is
	operation := r.expands(id)
	r.until("[..." + operation + ".querySelectorAll('[data-param-in=path] input')].every(({ value }) => value !== '')") // the page fills them in
	look[bool](r.tab, operation+".querySelector('.execute').click() === undefined")
	answer := operation + ".querySelector('.live-responses-table tbody .response')"
	r.until(answer)
	body = look[string](r.tab, answer+".textContent")
	if !strings.HasPrefix(body, strconv.Itoa(status)) {
		r.b.t.Fatalf("%s is answered %s, want %d", id, body, status)
	}
	return body
}
