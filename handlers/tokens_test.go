package handlers_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"restante/internal/token"
	"restante/rendezvous"
)

// issuer is the operator's own server: it signs tokens.
type issuer struct {
	testing.TB
	secret []byte
}

// verifier returns what takes the tokens of the issuer, for the audience "mail".
func (i issuer) verifier() func(string, time.Time) (rendezvous.Grant, error) {
	i.Helper()
	file := filepath.Join(i.TempDir(), "secret")
	if err := os.WriteFile(file, i.secret, 0o600); err != nil {
		i.Fatal(err)
	}
	v, err := token.NewVerifier(token.Config{SecretFile: file, Audiences: []string{"mail"}})
	if err != nil {
		i.Fatal(err)
	}
	return func(text string, now time.Time) (rendezvous.Grant, error) {
		said, err := v.Verify(text, now)
		return rendezvous.Grant{App: rendezvous.AppID(said.App), Side: rendezvous.Side(said.Side), Expires: said.Expires}, err
	}
}

func newIssuer(t testing.TB) issuer { return issuer{t, []byte(strings.Repeat("s", 32))} }

// issue signs a token for the app "app" that lives so long, with these claims in place of or besides the usual ones.
func (i issuer) issue(life time.Duration, more map[string]any) string {
	i.Helper()
	claims := map[string]any{"appId": "app", "aud": "mail", "exp": time.Now().Add(life).Unix()}
	maps.Copy(claims, more)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: i.secret}, nil)
	if err != nil {
		i.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		i.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		i.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		i.Fatal(err)
	}
	return text
}

// withToken is metadata with a token.
func withToken(text string) string { return `{"token": ` + quote(text) + `}` }

// admitted is a client with a new session, for which its token is good.
func (w *testServer) admitted(t testing.TB, side, text string) *client {
	t.Helper()
	c := &client{TB: t, w: w, app: "app", side: side, id: newID()}
	c.w.Secret(text)
	c.handshake(0, 0, "metadata", withToken(text)).want(http.StatusCreated)
	return c
}

// The six refusals, and that of a client without a token: when a session begins, when it is resumed, and when a
// token is renewed.
func TestATokenIsRefused(t *testing.T) {
	by := newIssuer(t)
	w := start(t, options{VerifyToken: by.verifier()})
	live := w.admitted(t, "live", by.issue(time.Hour, nil))
	unsigned := func(header string) string {
		part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
		return part(header) + "." + part(fmt.Sprintf(`{"appId":"app","aud":"mail","exp":%d}`, time.Now().Add(time.Hour).Unix())) + "."
	}
	for name, tt := range map[string]struct{ metadata, says string }{
		"missing":                   {`{}`, "only clients with a token"},
		"expired":                   {withToken(by.issue(-time.Second, nil)), "has expired"},
		"forged":                    {withToken(issuer{t, []byte(strings.Repeat("x", 32))}.issue(time.Hour, nil)), "no key that is known"},
		"alg none":                  {withToken(unsigned(`{"alg":"none"}`)), "no signed JSON Web Token"},
		"for another audience":      {withToken(by.issue(time.Hour, map[string]any{"aud": "bank"})), "another audience"},
		"replayed for another app":  {withToken(by.issue(time.Hour, map[string]any{"appId": "bank"})), "another app"},
		"replayed for another side": {withToken(by.issue(time.Hour, map[string]any{"side": "other"})), "another side"},
	} {
		t.Run(name, func(t *testing.T) {
			fresh := &client{TB: t, w: w, app: "app", side: "fresh", id: newID()}
			for when, r := range map[string]*request{
				"begin": fresh.handshake(0, 0, "metadata", tt.metadata), "resume": live.in(t).handshake(0, 0, "metadata", tt.metadata),
				"renew": live.in(t).ask(http.MethodPut, "/v1/session/metadata", tt.metadata),
			} {
				if got := r.refused(http.StatusForbidden, "TOKEN_REQUIRED"); !strings.Contains(got.text("detail"), tt.says) {
					t.Errorf("%s: %s", when, got.body)
				}
			}
		})
	}
	live.poll(0).want(http.StatusOK) // nothing of it has touched the session
	if epoch := live.get("/v1/session").want(http.StatusOK).number("epoch"); epoch != 1 {
		t.Errorf("the epoch is %d", epoch)
	}
	live.handshake(0, 0, "metadata", withToken(by.issue(time.Hour, nil))).want(http.StatusOK)
}

func TestTheTokenTellsSideAndEnd(t *testing.T) {
	by := newIssuer(t)
	w := start(t, options{VerifyToken: by.verifier()})
	expires := time.Now().Add(time.Hour).Unix()
	text := by.issue(0, map[string]any{"side": "told", "exp": expires})
	got := w.anonymous(t).post("/v1/sessions", hello("appId", `"app"`, "metadata", withToken(text))).want(http.StatusCreated)
	if got.text("side") != "told" || got.number("tokenExpiresAt") != 1000*expires {
		t.Errorf("the reply is %s", got.body)
	}
}

func TestMetadataIsChecked(t *testing.T) {
	w := start(t, options{})
	a := w.begin(t, "app", "a")
	a.ask(http.MethodPut, "/v1/session/metadata", `{"plan": {"gold": [1, 2]}}`).with("Ack: 0").want(http.StatusNoContent).says("Ack", "0")
	for _, body := range []string{"", "[]", `"x"`, "null", "7", `{"a": 1, "a": 2}`, "{", `{"x": "` + strings.Repeat("x", 4<<10) + `"}`} {
		a.ask(http.MethodPut, "/v1/session/metadata", body).refused(http.StatusBadRequest, "INVALID_REQUEST")
	}
	a.ask(http.MethodPut, "/v1/session/metadata", `{}`).with("Ack: 7").refused(http.StatusConflict, "SESSION_STATE_MISMATCH")
	w.anonymous(t).ask(http.MethodPut, "/v1/session/metadata", `{}`).refused(http.StatusUnauthorized, "SESSION_REQUIRED")
	a.delete("/v1/session").want(http.StatusNoContent)
	a.ask(http.MethodPut, "/v1/session/metadata", `{}`).refused(http.StatusGone, "SESSION_ENDED")
}

// Where tokens are asked for, those clients that have no place for one are told so.
func TestClientsThatCannotHaveATokenAreRefused(t *testing.T) {
	by := newIssuer(t)
	r := start(t, options{VerifyToken: by.verifier()})
	keyed := r.keyed(t, "app", secretA)
	for _, asked := range []*request{
		keyed.post("/v1/mailboxes/m/messages?open=true", `{"phase":"p","body":"x"}`), keyed.get("/v1/mailboxes/m/messages?open=true&wait=20"),
		keyed.post("/v1/nameplates", ""), keyed.get("/v1/nameplates"),
	} {
		if got := asked.refused(http.StatusForbidden, "TOKEN_REQUIRED"); !strings.Contains(got.text("detail"), "only a session has one") {
			t.Errorf("it is refused with %s", got.body)
		}
	}
	c := r.Connect(t)
	if got := c.Welcome.At("welcome/error"); got != noTokens {
		t.Errorf("the welcome says %v", got)
	}
	c.Refused(noTokens, "bind", "appid", "app", "side", "s")
	r.WantEmpty(t)
}

const noTokens = "this server admits only clients with a token, which wormhole clients cannot have"

// receiver receives the frames of a session by one transport, hands each to take, and returns once that has had enough.
type receiver func(c *client, take func(frame string) (enough bool))

func byPoll(c *client, take func(string) bool) {
	for ack := 0; ; {
		got := c.get("/v1/session/events?epoch=1&ack=" + strconv.Itoa(ack)).want(http.StatusOK)
		var said struct{ Frames []json.RawMessage }
		if err := json.Unmarshal(got.body, &said); err != nil {
			c.Fatal(err)
		}
		for _, frame := range said.Frames {
			ack++
			if take(string(frame)) {
				return
			}
		}
	}
}

func byStream(c *client, take func(string) bool) {
	s := c.get("/v1/session/events?epoch=1").streams()
	defer s.cut()
	for ack := 0; ; {
		e, err := s.try()
		if err != nil || e.name == "error" {
			c.Fatalf("%+v, %v", e, err)
		}
		if e.name == "heartbeat" {
			c.post("/v1/session/ack", fmt.Sprintf(`{"ack": %d}`, ack)).want(http.StatusOK)
			continue
		}
		ack++
		if take(e.data) {
			return
		}
	}
}

// TestATokenIsRenewedOnALiveSession has a session outlive its token many times. Its client answers what it receives,
// and nothing else. It must get each frame once, in order, and without another handshake.
func TestATokenIsRenewedOnALiveSession(t *testing.T) {
	overHTTP := func(c *client, text string) {
		c.ask(http.MethodPut, "/v1/session/metadata", withToken(text)).want(http.StatusNoContent)
	}
	for name, tt := range map[string]struct {
		receive receiver
		renew   func(c *client, text string)
	}{"poll": {byPoll, overHTTP}, "stream": {byStream, overHTTP}, "socket": socketRenewal()} {
		t.Run(name, func(t *testing.T) {
			by := newIssuer(t)
			verify := by.verifier()
			synctest.Test(t, func(t *testing.T) {
				const life, messages = 40 * time.Second, 60
				w := start(t, options{Piped: true, VerifyToken: verify})
				a, b := w.admitted(t, "a", by.issue(life, nil)), w.admitted(t, "b", by.issue(time.Hour, nil))
				a.open("m").want(http.StatusOK)
				b.open("m").want(http.StatusOK)
				began := time.Now()
				done := make(chan struct{})
				go func() {
					defer close(done)
					for n := range messages {
						time.Sleep(5 * time.Second)
						if _, err := b.add("m", "p", strconv.Itoa(n)).exchange(t.Context()); err != nil {
							t.Error(err)
						}
					}
				}()
				next, asked, bodies := 0, 0, 0
				tt.receive(a, func(frame string) bool {
					var said struct {
						Seq            int
						Type, Body     string
						TokenExpiresAt int64
					}
					if err := json.Unmarshal([]byte(frame), &said); err != nil {
						t.Fatal(err)
					}
					holds(t, "Frame", frame)
					if said.Seq != next {
						t.Fatalf("frame %s comes, want %d", frame, next)
					}
					next++
					switch said.Type {
					case "message":
						if said.Body != strconv.Itoa(bodies) {
							t.Fatalf("message %s comes, want %d", said.Body, bodies)
						}
						bodies++
					case "rehandshake":
						if left := time.Until(time.UnixMilli(said.TokenExpiresAt)); left <= 0 || left > life/2 {
							t.Errorf("it is asked for a token %v before the end", left)
						}
						asked++
						tt.renew(a, by.issue(life, nil))
					}
					return bodies == messages
				})
				<-done
				if took := time.Since(began); took < 5*life || asked < 6 {
					t.Errorf("after %v it was asked %d times", took, asked)
				}
				if epoch := a.get("/v1/session").want(http.StatusOK).number("epoch"); epoch != 1 {
					t.Errorf("the epoch is %d", epoch)
				}
				synctest.Wait()
			})
		})
	}
}

// socketRenewal receives by a socket, and renews tokens over it.
func socketRenewal() (tt struct {
	receive receiver
	renew   func(c *client, text string)
},
) {
	var l *socketClient
	renewals := 0
	tt.receive = func(c *client, take func(string) bool) {
		l = c.connects(`, "epoch": 1`)
		defer l.conn.Close()
		for ack := 0; ; {
			_, raw, err := l.conn.ReadMessage()
			if err != nil {
				c.Fatal(err)
			}
			var said struct {
				Heartbeat, Frame, Error json.RawMessage
				Reply                   *struct{ Status int }
			}
			switch err := json.Unmarshal(raw, &said); {
			case err != nil || said.Error != nil:
				c.Fatalf("%s, %v", raw, err)
			case said.Heartbeat != nil:
				l.send(fmt.Sprintf(`{"ack": %d}`, ack))
			case said.Reply != nil && said.Reply.Status != http.StatusNoContent:
				c.Fatalf("the reply is %s", raw)
			case said.Frame != nil:
				ack++
				if take(string(said.Frame)) {
					return
				}
			}
		}
	}
	tt.renew = func(_ *client, text string) {
		renewals++
		l.send(fmt.Sprintf(`{"id": "%d", "method": "PUT", "path": "/v1/session/metadata", "body": %s}`, renewals, withToken(text)))
	}
	return tt
}

// A client that is there and does not answer loses its session when its token expires, on every transport, and is told why.
func TestASessionWhoseTokenIsNotRenewedEnds(t *testing.T) {
	by := newIssuer(t)
	verify := by.verifier()
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true, VerifyToken: verify})
		soon := func(side string) *client { return w.admitted(t, side, by.issue(40*time.Second, nil)) }
		began := time.Now()
		polls := soon("polls")
		polls.get("/v1/session/events?ack=0").want(http.StatusOK) // the frame that asks for a token
		polls.get("/v1/session/events?ack=1").refused(http.StatusGone, "SESSION_ENDED")
		if took := time.Since(began); took != 40*time.Second {
			t.Errorf("the poll ends after %v", took)
		}
		s := soon("streams").get("/v1/session/events").streams()
		defer s.cut()
		for e := (sse{}); e.name != "error"; {
			var err error
			if e, err = s.try(); err != nil || e.name == "error" && !strings.Contains(e.data, `"reason":"unauthorized"`) {
				t.Fatalf("the stream ends with %+v, %v", e, err)
			}
		}
		l := soon("socket").connects("")
		defer l.conn.Close()
		for raw := ""; !strings.HasPrefix(raw, `{"error"`); {
			_, read, err := l.conn.ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			raw = string(read)
		}
		l.closes(4410, "SESSION_ENDED restart")
		if got := polls.get("/v1/session").refused(http.StatusGone, "SESSION_ENDED"); got.text("reason") != "unauthorized" {
			t.Errorf("it ended with %s", got.body)
		}
		synctest.Wait()
	})
}
