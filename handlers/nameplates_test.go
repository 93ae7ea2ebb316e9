package handlers_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"restante/rendezvous"
)

func TestAllocate(t *testing.T) {
	w := start(t, options{})
	a := w.begin(t, "app", "a")
	seen := map[string]bool{}
	for i := range 12 {
		got := a.post("/v1/nameplates", "").want(http.StatusCreated)
		number, err := strconv.Atoi(got.text("nameplate"))
		if shortest := i < 9; err != nil || (number < 10) != shortest || number > 99 {
			t.Errorf("the %d. nameplate is %s", i+1, got.text("nameplate"))
		}
		if seen[got.text("nameplate")] || seen[got.text("mailbox")] || len(got.text("mailbox")) < 22 {
			t.Errorf("it is not new, or can be guessed: %s", got.body)
		}
		seen[got.text("nameplate")], seen[got.text("mailbox")] = true, true
		if looked := a.get("/v1/mailboxes/" + got.text("mailbox")).want(http.StatusOK); looked.count("sides") != 1 {
			t.Errorf("the side is not in its mailbox: %s", looked.body)
		}
		a.add(got.text("mailbox"), "p", "b").refused(http.StatusForbidden, "NOT_OPEN") // it has entered, and not opened
	}
}

func TestClaim(t *testing.T) {
	w := start(t, options{})
	a, b, c, stranger := w.begin(t, "app", "a"), w.begin(t, "app", "b"), w.begin(t, "app", "c"), w.begin(t, "other", "a")
	one := a.post("/v1/nameplates", `{}`).want(http.StatusCreated)
	path := "/v1/nameplates/" + one.text("nameplate")
	two := b.put(path).want(http.StatusOK)
	if two.text("mailbox") != one.text("mailbox") || two.text("nameplate") != one.text("nameplate") {
		t.Errorf("a has %s, b %s", one.body, two.body)
	}
	if again := a.put(path).want(http.StatusOK); again.text("mailbox") != one.text("mailbox") {
		t.Errorf("a claims again what it holds, and gets %s", again.body)
	}
	c.put(path).refused(http.StatusConflict, "CROWDED")
	c.put(path).refused(http.StatusConflict, "CROWDED") // however often it asks
	a.put(path).want(http.StatusOK)                     // and whatever it asks, the others stay
	b.open(two.text("mailbox")).want(http.StatusOK)
	if apart := stranger.put(path).want(http.StatusOK); apart.text("mailbox") == one.text("mailbox") {
		t.Error("apps are not apart")
	}
	if made := c.put("/v1/nameplates/0041").want(http.StatusOK); made.text("nameplate") != "0041" {
		t.Errorf("it is kept as %s", made.body)
	}
	c.put("/v1/nameplates/" + strings.Repeat("9", 40)).want(http.StatusOK)
	c.put("/v1/nameplates/%34%31").want(http.StatusOK)
	if held := c.get("/v1/session").want(http.StatusOK); held.count("nameplates") != 3 {
		t.Errorf("it holds %s", held.body)
	}
}

func TestRelease(t *testing.T) {
	w := start(t, options{})
	a, b, c := w.begin(t, "app", "a"), w.begin(t, "app", "b"), w.begin(t, "app", "c")
	old := a.put("/v1/nameplates/5").want(http.StatusOK).text("mailbox")
	b.put("/v1/nameplates/5").want(http.StatusOK)
	c.delete("/v1/nameplates/5").want(http.StatusNoContent) // nothing to release
	a.delete("/v1/nameplates/5").want(http.StatusNoContent)
	a.delete("/v1/nameplates/5").want(http.StatusNoContent)
	a.put("/v1/nameplates/5").refused(http.StatusConflict, "RECLAIMED")
	c.put("/v1/nameplates/5").refused(http.StatusConflict, "CROWDED")
	b.delete("/v1/nameplates/5").want(http.StatusNoContent)
	if anew := a.put("/v1/nameplates/5").want(http.StatusOK); anew.text("mailbox") == old {
		t.Error("the number is free, and leads to the old mailbox")
	}
	a.get("/v1/mailboxes/" + old).want(http.StatusOK) // which lives on
}

func TestListNamesOnlyThoseThatWait(t *testing.T) {
	w := start(t, options{})
	a, b, stranger := w.begin(t, "app", "a"), w.begin(t, "app", "b"), w.begin(t, "other", "a")
	list := func(c *client, want string) {
		t.Helper()
		if got := c.get("/v1/nameplates").want(http.StatusOK); !strings.Contains(string(got.body), `{"nameplates":`+want+`}`) {
			t.Errorf("the list is %s, want %s", got.body, want)
		}
	}
	list(a, `[]`)
	a.put("/v1/nameplates/1").want(http.StatusOK)
	a.put("/v1/nameplates/2").want(http.StatusOK)
	b.put("/v1/nameplates/3").want(http.StatusOK)
	list(b, `[{"id":"1"},{"id":"2"},{"id":"3"}]`)
	b.put("/v1/nameplates/2").want(http.StatusOK) // has found its partner
	list(a, `[{"id":"1"},{"id":"3"}]`)
	b.delete("/v1/nameplates/2").want(http.StatusNoContent) // and will not wait for another
	list(a, `[{"id":"1"},{"id":"3"}]`)
	a.delete("/v1/nameplates/1").want(http.StatusNoContent)
	list(a, `[{"id":"3"}]`)
	list(stranger, `[]`)
}

func TestListIsCutShort(t *testing.T) {
	w := start(t, options{Config: func(c *rendezvous.Config) { c.Limits.ListBytes = 200 }})
	a := w.begin(t, "app", "a")
	for n := range 10 {
		a.put("/v1/nameplates/" + strconv.Itoa(1000+n)).want(http.StatusOK)
	}
	if got := a.get("/v1/nameplates").want(http.StatusOK); len(got.body) > 150 || got.count("nameplates") < 4 {
		t.Errorf("the list is %s", got.body)
	}
}

func TestLifetimes(t *testing.T) {
	w := start(t, options{})
	a := w.begin(t, "app", "a")
	day := `{"ttlMs": 86400000}`
	a.post("/v1/nameplates", day).want(http.StatusCreated)
	a.ask(http.MethodPut, "/v1/nameplates/5", day).want(http.StatusOK)
	a.ask(http.MethodPut, "/v1/mailboxes/m", day).want(http.StatusOK)
	for _, body := range []string{`{}`, `{"ttlMs": 0}`, " \n"} {
		a.ask(http.MethodPut, "/v1/mailboxes/m", body).want(http.StatusOK) // never shortens anything
	}
}
