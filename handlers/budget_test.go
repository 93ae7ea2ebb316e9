package handlers_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"restante/handlers"
	"restante/handlers/handlerstest"
	"restante/internal/testclient"
	"restante/rendezvous"
)

// claimLimited has clients allocate and claim six at once, and thirty in a minute.
func claimLimited(c *rendezvous.Config) { c.Limits.ClaimRate, c.Limits.ClaimBurst = 30, 6 }

// TestClaimsOfAnAddress is of one allowance for every transport.
func TestClaimsOfAnAddress(t *testing.T) {
	bubble(t, options{Config: claimLimited}, func(t *testing.T, r *testServer) {
		a := r.begin(t, "app", "a")
		l := a.connects("")
		l.want("heartbeat")
		for i := range 2 {
			a.post("/v1/nameplates", "").want(http.StatusCreated)
			l.send(fmt.Sprintf(`{"id": "%d", "method": "POST", "path": "/v1/nameplates"}`, i))
			if got := l.want("reply"); !holdsAll(got, `"status":201`) {
				t.Errorf("the socket is answered %s", got)
			}
			r.Bind(t, "app", strconv.Itoa(i)).Request("allocated", "allocate")
		}
		refused := a.post("/v1/nameplates", "").seq(0).refused(http.StatusTooManyRequests, "RATE_LIMITED").says("Retry-After", "2")
		if id := refused.text("addressId"); id != r.Service.AddressID(netip.Addr{}) {
			t.Errorf("it is refused for %q", id)
		}
		l.send(`{"id": "x", "method": "PUT", "path": "/v1/nameplates/77"}`)
		if got := l.want("reply"); !holdsAll(got, `"addressId":"addr-local" … "code":"RATE_LIMITED" … "status":429`) {
			t.Errorf("the socket is answered %s", got)
		}
		pass(4 * time.Second)
		a.post("/v1/nameplates", "").seq(0).want(http.StatusCreated) // the refusal used up no number
	})
}

// A wormhole client is slowed down, and refused only when that is not enough.
func TestWormholeClaimsAreSlowedDown(t *testing.T) {
	bubble(t, options{Config: claimLimited}, func(t *testing.T, r *testServer) {
		for i := range 6 {
			r.Bind(t, "app", strconv.Itoa(i)).Request("allocated", "allocate")
		}
		start := time.Now()
		r.Bind(t, "app", "slow").Request("allocated", "allocate")
		if took := time.Since(start); took < 2*time.Second || took > 10*time.Second {
			t.Errorf("it was slowed down by %v", took)
		}
		r.Bind(t, "app", "guess").Request("claimed", "claim", "nameplate", "4711") // ten, and there was less than one
		start = time.Now()
		c := r.Bind(t, "app", "refused").Send("claim", "nameplate", "4712")
		c.WantError("too many nameplates were allocated and claimed from this address; wait a moment, and ask less often")
		if took := time.Since(start); took < 10*time.Second {
			t.Errorf("it was refused after %v", took)
		}
		c.Request("claimed", "claim", "nameplate", "4712") // it has waited, as it was told to
	})
}

// TestWormholeClaimsWaitInALine has clients ask at the same time. As many get in as tokens come within 10 s, and
// then the next one is refused.
func TestWormholeClaimsWaitInALine(t *testing.T) {
	bubble(t, options{Config: claimLimited}, func(t *testing.T, r *testServer) {
		for i := range 6 {
			r.Bind(t, "app", strconv.Itoa(i)).Request("allocated", "allocate")
		}
		start := time.Now()
		var line []*testclient.Wormhole
		for i := range 6 {
			line = append(line, r.Bind(t, "app", "in line "+strconv.Itoa(i)).Send("allocate"))
			synctest.Wait()
		}
		for i, c := range line[:5] {
			c.Want("allocated")
			if took, want := time.Since(start), time.Duration(i+1)*2*time.Second; took < want || took > want+time.Second {
				t.Errorf("client %d is let in after %v, want %v", i, took, want)
			}
		}
		line[5].WantError("too many nameplates were allocated and claimed from this address; wait a moment, and ask less often")
		if took := time.Since(start); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("it was refused after %v", took)
		}
		start = time.Now()
		r.Bind(t, "app", "next").Request("allocated", "allocate")
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("one that was refused is waited for: %v", took)
		}
	})
}

// TestASlowedClaimOfAClientThatLeftIsNotDone has a client leave while its claim waits. The nameplate stays as it was, so
// that the person who tries again gets in, and in the turn of the one that left. What was sent before is done.
func TestASlowedClaimOfAClientThatLeftIsNotDone(t *testing.T) {
	for name, leave := range map[string]func(*testclient.Wormhole){
		"without a word":     (*testclient.Wormhole).Drop,
		"with a close frame": closeFrame,
		"with more to be done": func(c *testclient.Wormhole) {
			c.Write(websocket.TextMessage, `{"type": "add", "phase": "p", "body": "last words"}`)
			closeFrame(c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, options{Config: claimLimited}, func(t *testing.T, r *testServer) {
				waiting := r.Bind(t, "app", "a")
				met := waiting.Request("allocated", "allocate")
				other := r.Bind(t, "app", "other").Open("m")
				for i := range 5 {
					r.Bind(t, "app", strconv.Itoa(i)).Request("allocated", "allocate")
				}
				left := r.Bind(t, "app", "left").Open("m").Send("claim", "nameplate", met.Text("nameplate"))
				synctest.Wait()
				leave(left)
				left.Ended = true
				synctest.Wait()
				start := time.Now()
				again := r.Bind(t, "app", "again").Request("claimed", "claim", "nameplate", met.Text("nameplate"))
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("it waits for one that left: %v", took)
				}
				if again.Text("mailbox") != met.Text("mailbox") {
					t.Errorf("it is told %s", again.Raw)
				}
				if strings.HasPrefix(name, "with more") {
					other.WantMessages("last words")
				}
			})
		})
	}
}

func closeFrame(c *testclient.Wormhole) {
	_ = c.Conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
}

func TestNameplatesHeldFromOneAddress(t *testing.T) {
	r := start(t, options{Config: func(c *rendezvous.Config) { c.Limits.AddressNameplates = 2 }, Proxies: []string{"127.0.0.1/32"}})
	a := r.begin(t, "app", "a")
	a.post("/v1/nameplates", "").want(http.StatusCreated)
	r.Bind(t, "app", "b").Request("allocated", "allocate")
	const full = "2 nameplates may be held from an address; release one first"
	if got := a.post("/v1/nameplates", "").refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED").text("detail"); got != full {
		t.Errorf("it is told %q", got)
	}
	r.Bind(t, "app", "c").Refused(full, "allocate")
	a.post("/v1/nameplates", "").with("X-Forwarded-For: 192.0.2.7").want(http.StatusCreated)
}

// Nothing that is kept or logged has an address in it, and what stands for one is told to its client.
func TestAddressesAreHashed(t *testing.T) {
	r := start(t, options{Proxies: []string{"127.0.0.1/32"}, Limits: func(l *handlers.Limits) { l.Rate, l.Burst = 0.0001, 2 }})
	const address = "X-Forwarded-For: 192.0.2.77"
	r.Secret("192.0.2.77")
	begun := r.anonymous(t).post("/v1/sessions", hello()).with(address).want(http.StatusCreated)
	id := begun.text("welcome/addressId")
	handlerstest.EqualRows(t, r.Rows(t, "SELECT address FROM sessions"), id)
	c := r.Connect(t, address)
	if got := c.Welcome.At("welcome/address-id"); got != id {
		t.Errorf("a wormhole client is called %v, and the other one %s", got, id)
	}
	if got := r.anonymous(t).get("/nothing").with(address).refused(http.StatusTooManyRequests, "RATE_LIMITED").text("addressId"); got != id {
		t.Errorf("it is refused for %s, not %s", got, id)
	}
	c.Drop()
	if !handlerstest.Eventually(t, func() bool {
		return holdsAll(r.Logs.String(), `"address":"`+id+`" … "status":429`) || holdsAll(r.Logs.String(), `"status":429 … "address":"`+id)
	}) {
		t.Error("the log does not have it")
	}
}
