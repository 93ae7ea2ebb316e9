package handlers_test

import (
	"net/http"
	"testing"

	"restante/handlers/handlerstest"
)

// TestWormholeAndHTTP is one mailbox whose sides speak different languages: a session over
// HTTP and a wormhole client. Meeting, talking, crowding, closing and usage are one set of rules. It is here and not in
// handlers/wormhole because it needs the HTTP client.
func TestWormholeAndHTTP(t *testing.T) {
	r := start(t, options{})
	session := r.begin(t, "app", "curl")
	met := session.post("/v1/nameplates", "").want(http.StatusCreated)
	nameplate, mailbox := met.text("nameplate"), met.text("mailbox")
	session.open(mailbox).want(http.StatusOK)
	session.add(mailbox, "pake", "7b7d").want(http.StatusCreated)

	peer := r.Bind(t, "app", "wormhole")
	if got := peer.List(); len(got) != 1 || got[0] != nameplate {
		t.Errorf("the wormhole client is told that %v wait", got)
	}
	if got := peer.Request("claimed", "claim", "nameplate", nameplate).Text("mailbox"); got != mailbox {
		t.Fatalf("it is led to %s, and the session to %s", got, mailbox)
	}
	peer.Send("open", "mailbox", mailbox)
	peer.WantMessages("7b7d")
	peer.Add("pake", "2a2a")
	session.add(mailbox, "0", "over HTTP").want(http.StatusCreated)
	peer.WantMessages("over HTTP")

	heard := session.get("/v1/session/events?ack=0").want(http.StatusOK)
	for i, want := range []string{"opened", "message"} {
		if got := heard.text("frames/" + string(rune('0'+i)) + "/type"); got != want {
			t.Fatalf("the session hears %s, want %s: %s", got, want, heard.body)
		}
	}
	if heard.text("frames/1/body") != "2a2a" || heard.text("frames/1/side") != "wormhole" {
		t.Errorf("the session hears %s", heard.body)
	}

	r.Bind(t, "app", "third").Refused("crowded", "claim", "nameplate", nameplate)
	r.begin(t, "app", "fourth").put("/v1/nameplates/"+nameplate).refused(http.StatusConflict, "CROWDED")
	r.begin(t, "app", "fifth").open(mailbox).refused(http.StatusConflict, "CROWDED")

	peer.Request("released", "release")
	session.delete("/v1/nameplates/" + nameplate).want(http.StatusNoContent)
	peer.Request("closed", "close", "mood", "happy")
	left := session.poll(2).want(http.StatusOK)
	if left.text("frames/0/type") != "closed" || left.text("frames/0/mood") != "happy" {
		t.Errorf("the session hears %s", left.body)
	}
	session.delete("/v1/mailboxes/" + mailbox + "?mood=happy").want(http.StatusNoContent)
	session.delete("/v1/session").want(http.StatusNoContent)
	r.Service.Prune(t.Context()) // its outbox referred to the log
	r.WantEmpty(t)
	handlerstest.EqualRows(t, r.Rows(t, `SELECT result FROM usage_mailboxes`), "crowded")
	handlerstest.EqualRows(t, r.Rows(t, `SELECT result FROM usage_nameplates`), "crowded")
}
