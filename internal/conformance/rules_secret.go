package conformance

import (
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

// keyed sends a request without a session, of the side that has a secret.
func (t *trial) keyed(secret, method, path string, body any, header ...string) *answer {
	all := map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(t.app+":"+secret))}
	for i := 0; i < len(header); i += 2 {
		all[header[i]] = header[i+1]
	}
	return t.do(request{method, path, body, all})
}

var secretRules = []Rule{
	{ID: "secret/two-lines", Text: "One request leaves a message, one fetches it, without a session.", check: func(t *trial) {
		messages := "/v1/mailboxes/" + random() + "/messages?open=true"
		t.keyed(random(), http.MethodPost, messages, "Tea at four?", "Content-Type", "text/plain").ok(http.StatusCreated)
		a := t.keyed(random(), http.MethodGet, messages, nil, "Accept", "text/plain").ok(http.StatusOK)
		equal(t, "the text", string(a.body), "Tea at four?")
	}},
	{ID: "secret/side", Text: "A secret is one side, whose name begins with k.", check: func(t *trial) {
		secret, mailbox := random(), random()
		messages := "/v1/mailboxes/" + mailbox + "/messages?open=true"
		for range 2 {
			t.keyed(secret, http.MethodPost, messages, message("x")).ok(http.StatusCreated)
		}
		list := decode[struct{ Messages []logEntry }](t.keyed(random(), http.MethodGet, messages, nil).ok(http.StatusOK)).Messages
		if len(list) != 2 || list[0].Side != list[1].Side || !strings.HasPrefix(list[0].Side, "k.") {
			t.failf("the log is %+v", list)
		}
		t.shake(t.hello(random(), list[0].Side)).refused("MALFORMED_HANDSHAKE", "stop")
	}},
	{ID: "secret/own", Text: "A request that waits is about what other sides added, or all with own=true.", check: func(t *trial) {
		secret := random()
		messages := "/v1/mailboxes/" + random() + "/messages?open=true"
		t.keyed(secret, http.MethodPost, messages, message("mine")).ok(http.StatusCreated)
		for query, want := range map[string]int{"&wait=0": 0, "&wait=0&own=true": 1} {
			list := decode[struct{ Messages []logEntry }](t.keyed(secret, http.MethodGet, messages+query, nil).ok(http.StatusOK)).Messages
			equal(t, "the number of messages with "+query, len(list), want)
		}
	}},
	{ID: "secret/held", Text: "A request that waits is answered when a message is added.", check: func(t *trial) {
		one, two := random(), random()
		messages := "/v1/mailboxes/" + random() + "/messages?open=true"
		t.keyed(one, http.MethodGet, messages, nil).ok(http.StatusOK) // enters
		got := make(chan any, 1)
		go func() {
			defer func() { got <- recover() }()
			for {
				list := decode[struct{ Messages []logEntry }](t.keyed(one, http.MethodGet, messages+"&wait=20", nil).ok(http.StatusOK)).Messages
				if len(list) == 1 && list[0].Body == "now" {
					return
				}
			}
		}()
		time.Sleep(50 * time.Millisecond) // so that it is held, if the server is quick; if not, it finds the message
		t.keyed(two, http.MethodPost, messages, message("now")).ok(http.StatusCreated)
		if failed := <-got; failed != nil {
			panic(failed)
		}
	}},
	{ID: "secret/session", Text: "A side with a secret and one with a session share a mailbox.", check: func(t *trial) {
		c, mailbox := t.begin(), random()
		c.open(mailbox)
		t.keyed(random(), http.MethodPost, "/v1/mailboxes/"+mailbox+"/messages?open=true", message("hello")).ok(http.StatusCreated)
		equal(t, "the frames", bodies(c.receive(2)), "opened: message:hello ")
	}},
	{ID: "secret/short", Text: "A secret that is too short to be one is refused, without a Basic challenge.", check: func(t *trial) {
		a := t.keyed("short", http.MethodGet, "/v1/nameplates", nil)
		equal(t, "the status", a.status, http.StatusUnauthorized)
		if challenge := a.header.Get("WWW-Authenticate"); strings.HasPrefix(strings.ToLower(challenge), "basic") {
			t.failf("the challenge is %q", challenge)
		}
	}},
	{ID: "secret/idempotency-key", Text: "A request with an Idempotency-Key that is repeated is done once.", check: func(t *trial) {
		secret, key := random(), random()
		messages := "/v1/mailboxes/" + random() + "/messages?open=true"
		for range 2 {
			t.keyed(secret, http.MethodPost, messages, message("once"), "Idempotency-Key", key).ok(http.StatusCreated)
		}
		list := decode[struct{ Messages []logEntry }](t.keyed(random(), http.MethodGet, messages, nil).ok(http.StatusOK)).Messages
		equal(t, "the length of the log", len(list), 1)
	}},
}
