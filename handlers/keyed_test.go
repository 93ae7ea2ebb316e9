package handlers_test

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"restante/rendezvous"
)

// keyed returns a client without a session, with an app and a secret.
func (w *testServer) keyed(t testing.TB, app, secret string) *client {
	w.Secret(secret)
	return &client{TB: t, w: w, app: app, side: string(rendezvous.KeyedSide(rendezvous.AppID(app), secret)), basic: basic(app, secret)}
}

func basic(app, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(app+":"+secret))
}

const (
	secretA = "a-secret-of-22-letters"
	secretB = "b-secret-of-22-letters"
)

func TestOneRequestLeavesAMessageAndOneFetchesIt(t *testing.T) {
	w := start(t, options{})
	a, b := w.keyed(t, "example.org/tea", secretA), w.keyed(t, "example.org/tea", secretB)
	const messages = "/v1/mailboxes/tea/messages"
	sent := a.post(messages+"?open=true", "Tea at four?\n").with("-Content-Type", "Content-Type: text/plain").want(http.StatusCreated)
	if n := sent.number("position"); n != 1 {
		t.Errorf("the message is at %d", n)
	}
	if sent.header.Get("Ack") != "" {
		t.Error("there is no session, and an Ack")
	}
	got := b.get(messages+"?open=true").with("Accept: text/plain").want(http.StatusOK).says("After", "1")
	if string(got.body) != "Tea at four?\n" {
		t.Errorf("the body is %q", got.body)
	}
	b.get(messages+"?open=true&after=1").want(http.StatusOK).says("After", "1")
	asJSON := b.get(messages).want(http.StatusOK)
	if asJSON.text("messages/0/side") != a.side || asJSON.text("messages/0/phase") != "text" {
		t.Errorf("it is %s", asJSON.body)
	}
}

// A sender that chooses nothing but the address sends any body, which is the message's as it stands.
func TestAMessageWithItsPhaseInTheAddress(t *testing.T) {
	w := start(t, options{})
	a, b := w.keyed(t, "example.org/ci", secretA), w.keyed(t, "example.org/ci", secretB)
	const messages = "/v1/mailboxes/builds/messages"
	bodies := []struct{ media, body string }{
		{"Content-Type: application/json", `{"action": "opened",  "number": 7}`},
		{"Content-Type: application/json", `{"phase": "pake", "body": "7b22"}`},
		{"Content-Type: application/json", `[1, 2]`},
		{"Content-Type: application/json", `{"it is": no JSON`},
		{"Content-Type: application/x-www-form-urlencoded", "payload=%7B%7D"},
		{"Content-Type: text/plain; charset=utf-8", "\ufeffTea?"},
		{"Content-Type: application/octet-stream", "tea"},
		{"-Content-Type", "tea"},
		{"Content-Type: application/json", ""},
	}
	for _, x := range bodies {
		a.post(messages+"?open=true&phase=git%20hub", x.body).with("-Content-Type", x.media).want(http.StatusCreated)
	}
	got := b.get(messages + "?open=true").want(http.StatusOK)
	for i, x := range bodies {
		at := "messages/" + strconv.Itoa(i) + "/"
		if phase, body := got.text(at+"phase"), got.text(at+"body"); phase != "git hub" || body != x.body {
			t.Errorf("%s: it is %q of the phase %q, want %q", x.media, body, phase, x.body)
		}
	}
	a.post(messages+"?phase=", "tea").refused(http.StatusBadRequest, "INVALID_REQUEST")
	a.post(messages+"?phase=a&phase=b", "tea").refused(http.StatusBadRequest, "INVALID_REQUEST")
	a.post(messages+"?phase=%01", "tea").refused(http.StatusBadRequest, "INVALID_REQUEST")
	a.post(messages+"?phase="+strings.Repeat("p", 129), "tea").refused(http.StatusBadRequest, "INVALID_REQUEST")
	a.post(messages+"?phase=p", "\xff").refused(http.StatusBadRequest, "INVALID_REQUEST")
	a.post(messages+"?phase=p", strings.Repeat("t", 64<<10+1)).refused(http.StatusBadRequest, "INVALID_REQUEST")
}

func TestAKeyedReadWaitsForTheOtherSide(t *testing.T) {
	w := start(t, options{})
	a, b := w.keyed(t, "app", secretA), w.keyed(t, "app", secretB)
	const messages = "/v1/mailboxes/m/messages"
	a.post(messages+"?open=true", `{"phase":"p","body":"mine"}`).want(http.StatusCreated)
	waiting := a.get(messages + "?open=true&wait=60").later()
	w.parked(t, 1)
	b.post(messages+"?open=true", `{"phase":"p","body":"theirs"}`).want(http.StatusCreated)
	got := (<-waiting).says("After", "2")
	if got.count("messages") != 1 || got.text("messages/0/body") != "theirs" {
		t.Errorf("the read is answered %s", got.body)
	}
	if own := a.get(messages + "?wait=60&own=true").want(http.StatusOK); own.count("messages") != 2 {
		t.Errorf("with own=true it is %s", own.body)
	}
	if none := a.get(messages+"?open=true&wait=0&after=2").want(http.StatusOK).says("After", "2"); none.count("messages") != 0 {
		t.Errorf("there is nothing new, but %s", none.body)
	}
	waiting = a.get(messages + "?after=2&wait=60").later()
	w.parked(t, 1)
	a.delete("/v1/mailboxes/m").want(http.StatusNoContent)
	b.delete("/v1/mailboxes/m").want(http.StatusNoContent)
	if gone := <-waiting; gone.status != http.StatusNotFound {
		t.Errorf("the mailbox is retired, and the read is answered %d %s", gone.status, gone.body)
	}
	a.get(messages+"?open=true&after=2").refused(http.StatusBadRequest, "INVALID_REQUEST")
	if held := w.Service.Stats().Parked.Load(); held != 0 {
		t.Errorf("%d reads are still held", held)
	}
}

// parked waits until so many requests are held.
func (w *testServer) parked(t testing.TB, n int64) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for w.Service.Stats().Parked.Load() != n {
		if time.Now().After(deadline) {
			t.Fatalf("%d requests are held, want %d", w.Service.Stats().Parked.Load(), n)
		}
		<-time.After(time.Millisecond)
	}
}

func TestASessionAndASecretShareAMailbox(t *testing.T) {
	w := start(t, options{})
	a, b := w.begin(t, "app", "a"), w.keyed(t, "app", secretB)
	number := a.post("/v1/nameplates", "").want(http.StatusCreated).text("nameplate")
	mailbox := b.put("/v1/nameplates/" + number).want(http.StatusOK).text("mailbox")
	a.open(mailbox).want(http.StatusOK)
	b.post("/v1/mailboxes/"+mailbox+"/messages?open=true", `{"phase":"p","body":"hello"}`).want(http.StatusCreated)
	frames := a.poll(0).want(http.StatusOK)
	if frames.text("frames/0/side") != b.side || frames.text("frames/1/body") != "hello" {
		t.Errorf("the session is sent %s", frames.body)
	}
	a.add(mailbox, "p", "answer").want(http.StatusCreated)
	if got := b.get("/v1/mailboxes/" + mailbox + "/messages?wait=9").want(http.StatusOK); got.text("messages/0/body") != "answer" {
		t.Errorf("the keyed side reads %s", got.body)
	}
	a.post("/v1/mailboxes/other/messages?open=true", `{"phase":"p","body":"x"}`).want(http.StatusCreated)
	if got := a.get("/v1/mailboxes/" + mailbox + "/messages?wait=1").want(http.StatusOK); got.count("messages") != 1 || got.text("messages/0/body") != "hello" {
		t.Errorf("the session reads %s", got.body)
	}
	w.begin(t, "app", "c").post("/v1/mailboxes/"+mailbox+"/messages?open=true", `{"phase":"p","body":"x"}`).refused(http.StatusConflict, "CROWDED")
	w.keyed(t, "app", secretA).get("/v1/mailboxes/"+mailbox+"/messages?open=true").refused(http.StatusConflict, "CROWDED")
}

func TestAKeyedSideCannotBeTaken(t *testing.T) {
	w := start(t, options{})
	a := w.keyed(t, "app", secretA)
	a.open("m").want(http.StatusOK)
	w.anonymous(t).post("/v1/sessions", hello("appId", `"app"`, "side", quote(a.side))).refused(http.StatusBadRequest, "MALFORMED_HANDSHAKE")
	for _, other := range []*client{w.keyed(t, "app", secretB), w.keyed(t, "other", secretA), w.keyed(t, "app", secretA+"x")} {
		if other.side == a.side {
			t.Errorf("another key is the same side: %s", other.side)
		}
		other.get("/v1/mailboxes/m").refused(http.StatusNotFound, "NOT_FOUND")
	}
	start(t, options{}).Connect(t).Refused("no 'side' begins with 'k.': those belong to clients with a secret", "bind", "appid", "app", "side", a.side)
}

// Spaces may stand before credentials (RFC 9110, §11.4).
func TestCredentialsBehindSpaces(t *testing.T) {
	w := start(t, options{Admin: true})
	_, encoded, _ := strings.Cut(basic("app", secretA), " ")
	w.anonymous(t).put("/v1/mailboxes/m").with("Authorization: basic   " + encoded).want(http.StatusOK)
	_, encoded, _ = strings.Cut(basic("anyone", adminToken), " ")
	w.operator(t, adminToken).get("/status").with("Authorization: Basic  " + encoded).want(http.StatusOK)
}

func TestCredentialsThatMakeNoSide(t *testing.T) {
	w := start(t, options{})
	for name, credentials := range map[string]string{
		"a short secret":          basic("app", "only-21-characters-is"),
		"no app":                  basic("", secretA),
		"a control character":     basic("a\x01b", secretA),
		"an app that is too long": basic(strings.Repeat("x", 129), secretA),
		"no base64":               "Basic ???",
		"an app cut at its colon": basic("https", "//example.org/tea:"+secretA),
	} {
		t.Run(name, func(t *testing.T) {
			r := w.anonymous(t).get("/v1/mailboxes/m").with("Authorization: " + credentials)
			got := r.refused(http.StatusUnauthorized, "SESSION_REQUIRED")
			if challenge := got.header.Get("WWW-Authenticate"); strings.Contains(challenge, "Basic") {
				t.Errorf("it asks for Basic credentials: %s", challenge)
			}
		})
	}
	a := w.keyed(t, "app", secretA)
	a.open("m").with("Sec-Fetch-Site: cross-site").refused(http.StatusUnauthorized, "SESSION_REQUIRED")
	a.open("m").with("Sec-Fetch-Site: same-origin").want(http.StatusOK)
	a.open("m").seq(0).refused(http.StatusBadRequest, "INVALID_REQUEST")
	for _, path := range []string{"/v1/session", "/v1/session/events"} {
		a.get(path).refused(http.StatusUnauthorized, "SESSION_REQUIRED")
	}
	a.post("/v1/mailboxes/m/messages", "x").with("-Content-Type", "Content-Type: application/x-www-form-urlencoded").refused(http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE")
	a.post("/v1/mailboxes/m/messages", "\xff").with("-Content-Type", "Content-Type: text/plain").refused(http.StatusBadRequest, "INVALID_REQUEST")
	a.get("/v1/mailboxes/m/messages?open=perhaps").refused(http.StatusBadRequest, "INVALID_REQUEST")
	a.get("/v1/mailboxes/m/messages").with("Accept: image/png").refused(http.StatusNotAcceptable, "NOT_ACCEPTABLE")
	guess := w.anonymous(t).post("/mytopic", "hi").refused(http.StatusNotFound, "NOT_FOUND")
	if !strings.Contains(guess.text("detail"), "/v1/mailboxes/mytopic/messages?open=true") {
		t.Errorf("the guess is answered %s", guess.body)
	}
}

// A log of which whole pages are one's own is read on to what the other side said.
func TestAKeyedReadPassesItsOwnMessages(t *testing.T) {
	w := start(t, options{Config: func(c *rendezvous.Config) { c.Limits.AnswerFrames = 2 }})
	a, b := w.keyed(t, "app", secretA), w.keyed(t, "app", secretB)
	a.open("m").want(http.StatusOK)
	b.open("m").want(http.StatusOK)
	for i := range 5 {
		a.add("m", "p", strconv.Itoa(i)).want(http.StatusCreated)
	}
	b.add("m", "p", "at last").want(http.StatusCreated)
	got := a.get("/v1/mailboxes/m/messages?wait=1").want(http.StatusOK).says("After", "6")
	if got.text("messages/0/body") != "at last" {
		t.Errorf("it is %s", got.body)
	}
}
