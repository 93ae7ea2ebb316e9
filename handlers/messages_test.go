package handlers_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"restante/rendezvous"
)

func TestAdd(t *testing.T) {
	w := start(t, options{})
	a, b := w.begin(t, "app", "a"), w.begin(t, "app", "b")
	a.open("m").want(http.StatusOK)
	b.open("m").want(http.StatusOK)
	bodies := []string{
		"", "7b22b1e4", "\x00\x01\x7f", "line\r\nline\u2028line", `"quoted" \ and </script>`, "é 😀 \u202e \ufeff", "null", "{}",
		strings.Repeat("b", 65_536), strings.Repeat("😀", 16_384),
	}
	for i, body := range bodies {
		if got := a.add("m", "p", body).want(http.StatusCreated); got.number("position") != int64(i+1) {
			t.Errorf("message %d is at %s", i+1, got.body)
		}
	}
	read := a.get("/v1/mailboxes/m/messages").want(http.StatusOK)
	heard := b.poll(0).want(http.StatusOK)
	for i, body := range bodies {
		if got := read.text(fmt.Sprintf("messages/%d/body", i)); got != body {
			t.Errorf("%.40q is read as %.40q", body, got)
		}
		// Large ones may come with the next answer.
		if i < heard.count("frames") && heard.text(fmt.Sprintf("frames/%d/body", i)) != body {
			t.Errorf("%.40q is heard as %.40q", body, heard.text(fmt.Sprintf("frames/%d/body", i)))
		}
	}
	if a.poll(0).want(http.StatusOK).count("frames") != 1 {
		t.Error("a is sent what it did itself")
	}
}

func TestAddEchoesTheID(t *testing.T) {
	w := start(t, options{})
	a := w.begin(t, "app", "a")
	a.open("m").want(http.StatusOK)
	for _, id := range []string{`"x"`, `"x"`, `""`, quote(strings.Repeat("ü", 128))} { // and none is a duplicate of another
		a.post("/v1/mailboxes/m/messages", `{"phase": "p", "body": "b", "id": `+id+`}`).want(http.StatusCreated)
	}
	a.add("m", strings.Repeat("ü", 128), "b").want(http.StatusCreated)
	got := a.get("/v1/mailboxes/m/messages").want(http.StatusOK)
	if got.text("messages/0/id") != "x" || got.text("messages/1/id") != "x" || got.at("messages/2/id") != "" || got.at("messages/4/id") != nil {
		t.Errorf("the log is %s", got.body)
	}
}

func TestReadTheLog(t *testing.T) {
	w := start(t, options{})
	a := w.begin(t, "app", "a")
	a.open("m").want(http.StatusOK)
	for i := range 105 {
		a.add("m", "p", fmt.Sprint(i+1)).want(http.StatusCreated)
	}
	for _, tt := range []struct {
		query       string
		from, count int
	}{
		{"", 1, 100},
		{"?limit=100", 1, 100},
		{"?limit=1", 1, 1},
		{"?after=100", 101, 5},
		{"?after=3&limit=2", 4, 2},
		{"?after=105", 0, 0},
		{"?after=9007199254740991", 0, 0},
	} {
		got := a.get("/v1/mailboxes/m/messages" + tt.query).want(http.StatusOK)
		if got.count("messages") != tt.count || got.number("lastPosition") != 105 {
			t.Errorf("%s: %d messages, want %d", tt.query, got.count("messages"), tt.count)
		}
		for i := range got.count("messages") {
			at := fmt.Sprintf("messages/%d/", i)
			if got.number(at+"position") != int64(tt.from+i) || got.text(at+"body") != fmt.Sprint(tt.from+i) || got.text(at+"side") != "a" {
				t.Errorf("%s: %v", tt.query, got.at(at))
			}
		}
	}
}

func TestReadLargeMessages(t *testing.T) {
	w := start(t, options{Config: func(c *rendezvous.Config) { c.Limits.AnswerBytes = 1000 }})
	a := w.begin(t, "app", "a")
	a.open("m").want(http.StatusOK)
	for range 3 {
		a.add("m", "p", strings.Repeat("b", 900)).want(http.StatusCreated)
	}
	for after := range 3 {
		got := a.get(fmt.Sprintf("/v1/mailboxes/m/messages?after=%d", after)).want(http.StatusOK)
		if got.count("messages") != 1 || got.number("messages/0/position") != int64(after+1) || got.number("lastPosition") != 3 {
			t.Errorf("after %d: %s", after, got.body)
		}
	}
}

func TestMailboxQuotas(t *testing.T) {
	w := start(t, options{Config: func(c *rendezvous.Config) { c.Limits.MailboxBytes = 10 }})
	a := w.begin(t, "app", "a")
	a.open("m").want(http.StatusOK)
	a.add("m", "p", "12345678").want(http.StatusCreated)
	a.add("m", "p", "123").refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED")
	a.add("m", "p", "12").want(http.StatusCreated)
}
