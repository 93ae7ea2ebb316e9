package handlers_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"restante/rendezvous"
)

func TestARepeatUnderAnIdempotencyKeyIsDoneOnce(t *testing.T) {
	w := start(t, options{})
	for name, c := range map[string]*client{"a session": w.begin(t, "app", "a"), "a secret": w.keyed(t, "app", secretA)} {
		t.Run(name, func(t *testing.T) {
			c := c.in(t)
			first := c.post("/v1/nameplates", "").with("Idempotency-Key: one").want(http.StatusCreated)
			again := c.post("/v1/nameplates", "").with("Idempotency-Key: one").want(http.StatusCreated).says("Replayed", "true")
			if string(first.body) != string(again.body) {
				t.Errorf("it is repeated as %s, and was %s", again.body, first.body)
			}
			if other := c.post("/v1/nameplates", "").with("Idempotency-Key: two").want(http.StatusCreated); string(other.body) == string(first.body) {
				t.Errorf("another key has the reply %s", other.body)
			}
			const to = "/v1/mailboxes/m/messages?open=true"
			c.post(to, `{"phase":"p","body":"x"}`).with("Idempotency-Key: three").want(http.StatusCreated)
			c.post(to, `{"phase":"p","body":"y"}`).with("Idempotency-Key: three").refused(http.StatusConflict, "IDEMPOTENCY_KEY_REUSED")
			c.add("elsewhere", "p", "x").with("Idempotency-Key: four").refused(http.StatusForbidden, "NOT_OPEN")
			c.open("elsewhere").want(http.StatusOK)
			c.add("elsewhere", "p", "x").with("Idempotency-Key: four").refused(http.StatusForbidden, "NOT_OPEN").says("Replayed", "true")
			c.delete("/v1/mailboxes/elsewhere").with("Idempotency-Key: five").want(http.StatusNoContent)
			c.delete("/v1/mailboxes/elsewhere").with("Idempotency-Key: five").want(http.StatusNoContent).says("Replayed", "true")
		})
	}
	if got := w.keyed(t, "app", secretA).get("/v1/mailboxes/m/messages").want(http.StatusOK); got.count("messages") != 2 {
		t.Errorf("each added one message, and there are %s", got.body)
	}
}

func TestAnIdempotencyKeyIsForgottenAfterADay(t *testing.T) {
	began := time.Now().Truncate(time.Second)
	var passed atomic.Int64 // nanoseconds
	w := start(t, options{Now: func() time.Time { return began.Add(time.Duration(passed.Load())) }, Config: func(c *rendezvous.Config) { c.BootGrace = 0 }})
	a := w.keyed(t, "app", secretA)
	a.post("/v1/nameplates", "").with("Idempotency-Key: one").want(http.StatusCreated)
	passed.Add(int64(24*time.Hour + time.Second))
	if again := a.post("/v1/nameplates", "").with("Idempotency-Key: one").want(http.StatusCreated); again.header.Get("Replayed") != "" {
		t.Error("it is replayed after a day")
	}
	passed.Add(int64(24*time.Hour + time.Second))
	if pruned := w.Service.Prune(t.Context()).Retired[rendezvous.KindReply]; pruned != 1 {
		t.Errorf("%d recorded replies are pruned", pruned)
	}
}

// Some clients send an empty object with every DELETE, and some begin a text with a byte order mark.
func TestHabitsOfClientsAreTaken(t *testing.T) {
	w := start(t, options{})
	a := w.begin(t, "app", "a")
	a.open("m").want(http.StatusOK)
	a.post("/v1/mailboxes/m/messages", "\ufeff"+`{"phase": "p", "body": "b"}`).want(http.StatusCreated)
	a.ask(http.MethodDelete, "/v1/mailboxes/m", `{"mood": "happy"}`).refused(http.StatusBadRequest, "INVALID_REQUEST")
	a.ask(http.MethodDelete, "/v1/mailboxes/m", "{}\n").want(http.StatusNoContent)
}

// A client whose variable was empty is told so. Without a key, a repeat would be done again in silence.
func TestAnEmptyIdempotencyKeyIsRefused(t *testing.T) {
	w := start(t, options{})
	for name, c := range map[string]*client{"a session": w.begin(t, "app", "a"), "a secret": w.keyed(t, "app", secretA)} {
		t.Run(name, func(t *testing.T) {
			c := c.in(t)
			c.open("m").want(http.StatusOK)
			for _, r := range []*request{
				c.add("m", "p", "x"), c.post("/v1/nameplates", ""), c.put("/v1/nameplates/7"), c.open("m"), c.delete("/v1/nameplates/7"), c.delete("/v1/mailboxes/m"),
			} {
				got := r.with("Idempotency-Key: ").refused(http.StatusBadRequest, "INVALID_REQUEST")
				if at := got.text("errors/0/pointer"); at != "#/header/Idempotency-Key" {
					t.Errorf("%s %s: the error is at %s", r.method, r.target, at)
				}
			}
		})
	}
}

// The same bytes as JSON and as a text are two messages, so they are two commands.
func TestATextIsAnotherCommandThanTheSameJSON(t *testing.T) {
	w := start(t, options{})
	const to, body = "/v1/mailboxes/m/messages?open=true", `{"phase":"p","body":"b"}`
	asText := func(r *request) *request { return r.with("-Content-Type", "Content-Type: text/plain") }
	s, k := w.begin(t, "app", "a"), w.keyed(t, "app", secretA)
	k.post(to, body).with("Idempotency-Key: one").want(http.StatusCreated)
	asText(k.post(to, body)).with("Idempotency-Key: one").refused(http.StatusConflict, "IDEMPOTENCY_KEY_REUSED")
	k.post(to, body).with("Idempotency-Key: one").want(http.StatusCreated).says("Replayed", "true")
	asText(k.post(to, body)).with("Idempotency-Key: two").want(http.StatusCreated)
	asText(k.post(to, body)).with("Idempotency-Key: two").want(http.StatusCreated).says("Replayed", "true")
	k.post(to, body).with("Idempotency-Key: two").refused(http.StatusConflict, "IDEMPOTENCY_KEY_REUSED")
	s.post(to, body).seq(0).want(http.StatusCreated)
	asText(s.post(to, body)).seq(0).refused(http.StatusConflict, "SEQ_REUSED")
	s.post(to, body).seq(0).want(http.StatusCreated).says("Replayed", "true")
}
