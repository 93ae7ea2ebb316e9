package wormhole_test

import (
	"fmt"
	"testing"

	"restante/handlers/handlerstest"
	"restante/rendezvous"
)

// A client need not wait for one message before it sends the next.
func TestWormholeAddsWithoutWaiting(t *testing.T) {
	t.Parallel()
	r := handlerstest.Start(t, handlerstest.Options{})
	const many = 500
	ada, bob := r.Bind(t, "app", "ada").Open("box"), r.Bind(t, "app", "bob").Open("box")
	for i := range many {
		switch i {
		case 100:
			ada.Write(1, `{"type": "add", "id": "bad", "phase": "no body"}`)
		case 200:
			ada.Write(1, `{"type": "ping", "id": "ping", "ping": 200}`)
		}
		ada.Write(1, fmt.Sprintf(`{"type": "add", "id": "m%d", "phase": "talk", "body": "%d"}`, i, i))
	}
	ada.Write(1, `{"type": "close", "id": "close", "mood": "happy"}`)

	acks, echoes := 0, 0
	for closed := false; !closed; {
		switch s := ada.Next(); s.Kind {
		case "ack":
			acks++
		case "message":
			if s.Text("body") != fmt.Sprint(echoes) {
				t.Fatalf("echo %d is of %s", echoes, s.Raw)
			}
			echoes++
			if acks < echoes {
				t.Fatalf("%d echoes come after %d acks", echoes, acks)
			}
		case "error":
			if echoes != 100 || s.Text("error") != "missing 'body'" {
				t.Errorf("after %d echoes: %s", echoes, s.Raw)
			}
		case "pong":
			if echoes != 200 {
				t.Errorf("it pongs after %d echoes", echoes)
			}
		case "closed":
			closed = true
		default:
			t.Fatalf("it hears %s", s.Raw)
		}
	}
	if acks != many+3 || echoes != many {
		t.Errorf("it hears %d acks and %d echoes", acks, echoes)
	}
	for i := range many {
		bob.WantMessages(fmt.Sprint(i))
	}
}

func TestWormholeAddsToAFullMailbox(t *testing.T) {
	t.Parallel()
	r := handlerstest.Start(t, handlerstest.Options{Config: func(c *rendezvous.Config) { c.Limits.MailboxMessages = 3 }})
	ada := r.Bind(t, "app", "ada").Open("box")
	for i := range 5 {
		ada.Write(1, fmt.Sprintf(`{"type": "add", "phase": "talk", "body": "%d"}`, i))
	}
	refused := 0
	for range 10 { // an ack of each, and an echo or an error
		if s := ada.Next(); s.Kind == "error" {
			refused++
		}
	}
	if refused != 2 {
		t.Errorf("%d are refused", refused)
	}
}
