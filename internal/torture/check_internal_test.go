package torture

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// at is an event that takes a millisecond and has no numbers.
func at(ms int, e Event) *Event {
	e.At, e.Done = time.Duration(ms)*time.Millisecond, time.Duration(ms+1)*time.Millisecond
	if e.Session == "" {
		e.Session = "a"
	}
	return &e
}

// add is an added message and its reply.
func add(ms int, seq, position int64, body string) *Event {
	return at(ms, Event{
		Kind: Request, Method: "POST", Path: "/v1/mailboxes/m/messages", Seq: seq, Ack: none, Wanted: seq + 1, Status: 201,
		Sent: fmt.Sprintf(`{"phase":"p","body":%q}`, body), Answer: fmt.Sprintf(`{"position":%d,"serverRx":1}`, position),
	})
}

// frameOf is a frame with a message, received by b.
func frameOf(ms int, conn, from, seq, position int64, body string) *Event {
	return at(ms, Event{
		Session: "b", Kind: Frame, Conn: conn, Seq: seq, Ack: from, Wanted: none,
		Answer: fmt.Sprintf(`{"seq":%d,"type":"message","position":%d,"side":"s","phase":"p","body":%q}`, seq, position, body),
	})
}

// page is the log as it is read at the end.
func page(ms int, bodies ...string) []*Event {
	messages := make([]string, len(bodies))
	for i, body := range bodies {
		messages[i] = fmt.Sprintf(`{"position":%d,"side":"s","phase":"p","body":%q}`, i+1, body)
	}
	return []*Event{
		at(ms, Event{
			Kind: Request, Method: "GET", Path: "/v1/mailboxes/m/messages?after=0", Seq: none, Ack: none, Wanted: none, Status: 200,
			Answer: fmt.Sprintf(`{"messages":[%s],"lastPosition":%d}`, strings.Join(messages, ","), len(bodies)),
		}),
		at(ms+1, Event{Kind: Note, Seq: int64(len(bodies)), Ack: none, Wanted: none, Sent: "read"}),
	}
}

func drained(ms int, n int64) *Event {
	return at(ms, Event{Session: "b", Kind: Note, Seq: n, Ack: none, Wanted: none, Sent: "drained"})
}

func refusal(ms int, kind Kind, ack int64, status int, code string) *Event {
	return at(ms, Event{Kind: kind, Method: "POST", Path: "/v1/sessions", Seq: none, Ack: ack, Wanted: none, Status: status, Code: code})
}

func accepted(ms int, ack int64, epoch int) *Event {
	return at(ms, Event{Kind: Handshake, Method: "POST", Path: "/v1/sessions", Seq: none, Ack: ack, Wanted: 0, Status: 200, Answer: fmt.Sprintf(`{"epoch":%d}`, epoch)})
}

func ended(ms int) *Event {
	return at(ms, Event{Kind: Request, Method: "DELETE", Path: "/v1/session?mood=happy", Seq: none, Ack: none, Wanted: none, Status: 204})
}

// TestCheck holds that the checker finds what is planted in a history, and nothing in the nearest history that is right.
func TestCheck(t *testing.T) {
	t.Parallel()
	acked := at(10, Event{Kind: Request, Method: "POST", Path: "/v1/session/ack", Seq: none, Ack: 5, Wanted: none, Status: 200})
	tests := map[string]struct {
		right, wrong []*Event
		rule         string
	}{
		"a reply is another one when it is repeated": {
			[]*Event{add(1, 0, 1, "x"), add(3, 0, 1, "x")}, []*Event{add(1, 0, 1, "x"), add(3, 0, 2, "x")}, ruleOnce,
		},
		"the next command wanted goes backwards": {
			[]*Event{add(1, 0, 1, "x"), at(3, Event{Kind: Beat, Seq: none, Ack: 0, Wanted: 1})},
			[]*Event{add(1, 0, 1, "x"), at(3, Event{Kind: Beat, Seq: none, Ack: 0, Wanted: 0})},
			ruleWanted,
		},
		"a command is wanted before the one in front of it was sent": {
			[]*Event{add(1, 0, 1, "x")}, []*Event{add(1, 0, 1, "x"), at(3, Event{Kind: Beat, Seq: none, Ack: 0, Wanted: 2})}, ruleWanted,
		},
		"a session is forgotten": {
			[]*Event{ended(1), refusal(3, Request, none, 410, "SESSION_ENDED")}, []*Event{refusal(3, Request, none, 410, "SESSION_ENDED"), ended(5)}, ruleSurvives,
		},
		"a handshake is refused": {
			[]*Event{acked, refusal(12, Handshake, 4, 409, "SESSION_STATE_MISMATCH")}, []*Event{acked, refusal(12, Handshake, 5, 409, "SESSION_STATE_MISMATCH")}, ruleHandshake,
		},
		"a handshake goes behind an acknowledgement": {
			[]*Event{acked, accepted(12, 5, 2)}, []*Event{acked, accepted(12, 4, 2)}, ruleRewound,
		},
		"two handshakes have one epoch": {
			[]*Event{accepted(1, 0, 1), accepted(3, 0, 2)}, []*Event{accepted(1, 0, 1), accepted(3, 0, 1)}, ruleEpochs,
		},
		"a frame has other bytes": {
			[]*Event{frameOf(1, 1, 0, 0, 1, "x"), frameOf(3, 2, 0, 0, 1, "x")}, []*Event{frameOf(1, 1, 0, 0, 1, "x"), frameOf(3, 2, 0, 0, 1, "y")}, ruleFrames,
		},
		"a frame is left out of an answer": {
			[]*Event{frameOf(1, 1, 0, 0, 1, "x"), frameOf(2, 1, 0, 1, 2, "y")}, []*Event{frameOf(1, 1, 0, 0, 1, "x"), frameOf(2, 1, 0, 2, 2, "y")}, ruleDense,
		},
		"messages come out of order": {
			[]*Event{frameOf(1, 1, 0, 0, 1, "x"), frameOf(2, 1, 0, 1, 2, "y")}, []*Event{frameOf(1, 1, 0, 0, 2, "y"), frameOf(2, 1, 0, 1, 1, "x")}, ruleDelivered,
		},
		"a message never comes": {
			slices.Concat([]*Event{frameOf(1, 1, 0, 0, 1, "x"), frameOf(1, 1, 0, 1, 2, "y")}, page(3, "x", "y"), []*Event{drained(6, 2)}),
			slices.Concat([]*Event{frameOf(1, 1, 0, 0, 1, "x")}, page(3, "x", "y"), []*Event{drained(6, 1)}),
			ruleDelivered,
		},
		"the log differs between readers": {
			slices.Concat([]*Event{frameOf(1, 1, 0, 0, 1, "x")}, page(3, "x")), slices.Concat([]*Event{frameOf(1, 1, 0, 0, 1, "z")}, page(3, "x")), ruleLog,
		},
		"an acknowledged message is lost": {
			slices.Concat([]*Event{add(1, 0, 1, "x")}, page(3, "x")), slices.Concat([]*Event{add(1, 0, 2, "lost")}, page(3, "x")), ruleKept,
		},
		"a message is there twice": {
			page(3, "x", "y"), page(3, "x", "x"), ruleOnce,
		},
		"a third side is in": {
			[]*Event{at(1, Event{Kind: Request, Method: "GET", Path: "/v1/mailboxes/m", Seq: none, Ack: none, Wanted: none, Status: 200, Answer: `{"sides":[{"side":"1"},{"side":"2"}]}`})},
			[]*Event{at(1, Event{Kind: Request, Method: "GET", Path: "/v1/mailboxes/m", Seq: none, Ack: none, Wanted: none, Status: 200, Answer: `{"sides":[{"side":"1"},{"side":"2"},{"side":"3"}]}`})},
			ruleTwo,
		},
		"a mailbox is pruned in use": {
			[]*Event{at(1, Event{Kind: Frame, Seq: 0, Ack: 0, Wanted: none, Answer: `{"type":"retired","reason":"closed"}`})},
			[]*Event{at(1, Event{Kind: Frame, Seq: 0, Ack: 0, Wanted: none, Answer: `{"type":"retired","reason":"pruned"}`})},
			ruleNotPruned,
		},
		"the server makes a mistake": {
			nil, []*Event{refusal(1, Request, none, 500, "INTERNAL")}, ruleInternal,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if found := check("room", tt.right, nil, 1); len(found) > 0 {
				t.Errorf("the right history: %v", found)
			}
			found := check("room", tt.wrong, nil, 1)
			if !slices.ContainsFunc(found, func(v Violation) bool { return v.Rule == tt.rule }) {
				t.Errorf("found %v, want %q", found, tt.rule)
			}
		})
	}
}

// TestRestartsForget holds that a server may forget, when it ends, what it acknowledged and had not written down.
func TestRestartsForget(t *testing.T) {
	t.Parallel()
	events := []*Event{at(10, Event{Kind: Request, Path: "/v1/session/ack", Seq: none, Ack: 5, Wanted: none, Status: 200}), accepted(14, 4, 2)}
	kill := at(12, Event{Kind: Fault, Transport: "kill"})
	if found := check("room", events, []*Event{kill}, 1); len(found) > 0 {
		t.Errorf("after a kill: %v", found)
	}
	if found := check("room", events, []*Event{at(12, Event{Kind: Fault, Transport: "pause"})}, 1); len(found) != 1 {
		t.Errorf("after a pause: %v, want one violation", found)
	}
}

// TestShortest holds that what is not needed to see a violation is left out.
func TestShortest(t *testing.T) {
	t.Parallel()
	var events []*Event
	for i := range int64(100) {
		events = append(events, add(int(10*i), i, i+1, fmt.Sprint("body ", i)))
	}
	again := add(2000, 40, 999, "body 40")
	again.Wanted = 100
	events = append(events, again)
	found := check("room", events, nil, 1)
	if len(found) != 1 {
		t.Fatalf("found %v, want one violation", found)
	}
	if left := shortest(found[0], events, nil, 1); len(left) != 2 {
		t.Errorf("%d events are left, want the 2 answers to command 40", len(left))
	}
}

// TestWakes holds that late messages are told from prompt ones, and from those that came in an outage.
func TestWakes(t *testing.T) {
	t.Parallel()
	run := func(delay int, faults ...*Event) []Violation {
		var w wakes
		var events []*Event
		for i := range int64(60) {
			ms := int(i) * 2000
			f := frameOf(ms, i, i, i, i+1, fmt.Sprint("body ", i))
			f.Done = time.Duration(ms+10+delay) * time.Millisecond
			events = append(events, add(ms+5, i, i+1, fmt.Sprint("body ", i)), f)
		}
		w.count(events, faults)
		return w.judge()
	}
	if found := run(50); len(found) > 0 {
		t.Errorf("prompt messages: %v", found)
	}
	if found := run(1500); len(found) != 1 {
		t.Errorf("late messages: %v, want one violation", found)
	}
	if found := run(1500, &Event{Kind: Fault, Done: time.Hour}); len(found) > 0 {
		t.Errorf("late messages in an outage: %v", found)
	}
}
