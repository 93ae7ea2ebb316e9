package handlers_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"testing"

	"restante/rendezvous"
	"restante/session"
)

// replays sends a numbered command again, and fails the test unless the recorded
// reply is given: the same status and bytes, marked as repeated.
func replays(r *request, first *answer, wanted int) {
	r.c.Helper()
	again := r.want(first.status).says("Replayed", "true").says("Ack", strconv.Itoa(wanted))
	if !bytes.Equal(again.body, first.body) {
		r.c.Errorf("%s %s was answered %s, and then %s", r.method, r.target, first.body, again.body)
	}
}

// first sends a numbered command for the first time.
func first(r *request, status, wanted int) *answer {
	r.c.Helper()
	a := r.want(status).says("Ack", strconv.Itoa(wanted))
	if a.header.Get("Replayed") != "" {
		r.c.Errorf("%s %s is new, and is replayed", r.method, r.target)
	}
	return a
}

func TestEveryCommandIsRepeatable(t *testing.T) {
	w := start(t, options{})
	a, b := w.begin(t, "app", "a"), w.begin(t, "app", "b")
	commands := []struct {
		r      *request
		status int
	}{
		{a.post("/v1/nameplates", `{"ttlMs": 3600000}`), 201},
		{a.put("/v1/nameplates/77"), 200},
		{a.open("m"), 200},
		{a.add("m", "p", "once"), 201},
		{a.delete("/v1/nameplates/77"), 204},
		{a.delete("/v1/mailboxes/m?mood=lonely"), 204},
		{a.delete("/v1/session"), 204},
	}
	answers := make([]*answer, len(commands))
	for n, c := range commands {
		answers[n] = first(c.r.seq(n), c.status, n+1)
		if n == 3 {
			b.open("m").want(http.StatusOK) // the world goes on
		}
		if n == len(commands)-1 {
			continue // there is no session left to repeat anything
		}
		for i := range n + 1 {
			replays(commands[i].r, answers[i], n+1)
		}
	}
	if got := b.get("/v1/mailboxes/m/messages").want(http.StatusOK); got.number("lastPosition") != 1 {
		t.Errorf("it was added again: %s", got.body)
	}
	if got := b.poll(0).want(http.StatusOK); got.count("frames") != 2 || got.text("frames/1/mood") != "lonely" {
		t.Errorf("b hears %s", got.body)
	}
}

func TestSeqReused(t *testing.T) {
	w := start(t, options{})
	a := w.begin(t, "app", "a")
	a.open("m").seq(0).want(http.StatusOK)
	a.add("m", "p", "b").seq(1).want(http.StatusCreated)
	a.open("other").seq(2).want(http.StatusOK)
	for why, r := range map[string]*request{
		"another body":              a.add("m", "p", "c"),
		"the same JSON, in another": a.post("/v1/mailboxes/m/messages", `{"body":"b","phase":"p"}`),
		"another path":              a.add("other", "p", "b"),
		"another method":            a.put("/v1/nameplates/1"),
		"another query":             a.delete("/v1/mailboxes/m?mood=happy"),
	} {
		if got := r.seq(1).refused(http.StatusConflict, "SEQ_REUSED").says("Ack", "3"); got.header.Get("Replayed") != "" {
			t.Errorf("%s: it is marked as repeated", why)
		}
	}
	replays(a.open("m").seq(0), a.open("m").seq(0).want(http.StatusOK), 3)
	a.delete("/v1/mailboxes/m").seq(3).want(http.StatusNoContent)
}

func TestSeqGap(t *testing.T) {
	w := start(t, options{})
	a := w.begin(t, "app", "a")
	if got := a.open("m").seq(1).refused(http.StatusConflict, "SEQ_GAP").says("Ack", "0"); got.number("expectedSeq") != 0 {
		t.Errorf("it is told %s", got.body)
	}
	a.get("/v1/mailboxes/m").refused(http.StatusNotFound, "NOT_FOUND")
	a.open("m").seq(0).want(http.StatusOK)
	a.add("m", "p", "b").seq(1).want(http.StatusCreated)
	a.add("m", "p", "without a number").want(http.StatusCreated).says("Ack", "2")
	if got := a.open("m").seq(3).refused(http.StatusConflict, "SEQ_GAP"); got.number("expectedSeq") != 2 {
		t.Errorf("it is told %s", got.body)
	}
}

func TestReplyForgotten(t *testing.T) {
	w := start(t, options{})
	a := w.begin(t, "app", "a")
	var answers []*answer
	for n := range session.Window + 1 {
		answers = append(answers, a.put("/v1/nameplates/1").seq(n).want(http.StatusOK))
	}
	a.put("/v1/nameplates/1").seq(0).refused(http.StatusConflict, "REPLY_FORGOTTEN").says("Ack", strconv.Itoa(session.Window+1))
	a.put("/v1/nameplates/2").seq(0).refused(http.StatusConflict, "REPLY_FORGOTTEN") // whatever it was
	for n := 1; n < len(answers); n += 21 {
		replays(a.put("/v1/nameplates/1").seq(n), answers[n], session.Window+1)
	}
}

// A refusal that is an answer uses up its number, and is the answer for good.
func TestFinalRefusalsAreRecorded(t *testing.T) {
	w := start(t, options{})
	a, b, c := w.begin(t, "app", "a"), w.begin(t, "app", "b"), w.begin(t, "app", "c")
	for _, one := range []*client{a, b} {
		one.put("/v1/nameplates/1").want(http.StatusOK)
		one.open("m").want(http.StatusOK)
	}
	a.put("/v1/nameplates/2").want(http.StatusOK)
	b.put("/v1/nameplates/2").want(http.StatusOK)
	b.delete("/v1/nameplates/2").want(http.StatusNoContent)

	for _, tt := range []struct {
		code   string
		status int
		r      *request
		change func() // has it succeed, if it were done again
	}{
		{"CROWDED", 409, c.put("/v1/nameplates/1").seq(0), func() {
			a.delete("/v1/nameplates/1").want(http.StatusNoContent)
			b.delete("/v1/nameplates/1").want(http.StatusNoContent)
		}},
		{"CROWDED", 409, c.open("m").seq(2), func() {
			a.delete("/v1/mailboxes/m").want(http.StatusNoContent)
			b.delete("/v1/mailboxes/m").want(http.StatusNoContent)
		}},
		{"NOT_OPEN", 403, c.add("n", "p", "b").seq(4), func() { c.open("n").want(http.StatusOK) }},
		{"RECLAIMED", 409, b.put("/v1/nameplates/2").seq(0), func() { a.delete("/v1/nameplates/2").want(http.StatusNoContent) }},
	} {
		number := 1 + int(tt.r.header.Get("Seq")[0]-'0')
		refusal := first(tt.r, tt.status, number)
		if got := refusal.text("code"); got != tt.code {
			t.Errorf("it is refused with %s, want %s", got, tt.code)
		}
		tt.change()
		replays(tt.r, refusal, number)
		again := *tt.r
		again.header = again.header.Clone()
		again.header.Set("Seq", strconv.Itoa(number))
		if got := again.send(); got.status >= 300 {
			t.Errorf("done anew, it is refused as well: %s", got.body)
		}
	}
}

// A refusal that may pass leaves the number to the next try.
func TestRetriableRefusalsUseUpNoNumber(t *testing.T) {
	w := start(t, options{Config: func(c *rendezvous.Config) {
		c.Limits.Nameplates, c.Limits.Mailboxes, c.Limits.MailboxMessages = 1, 3, 2
	}})
	a, b := w.begin(t, "app", "a"), w.begin(t, "app", "b")
	b.open("long").want(http.StatusOK)
	b.add("long", "p", "1").want(http.StatusCreated)
	b.add("long", "p", "2").want(http.StatusCreated)
	b.add("long", "p", "3").refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED")
	a.put("/v1/nameplates/1").seq(0).want(http.StatusOK)

	a.post("/v1/nameplates", "").seq(1).refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED").says("Ack", "1").says("Retry-After", "1")
	a.put("/v1/nameplates/2").seq(1).refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED")
	a.add("m", "", "").seq(1).refused(http.StatusBadRequest, "INVALID_REQUEST").says("Ack", "1")
	a.open("long").seq(1).with("Ack: 9").refused(http.StatusConflict, "SESSION_STATE_MISMATCH").says("Ack", "1")
	a.put("/v1/mailboxes/long?after=3").seq(1).refused(http.StatusBadRequest, "INVALID_REQUEST").says("Ack", "1")
	a.put("/v1/mailboxes/long?after=1").seq(1).want(http.StatusOK).says("Ack", "2")
	a.delete("/v1/nameplates/1").seq(2).want(http.StatusNoContent)
	a.put("/v1/nameplates/2").seq(3).want(http.StatusOK)
	a.open("too-many").seq(4).refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED")
}

// While 64 commands are unanswered, no other is taken.
func TestUnansweredCommands(t *testing.T) {
	w := start(t, options{})
	a := w.begin(t, "app", "a")
	a.open("m").want(http.StatusOK)
	unlock := w.Lock(t) // nothing can be committed
	answers := make(chan *answer)
	for i := range session.Window + 1 {
		go func() { answers <- <-a.add("m", "p", fmt.Sprint(i)).later() }()
	}
	got := <-answers // only a refusal can come
	if got.status != http.StatusTooManyRequests || got.text("code") != "WINDOW_FULL" {
		t.Errorf("it is answered %d %s", got.status, got.body)
	}
	unlock()
	for range session.Window {
		if got := <-answers; got.status != http.StatusCreated {
			t.Errorf("it is answered %d %s", got.status, got.body)
		}
	}
	a.add("m", "p", "and on").want(http.StatusCreated)
}
