package handlers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Two people meet by a number, talk, and part: the steps of the README, one by one.
func TestConversation(t *testing.T) {
	w := start(t, options{})
	a, b := w.begin(t, "example.org/chat", "alice"), w.begin(t, "example.org/chat", "bob")

	code := a.post("/v1/nameplates", "").seq(0).want(http.StatusCreated)
	mailbox := code.text("mailbox")
	opened := a.open(mailbox).seq(1).want(http.StatusOK)
	if opened.text("mailbox") != mailbox || opened.number("lastPosition") != 0 || opened.text("sides/0/side") != "alice" || opened.at("sides/0/mood") != nil {
		t.Errorf("alice opens %s", opened.body)
	}
	added := a.add(mailbox, "pake", "7b22").seq(2).want(http.StatusCreated)
	if added.number("position") != 1 || added.number("serverRx") == 0 {
		t.Errorf("alice adds %s", added.body)
	}

	if got := b.put("/v1/nameplates/" + code.text("nameplate")).seq(0).want(http.StatusOK); got.text("mailbox") != mailbox {
		t.Errorf("bob claims %s", got.body)
	}
	if got := b.open(mailbox).seq(1).want(http.StatusOK); got.count("sides") != 2 || got.number("lastPosition") != 1 {
		t.Errorf("bob opens %s", got.body)
	}
	got := b.poll(0).want(http.StatusOK).says("Ack", "2")
	if got.count("frames") != 1 || got.text("frames/0/type") != "message" || got.text("frames/0/body") != "7b22" || got.text("frames/0/phase") != "pake" ||
		got.text("frames/0/side") != "alice" || got.number("frames/0/position") != 1 || got.at("heartbeat") != false || got.number("ack") != 2 ||
		got.number("frames/0/serverRx") != added.number("serverRx") {
		t.Errorf("bob receives %s", got.body)
	}
	b.post("/v1/mailboxes/"+mailbox+"/messages", `{"phase": "pake", "body": "5d0c", "id": "m-17"}`).seq(2).with("Ack: 1").want(http.StatusCreated)
	for _, c := range []*client{a, b} {
		c.delete("/v1/nameplates/" + code.text("nameplate")).seq(3).want(http.StatusNoContent)
	}
	b.delete("/v1/mailboxes/" + mailbox).seq(4).want(http.StatusNoContent)
	if looked := a.get("/v1/mailboxes/" + mailbox).want(http.StatusOK); looked.text("sides/1/mood") != "happy" {
		t.Errorf("alice sees %s", looked.body)
	}

	var frames []string
	heard := a.poll(0).want(http.StatusOK)
	for i := range heard.count("frames") {
		frames = append(frames, heard.text(fmt.Sprintf("frames/%d/type", i)))
	}
	if !slices.Equal(frames, []string{"opened", "message", "closed"}) || heard.text("frames/1/id") != "m-17" || heard.text("frames/2/mood") != "happy" {
		t.Errorf("alice hears %s", heard.body)
	}
	a.delete("/v1/mailboxes/" + mailbox + "?mood=scary").seq(4).want(http.StatusNoContent)
	if got := a.poll(3).want(http.StatusOK); got.at("heartbeat") != true {
		t.Errorf("alice did it herself, and hears %s", got.body)
	}
	a.get("/v1/mailboxes/"+mailbox).refused(http.StatusNotFound, "NOT_FOUND")
	if got := b.poll(1).want(http.StatusOK); got.at("heartbeat") != true {
		t.Errorf("bob has left, and hears %s", got.body)
	}
	for _, c := range []*client{a, b} {
		c.delete("/v1/session").seq(5).want(http.StatusNoContent)
	}
}

// Design §6: a third side is told so; it does not lock the others out, is not
// written down as a side, and keeps nothing alive.
func TestCrowding(t *testing.T) {
	w := start(t, options{})
	a, b, c := w.begin(t, "app", "a"), w.begin(t, "app", "b"), w.begin(t, "app", "c")
	a.open("m").want(http.StatusOK)
	b.open("m").want(http.StatusOK)
	for range 2 {
		c.open("m").refused(http.StatusConflict, "CROWDED")
	}
	for _, one := range []*client{a, b} {
		if got := one.open("m").want(http.StatusOK); got.count("sides") != 2 {
			t.Errorf("the sides are %s", got.body)
		}
		one.add("m", "p", "we are still here").want(http.StatusCreated)
	}
	c.get("/v1/mailboxes/m").refused(http.StatusNotFound, "NOT_FOUND")
	c.get("/v1/mailboxes/m/messages").refused(http.StatusNotFound, "NOT_FOUND")
	c.add("m", "p", "b").refused(http.StatusForbidden, "NOT_OPEN")
	c.delete("/v1/mailboxes/m").want(http.StatusNoContent) // no side is told
	a.delete("/v1/mailboxes/m").want(http.StatusNoContent)
	c.open("m").refused(http.StatusConflict, "CROWDED") // closed ones count
	b.delete("/v1/mailboxes/m").want(http.StatusNoContent)
	if got := c.open("m").want(http.StatusOK); got.number("lastPosition") != 0 || got.count("sides") != 1 {
		t.Errorf("it is not another mailbox: %s", got.body)
	}
}

func TestOpen(t *testing.T) {
	w := start(t, options{})
	a, b := w.begin(t, "app", "a"), w.begin(t, "app", "b")
	a.open("m").want(http.StatusOK)
	for i := range 5 {
		a.add("m", "p", fmt.Sprint(i)).want(http.StatusCreated)
	}
	b.put("/v1/mailboxes/m?after=3").want(http.StatusOK)
	if got := b.poll(0).want(http.StatusOK); got.count("frames") != 2 || got.number("frames/0/position") != 4 {
		t.Errorf("after 3, b hears %s", got.body)
	}
	b.put("/v1/mailboxes/m?after=0").want(http.StatusOK) // has it open: changes nothing
	if got := b.poll(0).want(http.StatusOK); got.count("frames") != 2 {
		t.Errorf("opened again, b hears %s", got.body)
	}
	if got := a.poll(0).want(http.StatusOK); got.count("frames") != 1 || got.text("frames/0/type") != "opened" || got.text("frames/0/side") != "b" {
		t.Errorf("a hears %s", got.body)
	}
	b.delete("/v1/mailboxes/m").want(http.StatusNoContent)
	b.open("m").want(http.StatusOK) // after its own close: enters again, and hears all of it
	if got := b.poll(2).want(http.StatusOK); got.count("frames") != 5 || got.number("frames/0/position") != 1 || got.number("frames/0/seq") != 2 {
		t.Errorf("after its own close, b hears %s", got.body)
	}
	b.put("/v1/mailboxes/fresh?after=0").want(http.StatusOK)
	for _, id := range []string{"~", "...", ".a", "..a", "a.b_c-d~e", strings.Repeat("m", 128)} {
		if got := b.open(id).want(http.StatusOK); got.text("mailbox") != id {
			t.Errorf("%s is opened as %s", id, got.body)
		}
	}
}

func TestClose(t *testing.T) {
	w := start(t, options{})
	a, b := w.begin(t, "app", "a"), w.begin(t, "app", "b")
	a.delete("/v1/mailboxes/none").want(http.StatusNoContent)
	for _, mood := range []string{"", "?mood=happy", "?mood=lonely", "?mood=scary", "?mood=errory"} {
		a.open("m").want(http.StatusOK)
		b.open("m").want(http.StatusOK)
		a.delete("/v1/mailboxes/m" + mood).want(http.StatusNoContent)
		a.delete("/v1/mailboxes/m?mood=errory").want(http.StatusNoContent) // the first counts
		want, _ := strings.CutPrefix(mood, "?mood=")
		if want == "" {
			want = "happy"
		}
		if got := b.get("/v1/mailboxes/m").want(http.StatusOK); got.text("sides/0/mood") != want {
			t.Errorf("%q: b sees %s", mood, got.body)
		}
		a.add("m", "p", "b").refused(http.StatusForbidden, "NOT_OPEN")
		b.delete("/v1/mailboxes/m").want(http.StatusNoContent)
	}
	// A nameplate that no side released does not keep it.
	m := a.put("/v1/nameplates/1").want(http.StatusOK).text("mailbox")
	a.delete("/v1/mailboxes/" + m).want(http.StatusNoContent)
	if held := a.get("/v1/session").want(http.StatusOK); held.count("nameplates") != 0 || held.count("mailboxes") != 0 {
		t.Errorf("a still holds %s", held.body)
	}
}

// What a client gets is what it may know: a member more is a decision.
func TestAnswersHoldNothingElse(t *testing.T) {
	w := start(t, options{})
	a := w.begin(t, "app", "a")
	for _, tt := range []struct {
		r    *request
		want string
	}{
		{a.put("/v1/nameplates/1"), "mailbox nameplate"},
		{a.open("m"), "lastPosition mailbox sides"},
		{a.add("m", "p", "b"), "position serverRx"},
		{a.get("/v1/mailboxes/m/messages"), "lastPosition messages"},
		{a.get("/v1/nameplates"), "nameplates"},
		{a.poll(0), "ack frames heartbeat nextWaitMs serverTime"},
		{a.post("/v1/session/ack", `{"ack": 0}`), "ack nextSentSeq"},
	} {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(tt.r.send().body, &members); err != nil {
			t.Fatal(err)
		}
		var names []string
		for name := range members {
			names = append(names, name)
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != tt.want {
			t.Errorf("%s %s answers %s, want %s", tt.r.method, tt.r.target, got, tt.want)
		}
	}
}
