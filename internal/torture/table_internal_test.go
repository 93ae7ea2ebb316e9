package torture

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func during(kind Kind, transport string, from, to, status int) *Event {
	return &Event{Kind: kind, Transport: transport, At: time.Duration(from), Done: time.Duration(to), Status: status}
}

// TestTally holds what counts as an operation, and which operations a fault met.
func TestTally(t *testing.T) {
	t.Parallel()
	var counted tally
	counted.count([]*Event{
		during(Request, Poll, 1, 5, 200),
		during(Request, Poll, 7, 8, 503), // in the fault
		during(Request, Poll, 7, 8, 0),   // no answer
		during(Frame, Stream, 1, 9, 0),   // it came in the fault
		during(Frame, Stream, 6, 20, 0),  // it came later, on a connection of that time
		{Kind: Said, Transport: Wormhole, At: 9, Done: 12, Answer: "ack"},
		{Kind: Said, Transport: Socket, At: 9, Done: 9},
		{Kind: Note, At: 9, Done: 9},
	})
	if o := counted.operations; o[Poll] != 2 || o[Stream] != 2 || o[Wormhole] != 1 || o[Socket] != 0 || counted.unanswered != 1 {
		t.Errorf("counted %v and %d without an answer", o, counted.unanswered)
	}
	kill := &Event{Kind: Fault, Transport: "kill", At: 6, Done: 10}
	if met := counted.met([]*Event{kill, kill})["kill"]; met[Poll] != 1 || met[Stream] != 1 || met[Wormhole] != 1 {
		t.Errorf("the fault met %v, want one operation of each but the socket", met)
	}
}

// TestTable holds that reports are summed up by engine, as they are read from files.
func TestTable(t *testing.T) {
	t.Parallel()
	written := &Report{
		Engine: "postgresql", Replicas: 2, Standby: "sync", Duration: time.Minute, Rooms: 3, Operations: map[string]int64{Poll: 1200, Stream: 1}, Unanswered: 4,
		Times: map[string]int64{"kill": 2, cutConnections: 9}, Injected: map[string]map[string]int64{cutConnections: {Poll: 9}},
		Met: map[string]map[string]int64{"kill": {Poll: 7}}, Violations: []Violation{{Rule: ruleKept}, {Rule: ruleKept, Excused: "as was to be expected"}},
	}
	text, err := json.Marshal(written)
	if err != nil {
		t.Fatal(err)
	}
	var read Report
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	table := Table([]*Report{&read, &read, {Engine: "sqlite", Operations: map[string]int64{Poll: 5}}})
	for _, want := range []string{
		"| 2 servers, PostgreSQL, synchronous standby | 2 | 2m0s | 6 | – | 2,402 | 8 | 2 (and 2 excused) |\n",
		"| 1 server, SQLite | 1 | 0s | – | – | 5 | – | 0 |\n", "| all | 3 | 2m0s | 6 | – | 2,407 | 8 | 2 (and 2 excused) |\n",
		"| `kill` | 4 | 14 |", "| cut connections | 18 | 18 |", "| operations | | 2,400 | 2 |",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("the table has no %q:\n%s", want, table)
		}
	}
}

// TestNotices holds that a notice of a third side needs a third side.
func TestNotices(t *testing.T) {
	t.Parallel()
	notice := &Event{Kind: Notice, Session: "r1a", Seq: none, Ack: none, Wanted: none}
	if found := check("r1", []*Event{notice}, nil, 1); len(found) != 1 || found[0].Rule != ruleTwo {
		t.Errorf("a notice of nothing: %v", found)
	}
	third := &Event{Kind: Request, Session: "r1" + intruder, Method: "PUT", Path: "/v1/mailboxes/m", Seq: none, Ack: none, Wanted: none}
	if found := check("r1", []*Event{third, notice}, nil, 1); len(found) > 0 {
		t.Errorf("a notice of a third side: %v", found)
	}
	for orig, want := range map[string]bool{`{"type":"open"}`: true, `{"type":"claim"}`: false} {
		if (spoken{Error: "crowded", Orig: json.RawMessage(orig)}).noticed() != want {
			t.Errorf("%s is a notice: %v", orig, !want)
		}
	}
}

// TestAStreamAcknowledgesWhenItBegins holds that an older handshake may be refused after a stream began that nothing came on.
func TestAStreamAcknowledgesWhenItBegins(t *testing.T) {
	t.Parallel()
	refused := &Event{Kind: Handshake, At: 5, Done: 9, Session: "r1a", Status: 409, Code: "SESSION_STATE_MISMATCH", Seq: none, Ack: 9, Wanted: none}
	if found := check("r1", []*Event{refused}, nil, 1); len(found) != 1 {
		t.Errorf("refused without a reason: %v", found)
	}
	opening := (&client{label: "r1a"}).opening(Stream, 13)
	opening.At, opening.Done = 4, 4
	if found := check("r1", []*Event{opening, refused}, nil, 1); len(found) > 0 {
		t.Errorf("refused after an acknowledgement: %v", found)
	}
}

// TestKeys holds that a command with a key is done once, too.
func TestKeys(t *testing.T) {
	t.Parallel()
	add := func(position string) *Event {
		return &Event{
			Kind: Request, Method: "POST", Path: "/v1/mailboxes/m/messages?open=true", Key: "k", Session: "r1a", Transport: Keyed, Status: 201,
			Answer: `{"position":` + position + `}`, Seq: none, Ack: none, Wanted: none,
		}
	}
	if found := check("r1", []*Event{add("1"), add("1")}, nil, 1); len(found) > 0 {
		t.Errorf("the same reply twice: %v", found)
	}
	if found := check("r1", []*Event{add("1"), add("2")}, nil, 1); len(found) != 1 || found[0].Rule != ruleOnce {
		t.Errorf("two replies: %v", found)
	}
}
