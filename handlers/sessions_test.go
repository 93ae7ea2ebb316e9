package handlers_test

import (
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"restante/handlers/welcome"
	"restante/rendezvous"
)

func TestHandshake(t *testing.T) {
	interval := rendezvous.DefaultConfig().HeartbeatInterval.Milliseconds()
	w := start(t, options{Config: func(c *rendezvous.Config) { c.HeartbeatInterval = rendezvous.DefaultConfig().HeartbeatInterval }})
	id := newID()
	w.Secret(id)
	got := w.anonymous(t).post("/v1/sessions", hello(
		"sessionId", quote(id), "appId", `"app"`, "side", `"a"`, "clientVersion", `["test", "1"]`,
		"metadata", `{"any": ["thing", null, 1.5e300]}`, "graceMs", "3600000",
	)).want(http.StatusCreated)
	for member, want := range map[string]any{
		"sessionId": id, "appId": "app", "side": "a", "resumed": false, "welcome/yourAddress": "127.0.0.1",
	} {
		if got.at(member) != want {
			t.Errorf("%s is %v, want %v", member, got.at(member), want)
		}
	}
	for member, want := range map[string]int64{
		"epoch": 1, "nextExpectedSeq": 0, "nextSentSeq": 0, "heartbeatIntervalMs": 25_000, "heartbeatsUntilDead": 2,
		"sessionDisconnectGraceMs": 3_600_000, "clientTimeoutMs": 60_000,
	} {
		if got.number(member) != want {
			t.Errorf("%s is %d, want %d", member, got.number(member), want)
		}
	}
	if wait := got.number("nextWaitMs"); wait > interval || wait < interval*9/10 {
		t.Errorf("nextWaitMs is %d", wait)
	}
	if ago := time.Since(time.UnixMilli(got.number("serverTime"))); ago < 0 || ago > time.Minute {
		t.Errorf("serverTime is %v ago", ago)
	}
	got.says("Cache-Control", "no-store")
}

func TestHandshakeMintsWhatIsLeftOut(t *testing.T) {
	w := start(t, options{})
	one, two := w.anonymous(t).post("/v1/sessions", hello()).want(http.StatusCreated), w.anonymous(t).post("/v1/sessions", hello()).want(http.StatusCreated)
	w.Secret(one.text("sessionId"), two.text("sessionId"))
	if one.text("sessionId") == two.text("sessionId") || one.text("side") == two.text("side") {
		t.Error("two clients are told to be the same")
	}
	minted := &client{TB: t, w: w, id: one.text("sessionId")}
	if side := minted.get("/v1/session").want(http.StatusOK).text("side"); side != one.text("side") {
		t.Errorf("the side is %s, and was %s", side, one.text("side"))
	}
}

// A handshake whose reply was lost is sent again.
func TestHandshakeRepeated(t *testing.T) {
	w := start(t, options{})
	a := w.begin(t, "app", "a")
	for epoch := int64(2); epoch < 5; epoch++ {
		again := a.handshake(0, 0).want(http.StatusOK)
		if again.at("resumed") != true || again.number("epoch") != epoch {
			t.Errorf("epoch %d: %s", epoch, again.body)
		}
	}
	if again := a.handshake(0, 0, "side", "").want(http.StatusOK); again.text("side") != "a" {
		t.Errorf("without a side: %s", again.body)
	}
}

func TestHandshakeResumes(t *testing.T) {
	w := start(t, options{})
	a, b := w.begin(t, "app", "a"), w.begin(t, "app", "b")
	a.open("m").seq(0).want(http.StatusOK)
	b.open("m").seq(0).want(http.StatusOK) // frame 0 of a
	for i := range 3 {
		b.add("m", "p", strconv.Itoa(i)).want(http.StatusCreated) // frames 1 to 3
	}
	got := a.handshake(2, 1).want(http.StatusOK)
	if got.number("nextExpectedSeq") != 1 || got.number("nextSentSeq") != 2 {
		t.Errorf("the server stands at %s", got.body)
	}
	if got := a.get("/v1/session/events?wait=0").want(http.StatusOK); got.number("frames/0/seq") != 2 || got.count("frames") != 2 {
		t.Errorf("it goes on with %s", got.body)
	}
	for _, tt := range []struct {
		why            string
		expects, sends int
	}{
		{"the client is in the future", 2, 2},
		{"the server is in the future", 1, 1},
		{"it expects what was never sent", 5, 1},
	} {
		if got := a.handshake(tt.expects, tt.sends).refused(http.StatusConflict, "SESSION_STATE_MISMATCH"); got.at("reason") != nil {
			t.Errorf("%s: %s", tt.why, got.body)
		}
	}
	a.get("/v1/session").want(http.StatusOK) // which ended nothing
}

func TestReplace(t *testing.T) {
	w := start(t, options{})
	old := w.begin(t, "app", "a")
	old.open("m").seq(0).want(http.StatusOK)
	old.add("m", "p", "b").seq(1).want(http.StatusCreated)
	heir := &client{TB: t, w: w, app: "app", side: "a", id: newID()}
	heir.handshake(0, 0).refused(http.StatusConflict, "SIDE_TAKEN")
	heir.handshake(0, 0, "replaces", quote(old.id)).want(http.StatusCreated)
	got := old.get("/v1/session").refused(http.StatusGone, "SESSION_ENDED")
	if got.text("reason") != "replaced" || got.number("nextExpectedSeq") != 2 {
		t.Errorf("it is told %s", got.body)
	}
	if got := old.handshake(0, 2).refused(http.StatusConflict, "SESSION_STATE_MISMATCH"); got.text("reason") != "replaced" || got.number("nextExpectedSeq") != 2 {
		t.Errorf("it is told %s", got.body)
	}
	heir.add("m", "p", "the side is in it still").want(http.StatusCreated)
	heir.handshake(0, 0, "replaces", quote(old.id)).want(http.StatusOK) // again: the reply was lost
}

func TestAdmission(t *testing.T) {
	w := start(t, options{Admit: func(_ context.Context, n rendezvous.ClientInfo) error {
		switch n.Client[0] {
		case "old":
			return &rendezvous.Failure{Code: rendezvous.RejectedUnsupportedAgent, Detail: "update it"}
		case "odd":
			return errors.New("sqlite: a word of a library")
		case "mad":
			panic("Key: 'a word of a library'")
		}
		return nil
	}})
	shake := func(client string) *request {
		return w.anonymous(t).post("/v1/sessions", hello("clientVersion", `["`+client+`", "1"]`))
	}
	shake("old").refused(http.StatusForbidden, "REJECTED_UNSUPPORTED_CLIENT")
	shake("odd").refused(http.StatusForbidden, "REJECTED_BY_CUSTOM_HANDLER")
	shake("mad").refused(http.StatusInternalServerError, "INTERNAL") // a panic
	shake("new").want(http.StatusCreated)
}

// stamp does the work that a server asks for.
func stamp(bits int64, resource string) string {
	for n := 0; ; n++ {
		s := fmt.Sprintf("1:%d:261121:%s::test:%d", bits, resource, n)
		if hash := sha1.Sum([]byte(s)); binary.BigEndian.Uint64(hash[:])>>(64-bits) == 0 {
			return s
		}
	}
}

func TestPermission(t *testing.T) {
	w := start(t, options{})
	w.Handlers.SetSettings(welcome.Settings{HashcashBits: 8})
	shake := func(proof string) *request {
		members := []string{"side", quote(newID())}
		if proof != "" {
			members = append(members, "permission", `{"method": "hashcash", "stamp": `+quote(proof)+`}`)
		}
		return w.anonymous(t).post("/v1/sessions", hello(members...))
	}
	asked := shake("").refused(http.StatusForbidden, "PERMISSION_REQUIRED")
	bits, resource := asked.number("permissionRequired/hashcash/bits"), asked.text("permissionRequired/hashcash/resource")
	if bits != 8 || asked.text("action") != "reauth" {
		t.Errorf("it is asked for %s", asked.body)
	}
	proof := stamp(bits, resource)
	for _, bad := range []string{"x", stamp(bits, "other"), stamp(4, resource), "0" + proof} {
		shake(bad).refused(http.StatusForbidden, "PERMISSION_REQUIRED")
	}
	shake(proof).want(http.StatusCreated)
	shake(proof).refused(http.StatusForbidden, "PERMISSION_REQUIRED") // each is good once
	w.Handlers.SetSettings(welcome.Settings{})
	shake("").want(http.StatusCreated)
	shake("whatever").want(http.StatusCreated)
}

// Work is asked for once: not of a client that comes back, and not again when a handshake came to nothing.
func TestPermissionIsAskedForOnce(t *testing.T) {
	full := &rendezvous.Failure{Code: rendezvous.StorageUnavailable, Detail: "not now"}
	var failing atomic.Bool
	w := start(t, options{Admit: func(context.Context, rendezvous.ClientInfo) error {
		if failing.Load() {
			return full
		}
		return nil
	}})
	w.Handlers.SetSettings(welcome.Settings{HashcashBits: 8})
	id := newID()
	shake := func(id, proof string) *request {
		members := []string{"sessionId", quote(id)}
		if proof != "" {
			members = append(members, "permission", `{"method": "hashcash", "stamp": `+quote(proof)+`}`)
		}
		return w.anonymous(t).post("/v1/sessions", hello(members...))
	}
	proofFor := func(id string) string {
		asked := shake(id, "").refused(http.StatusForbidden, "PERMISSION_REQUIRED")
		return stamp(asked.number("permissionRequired/hashcash/bits"), asked.text("permissionRequired/hashcash/resource"))
	}
	proof := proofFor(id)
	shake(newID(), proof).refused(http.StatusForbidden, "PERMISSION_REQUIRED") // it is of another session
	failing.Store(true)
	shake(id, proof).refused(http.StatusServiceUnavailable, "STORAGE_UNAVAILABLE")
	failing.Store(false)
	shake(id, proof).want(http.StatusCreated) // nothing was had for it
	shake(id, proof).want(http.StatusOK)      // its reply was lost
	shake(id, "").want(http.StatusOK)         // the client comes back
	other := newID()
	shake(other, proofFor(other)).want(http.StatusCreated)
}

// A server that has been started again, as any other on the storage, takes the challenges from before.
func TestPermissionOfAnotherServer(t *testing.T) {
	path, id, proof := filepath.Join(t.TempDir(), "restante.db"), newID(), ""
	shake := func(t *testing.T) *request {
		w := start(t, options{Path: path, Settings: welcome.Settings{HashcashBits: 8}})
		if err := w.Service.LoadAddressKey(t.Context()); err != nil {
			t.Fatal(err)
		}
		members := []string{"sessionId", quote(id)}
		if proof != "" {
			members = append(members, "permission", `{"method": "hashcash", "stamp": `+quote(proof)+`}`)
		}
		return w.anonymous(t).post("/v1/sessions", hello(members...))
	}
	t.Run("asked", func(t *testing.T) {
		asked := shake(t).refused(http.StatusForbidden, "PERMISSION_REQUIRED")
		proof = stamp(asked.number("permissionRequired/hashcash/bits"), asked.text("permissionRequired/hashcash/resource"))
	})
	shake(t).want(http.StatusCreated)
}

func TestNotices(t *testing.T) {
	w := start(t, options{})
	before := w.begin(t, "app", "a")
	before.put("/v1/nameplates/1").want(http.StatusOK)
	w.Handlers.SetSettings(welcome.Settings{Motd: "Be kind.", AdvertiseVersion: "1.4", SignalError: "Go away.", DisallowList: true})
	got := w.anonymous(t).post("/v1/sessions", hello()).want(http.StatusCreated)
	if got.text("welcome/motd") != "Be kind." || got.text("welcome/currentCliVersion") != "1.4" || got.text("welcome/error") != "Go away." {
		t.Errorf("it is welcomed with %s", got.body)
	}
	if list := before.get("/v1/nameplates").want(http.StatusOK); list.count("nameplates") != 0 {
		t.Errorf("the list is %s", list.body)
	}
}

func TestLookAtTheSession(t *testing.T) {
	w := start(t, options{})
	a, b := w.begin(t, "app", "a"), w.begin(t, "app", "b")
	mailbox := a.put("/v1/nameplates/7").seq(0).want(http.StatusOK).text("mailbox")
	a.open("other").seq(1).want(http.StatusOK)
	b.open("other").want(http.StatusOK)
	b.add("other", "p", "b").want(http.StatusCreated)
	got := a.get("/v1/session").with("Ack: 1").want(http.StatusOK).says("Ack", "2")
	for member, want := range map[string]int64{
		"epoch": 1, "nextExpectedSeq": 2, "nextSentSeq": 1, "nextFrameSeq": 2, "unacknowledgedFrames": 1, "sessionDisconnectGraceMs": 600_000,
	} {
		if got.number(member) != want {
			// Ack is written down later, but counts at once, from the next look on.
			if again := a.get("/v1/session").want(http.StatusOK); again.number(member) != want {
				t.Errorf("%s is %d, want %d", member, again.number(member), want)
			}
		}
	}
	if got.text("state") != "attached" || got.text("appId") != "app" || got.text("side") != "a" {
		t.Errorf("it is %s", got.body)
	}
	held := []string{got.text("nameplates/0"), got.text("mailboxes/0"), got.text("mailboxes/1")}
	if slices.Sort(held); !slices.Equal(held, slices.Sorted(slices.Values([]string{"7", mailbox, "other"}))) {
		t.Errorf("it holds %q", held)
	}
}

func TestDetached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := start(t, options{Piped: true}).begin(t, "app", "a")
		pass(3 * time.Minute)
		for _, want := range []string{"detached", "attached"} { // looking is a sign of life
			if got := a.get("/v1/session").want(http.StatusOK); got.text("state") != want {
				t.Errorf("it was %s", got.text("state"))
			}
		}
	})
}

func TestExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true})
		a, idle := w.begin(t, "app", "a"), w.begin(t, "app", "idle")
		a.open("m").seq(0).want(http.StatusOK)
		pass(time.Hour)
		if got := a.get("/v1/session").refused(http.StatusGone, "SESSION_ENDED"); got.text("reason") != "expired" || got.number("nextExpectedSeq") != 1 {
			t.Errorf("it is told %s", got.body)
		}
		a.add("m", "p", "b").seq(1).refused(http.StatusGone, "SESSION_ENDED")
		a.delete("/v1/session").refused(http.StatusGone, "SESSION_ENDED")
		if got := a.handshake(0, 1).refused(http.StatusConflict, "SESSION_STATE_MISMATCH"); got.text("reason") != "expired" {
			t.Errorf("it is told %s", got.body)
		}
		idle.get("/v1/session").refused(http.StatusUnauthorized, "SESSION_UNKNOWN") // it left nothing behind
		idle.handshake(0, 0).want(http.StatusCreated)
	})
}

// pass has time pass, in a bubble of virtual time.
func pass(d time.Duration) { <-time.After(d) }

func TestEnd(t *testing.T) {
	w := start(t, options{})
	b := w.begin(t, "app", "b")
	b.open("m").want(http.StatusOK)

	t.Run("with a mood, its side leaves everything", func(t *testing.T) {
		a := w.begin(t, "app", "a")
		a.put("/v1/nameplates/7").seq(0).want(http.StatusOK)
		a.open("m").seq(1).want(http.StatusOK)
		a.delete("/v1/session?mood=scary").seq(2).want(http.StatusNoContent)
		a.delete("/v1/session?mood=scary").seq(2).want(http.StatusNoContent).says("Ack", "3")
		a.delete("/v1/session?mood=scary").want(http.StatusNoContent)
		a.delete("/v1/session").want(http.StatusNoContent)
		if got := a.get("/v1/session").refused(http.StatusGone, "SESSION_ENDED"); got.text("reason") != "deleted" {
			t.Errorf("it is told %s", got.body)
		}
		if got := b.poll(0).want(http.StatusOK); got.text("frames/1/type") != "closed" || got.text("frames/1/mood") != "scary" {
			t.Errorf("b hears %s", got.body)
		}
		if got := b.get("/v1/nameplates").want(http.StatusOK); got.count("nameplates") != 0 {
			t.Errorf("there are %s", got.body)
		}
	})
	t.Run("without, it stays", func(t *testing.T) {
		a := w.begin(t, "app", "a2")
		a.put("/v1/nameplates/7").want(http.StatusOK)
		a.delete("/v1/session").want(http.StatusNoContent)
		if got := b.get("/v1/nameplates").want(http.StatusOK); got.count("nameplates") != 1 {
			t.Errorf("there are %s", got.body)
		}
	})
	t.Run("one that did nothing is forgotten", func(t *testing.T) {
		a := w.begin(t, "app", "a3")
		a.get("/v1/session").want(http.StatusOK)
		a.delete("/v1/session").want(http.StatusNoContent)
		a.delete("/v1/session").want(http.StatusNoContent)
		a.handshake(0, 0).refused(http.StatusConflict, "SESSION_STATE_MISMATCH")
	})
}

func TestSessionQuotas(t *testing.T) {
	w := start(t, options{Config: func(c *rendezvous.Config) { c.Limits.AddressSessions = 2 }})
	a := w.begin(t, "app", "a")
	w.begin(t, "app", "b")
	w.anonymous(t).post("/v1/sessions", hello()).refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED").says("Retry-After", "1")
	a.handshake(0, 0).want(http.StatusOK) // resuming is not beginning
	a.delete("/v1/session").want(http.StatusNoContent)
	w.anonymous(t).post("/v1/sessions", hello()).want(http.StatusCreated)
	if logged := w.Logs.String(); strings.Contains(logged, `"level":"ERROR"`) {
		t.Errorf("a quota is no error:\n%s", logged)
	}
}

// TestASessionThatOpensByReadingWasUsed has such a session end. Its client is told why, as after a command.
func TestASessionThatOpensByReadingWasUsed(t *testing.T) {
	w := start(t, options{})
	for _, tt := range []struct {
		does   string
		answer int
	}{
		{"/v1/session", http.StatusUnauthorized},
		{"/v1/mailboxes/m/messages?open=true", http.StatusGone},
	} {
		old := w.begin(t, "app", "old"+strconv.Itoa(tt.answer))
		old.get(tt.does).want(http.StatusOK)
		heir := &client{TB: t, w: w, app: "app", side: old.side + "-heir", id: newID()}
		heir.handshake(0, 0, "replaces", quote(old.id)).want(http.StatusCreated)
		old.get("/v1/session").want(tt.answer)
	}
}
