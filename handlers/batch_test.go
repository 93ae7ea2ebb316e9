package handlers_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"restante/handlers"
	"restante/rendezvous"
)

// listOf returns a list of n messages as it is sent.
func listOf(n int) string {
	drafts := make([]string, n)
	for i := range drafts {
		drafts[i] = fmt.Sprintf(`{"phase":"p","body":"%d","id":"id-%d"}`, i+1, i+1)
	}
	return "[" + strings.Join(drafts, ",") + "]"
}

// expectLog checks that a log consists of the bodies 1 to n.
func (c *client) expectLog(mailbox string, n int) {
	c.Helper()
	got := c.get("/v1/mailboxes/" + mailbox + "/messages?own=true").want(http.StatusOK)
	if got.count("messages") != n || got.number("lastPosition") != int64(n) {
		c.Fatalf("%s has %d messages, want %d", mailbox, got.count("messages"), n)
	}
	for i := range n {
		at := fmt.Sprintf("messages/%d/", i)
		if got.number(at+"position") != int64(i+1) || got.text(at+"body") != fmt.Sprint(i+1) || got.text(at+"id") != fmt.Sprintf("id-%d", i+1) {
			c.Errorf("message %d is %v", i+1, got.at(at))
		}
	}
}

// A list is added whole, once, with one reply, however its sender makes sure of it.
func TestAListOfMessagesIsAddedOnce(t *testing.T) {
	w := start(t, options{})
	for name, tt := range map[string]struct {
		client *client
		header string
	}{
		"a session with Seq":                {w.begin(t, "app", "a"), "Seq: 0"},
		"a session with an idempotency key": {w.begin(t, "app", "b"), "Idempotency-Key: one"},
		"a secret with an idempotency key":  {w.keyed(t, "app", secretA), "Idempotency-Key: one"},
	} {
		t.Run(name, func(t *testing.T) {
			c, box := tt.client.in(t), strings.ReplaceAll(name, " ", "-")
			to := "/v1/mailboxes/" + box + "/messages?open=true"
			first := c.post(to, listOf(3)).with(tt.header).want(http.StatusCreated)
			again := c.post(to, listOf(3)).with(tt.header).want(http.StatusCreated).says("Replayed", "true")
			if got := string(first.body); got != string(again.body) || !holdsAll(got, `"positions":[1,2,3],"serverRx":`) {
				t.Errorf("it is answered %s, and then %s", got, again.body)
			}
			c.expectLog(box, 3)
		})
	}
}

func TestAListWithoutASeqIsAddedEachTime(t *testing.T) {
	w := start(t, options{})
	a, b := w.begin(t, "app", "a"), w.begin(t, "app", "b")
	a.open("m").want(http.StatusOK)
	b.open("m").want(http.StatusOK)
	a.post("/v1/mailboxes/m/messages", listOf(100)).want(http.StatusCreated)
	if got := a.post("/v1/mailboxes/m/messages", listOf(1)).want(http.StatusCreated); !holdsAll(string(got.body), `"positions":[101]`) {
		t.Errorf("a list of one is answered %s", got.body)
	}
	a.add("m", "p", "last").want(http.StatusCreated)
	heard := b.poll(0).want(http.StatusOK)
	for i := range heard.count("frames") {
		if want := int64(i + 1); heard.number(fmt.Sprintf("frames/%d/position", i)) != want || heard.number(fmt.Sprintf("frames/%d/seq", i)) != int64(i) {
			t.Fatalf("frame %d is %v", i, heard.at(fmt.Sprintf("frames/%d", i)))
		}
	}
	if heard.count("frames") != 100 {
		t.Errorf("b hears %d frames in its first page", heard.count("frames"))
	}
	if got := a.poll(0).want(http.StatusOK); got.count("frames") != 1 {
		t.Errorf("a is sent what it did itself: %s", got.body)
	}
}

// All of a list is added, or none.
func TestAListThatIsRefusedAddsNothing(t *testing.T) {
	w := start(t, options{Config: func(c *rendezvous.Config) { c.Limits.MailboxMessages = 5 }})
	a := w.begin(t, "app", "a")
	const to = "/v1/mailboxes/m/messages"
	a.post(to, listOf(2)).refused(http.StatusForbidden, "NOT_OPEN")
	a.open("m").want(http.StatusOK)
	for body, pointer := range map[string]string{
		"[]":        "#/body",
		listOf(101): "#/body",
		`[{"phase":"p","body":"x"},{"phase":"p"}]`:                     "#/body/1/body",
		`[{"phase":"p","body":"x"},{"phase":"","body":"x"}]`:           "#/body/1/phase",
		`[{"phase":"p","body":"x"},{"phase":"p","body":1}]`:            "#/body/1/body",
		`[{"phase":"p","body":"x","more":1}]`:                          "#/body/0/more",
		`[{"phase":"p","body":"x"},null]`:                              "#/body/1",
		`[[{"phase":"p","body":"x"}]]`:                                 "#/body/0",
		`[{"phase":"p","body":"` + strings.Repeat("b", 65_537) + `"}]`: "#/body/0/body",
		`"x"`: "#/body",
		`{}`:  "#/body/body",
	} {
		if got := a.post(to, body).refused(http.StatusBadRequest, "INVALID_REQUEST"); got.text("errors/0/pointer") != pointer {
			t.Errorf("%.60s: %s, want %s", body, got.body, pointer)
		}
	}
	a.post(to, listOf(6)).refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED")
	a.expectLog("m", 0)
	a.post(to, listOf(5)).want(http.StatusCreated)
	a.expectLog("m", 5)
}

func TestAListOfMessagesOverASocket(t *testing.T) {
	w := start(t, options{})
	a, b := w.begin(t, "app", "a"), w.begin(t, "app", "b")
	b.open("m").want(http.StatusOK)
	l := a.connects("")
	l.want("heartbeat")
	add := `{"id":"x","seq":0,"method":"POST","path":"/v1/mailboxes/m/messages?open=true","body":` + listOf(3) + `}`
	for _, replayed := range []string{"", `"Replayed":"true"`} {
		l.send(add)
		if got := l.want("reply"); !holdsAll(got, `"ack":1 … "status":201 … "positions":[1,2,3]`) || !strings.Contains(got, replayed) {
			t.Errorf("it is answered %s", got)
		}
	}
	b.expectLog("m", 3)
}

// A list costs more of the allowance than a message.
func TestAListCountsAsSeveralRequests(t *testing.T) {
	w := start(t, options{Limits: func(l *handlers.Limits) { l.Rate, l.Burst = 0.0001, 12 }})
	a := w.keyed(t, "app", secretA)
	a.post("/v1/mailboxes/m/messages?open=true", listOf(100)).want(http.StatusCreated) // which is ten
	a.get("/v1/mailboxes/m").want(http.StatusOK)
	a.get("/v1/mailboxes/m").want(http.StatusOK)
	a.get("/v1/mailboxes/m").refused(http.StatusTooManyRequests, "RATE_LIMITED")
}

// To pass over many messages of one's own costs more of the allowance than to read a page.
func TestPassingOverManyMessagesCountsAsSeveralRequests(t *testing.T) {
	w := start(t, options{Limits: func(l *handlers.Limits) { l.Rate, l.Burst = 0.0001, 4 }})
	side := rendezvous.SideRef{App: "app", Side: rendezvous.KeyedSide("app", secretA)}
	for range 25 {
		drafts := slices.Repeat([]rendezvous.Draft{{Phase: "p", Body: "mine"}}, 100)
		if _, err := w.Service.AddAll(t.Context(), rendezvous.Command{Keyed: side}, "m", drafts, &rendezvous.MailboxOpening{}); err != nil {
			t.Fatal(err)
		}
	}
	a := w.keyed(t, "app", secretA)
	if got := a.get("/v1/mailboxes/m/messages?open=true").want(http.StatusOK).says("After", "2500"); got.count("messages") != 0 { // which is three
		t.Errorf("of other sides, it reads %s", got.body)
	}
	a.get("/v1/mailboxes/m/messages?own=true").want(http.StatusOK)
	a.get("/v1/mailboxes/m/messages").refused(http.StatusTooManyRequests, "RATE_LIMITED")
}
