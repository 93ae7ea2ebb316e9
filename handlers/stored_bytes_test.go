package handlers_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"restante/rendezvous"
)

const (
	fullAddress = "24576 bytes may be stored from an address; close mailboxes that are done, or wait until they expire"
	fullServer  = "this server stores as much as it may; try again later"
)

// storesLittle has an address store three steps.
func storesLittle(c *rendezvous.Config) { c.Limits.AddressBytes = 3 * 8 << 10 }

// fill fills the allowance of an address: a mailbox with a message.
func fill(a *client) {
	a.open("m").want(http.StatusOK)
	a.add("m", "p", strings.Repeat("x", 20_000)).want(http.StatusCreated)
}

// TestBytesOfAnAddress is of one allowance for every transport.
func TestBytesOfAnAddress(t *testing.T) {
	r := start(t, options{Config: storesLittle, Proxies: []string{"127.0.0.1/32"}})
	const elsewhere = "X-Forwarded-For: 192.0.2.7"
	a, long := r.begin(t, "app", "a"), strings.Repeat("y", 8_000)
	c := r.Bind(t, "app", "b").Open("m") // which takes nothing more
	fill(a)
	c.WantMessages(strings.Repeat("x", 20_000))
	t.Run("a session", func(t *testing.T) {
		for range 2 {
			refused := a.add("m", "p", long).seq(0).refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED")
			if refused.text("detail") != fullAddress || refused.text("addressId") == "" || refused.header.Get("Retry-After") == "" {
				t.Errorf("it is refused with %s %v", refused.body, refused.header)
			}
		}
		a.open("n").refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED")
		a.post("/v1/nameplates", "").refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED")
		a.put("/v1/nameplates/5").refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED")
	})
	t.Run("a side without a session", func(t *testing.T) {
		k := r.keyed(t, "app", secretA)
		k.post("/v1/mailboxes/k/messages?open=true", `{"phase":"p","body":"b"}`).refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED")
		k.get("/v1/mailboxes/k/messages?open=true").refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED")
		a.add("m", "p", "b").with("Idempotency-Key: k").refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED")
		k.post("/v1/mailboxes/k/messages?open=true", `{"phase":"p","body":"b"}`).with(elsewhere).want(http.StatusCreated)
	})
	t.Run("leaving under a key, whose reply would be stored", func(*testing.T) {
		a.delete("/v1/mailboxes/m").with("Idempotency-Key: leave").refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED")
		a.get("/v1/mailboxes/m").want(http.StatusOK)
	})
	t.Run("a session's socket", func(t *testing.T) {
		l := a.connects("")
		l.want("heartbeat")
		l.send(fmt.Sprintf(`{"id": "1", "method": "POST", "path": "/v1/mailboxes/m/messages", "body": {"phase": "p", "body": %q}}`, long))
		if got := l.want("reply"); !holdsAll(got, `"code":"QUOTA_EXCEEDED" … "status":429`) {
			t.Errorf("the socket is answered %s", got)
		}
	})
	t.Run("a wormhole client", func(t *testing.T) {
		c.Refused(fullAddress, "add", "phase", "p", "body", long)
		r.Bind(t, "app", "c").Refused(fullAddress, "open", "mailbox", "o")
		r.Bind(t, "app", "c").Refused(fullAddress, "allocate")
	})
	// Another address has an allowance of its own, and space that is free again can be used.
	a.add("m", "p", long).with(elsewhere).want(http.StatusCreated)
	c.WantMessages(long)
	a.delete("/v1/mailboxes/m").want(http.StatusNoContent)
	a.open("n").refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED") // the other side is still in it
	c.Request("closed", "close", "mood", "happy")
	fill(a)
	a.open("n").refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED")
}

// TestBytesInAll is of a server that is full: it refuses every client, until something is retired.
func TestBytesInAll(t *testing.T) {
	r := start(t, options{Config: func(c *rendezvous.Config) { c.Limits.StoredBytes = 1 << 20 }, Proxies: []string{"127.0.0.1/32"}})
	a, b := r.begin(t, "app", "a"), r.begin(t, "app", "b")
	fill(a)
	for more := true; more; {
		more = a.add("m", "p", strings.Repeat("x", 60_000)).send().status == http.StatusCreated
	}
	b.open("n").with("X-Forwarded-For: 192.0.2.7").refused(http.StatusServiceUnavailable, "OVERLOADED").says("Retry-After", "1")
	r.Bind(t, "app", "c").Refused(fullServer, "open", "mailbox", "o")
	r.Bind(t, "app", "c").Refused(fullServer, "allocate")
	a.delete("/v1/mailboxes/m").want(http.StatusNoContent)
	b.open("n").want(http.StatusOK)
}

// What counts for an address is known again after a restart.
func TestBytesOfAnAddressSurviveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "restante.db")
	var key string
	t.Run("before", func(t *testing.T) {
		w := start(t, options{Path: path, Config: storesLittle})
		if err := w.Service.LoadAddressKey(t.Context()); err != nil {
			t.Fatal(err)
		}
		a := w.begin(t, "app", "a")
		key = a.id
		fill(a)
		a.add("m", "p", "counts").with("Idempotency-Key: k").refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED")
	})
	w := start(t, options{Path: path, Config: storesLittle})
	if err := w.Service.LoadAddressKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Secret(key)
	a := &client{TB: t, w: w, app: "app", side: "a", id: key}
	a.open("n").refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED")
	a.delete("/v1/mailboxes/m").want(http.StatusNoContent)
	a.open("n").want(http.StatusOK)
	if got := w.Service.StoredBytes(); got != 8<<10 {
		t.Errorf("%d bytes are counted", got)
	}
}
