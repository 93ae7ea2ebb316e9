package rendezvous_test

import (
	"bytes"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"restante/openapi"
	"restante/rendezvous"
	"restante/session"
)

var contract = sync.OnceValues(func() (*openapi3.T, error) {
	return openapi3.NewLoader().LoadFromData(openapi.YAML)
})

// promised returns what is wrong with a frame, by the contract.
func promised(t testing.TB, frame []byte) error {
	t.Helper()
	doc, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	var document any
	if err := json.Unmarshal(frame, &document); err != nil {
		t.Fatalf("%s: %v", frame, err)
	}
	return doc.ValidateSchemaJSON(doc.Components.Schemas["Frame"].Value, document)
}

// message returns a frame with a message that was received at millisecond 1,700,000,000,123.
func message(position rendezvous.Position, side rendezvous.Side, phase, body string, id *string) rendezvous.Frame {
	return rendezvous.MessageFrame{Message: rendezvous.Message{
		Position: position, Side: side, Draft: rendezvous.Draft{Phase: phase, Body: body, ID: id},
		Received: time.UnixMilli(1_700_000_000_123),
	}}
}

func TestEncode(t *testing.T) {
	for name, r := range map[string]struct {
		frame rendezvous.Frame
		of    rendezvous.MailboxID
		seq   session.Seq
		want  string
	}{
		"a message": {
			message(3, "a1", "pake", "c0ffee", new("m1")), "box", 7,
			`{"seq":7,"type":"message","mailbox":"box","position":3,"side":"a1","phase":"pake","body":"c0ffee","id":"m1","serverRx":1700000000123}`,
		},
		"the first message, as frame 0": {
			message(1, "a1", "pake", "c0ffee", nil), "box", 0,
			`{"seq":0,"type":"message","mailbox":"box","position":1,"side":"a1","phase":"pake","body":"c0ffee","serverRx":1700000000123}`,
		},
		"a message without an id has no such member": {
			message(3, "a1", "0", "00", nil), "box", 7,
			`{"seq":7,"type":"message","mailbox":"box","position":3,"side":"a1","phase":"0","body":"00","serverRx":1700000000123}`,
		},
		"a message with an empty id has one": {
			message(3, "a1", "0", "00", new("")), "box", 7,
			`{"seq":7,"type":"message","mailbox":"box","position":3,"side":"a1","phase":"0","body":"00","id":"","serverRx":1700000000123}`,
		},
		"a message whose side, phase and body are empty, as a wormhole client may": {
			message(3, "", "", "", nil), "", 7,
			`{"seq":7,"type":"message","mailbox":"","position":3,"side":"","phase":"","body":"","serverRx":1700000000123}`,
		},
		"a message in other scripts": {
			message(3, "côté", "фаза", "郵便 🐌", new("é")), "box", 7,
			`{"seq":7,"type":"message","mailbox":"box","position":3,"side":"côté","phase":"фаза","body":"郵便 🐌","id":"é","serverRx":1700000000123}`,
		},
		"a message with control characters and NUL": {
			message(3, "a1", "p\t", "\x00\x01\b\f\n\r\t\x1f\x7f\u0085", nil), "box", 7,
			`{"seq":7,"type":"message","mailbox":"box","position":3,"side":"a1","phase":"p\t","body":"\u0000\u0001\b\f\n\r\t\u001f` + "\x7f\u0085" + `","serverRx":1700000000123}`,
		},
		"a message with what JSON and HTML escape": {
			message(3, "a1", "p", `"\/<&>'`+"\u2028\u2029", nil), "box", 7,
			`{"seq":7,"type":"message","mailbox":"box","position":3,"side":"a1","phase":"p","body":"\"\\/\u003c\u0026\u003e'\u2028\u2029","serverRx":1700000000123}`,
		},
		"a message that is JSON itself": {
			message(3, "a1", "p", `{"a":1}`, nil), "box", 7,
			`{"seq":7,"type":"message","mailbox":"box","position":3,"side":"a1","phase":"p","body":"{\"a\":1}","serverRx":1700000000123}`,
		},
		"a message with the greatest numbers": {
			message(1<<53-1, "a1", "p", "b", nil), "box", 1<<53 - 1,
			`{"seq":9007199254740991,"type":"message","mailbox":"box","position":9007199254740991,"side":"a1","phase":"p","body":"b","serverRx":1700000000123}`,
		},
		"a token expires": {
			rendezvous.RehandshakeFrame{Expires: time.UnixMilli(1_700_000_000_123)},
			"", 4,
			`{"seq":4,"type":"rehandshake","tokenExpiresAt":1700000000123}`,
		},
		"a side opened": {
			rendezvous.OpenedFrame{Side: "a1"},
			"box", 4,
			`{"seq":4,"type":"opened","mailbox":"box","side":"a1"}`,
		},
		"a side opened, as frame 0": {
			rendezvous.OpenedFrame{Side: "a1"},
			"box", 0,
			`{"seq":0,"type":"opened","mailbox":"box","side":"a1"}`,
		},
		"a side without a name opened": {
			rendezvous.OpenedFrame{},
			"box", 4,
			`{"seq":4,"type":"opened","mailbox":"box","side":""}`,
		},
		"a side closed happily": {
			rendezvous.ClosedFrame{Side: "a1", Mood: rendezvous.Happy},
			"box", 5,
			`{"seq":5,"type":"closed","mailbox":"box","side":"a1","mood":"happy"}`,
		},
		"a side without a name closed, as frame 0": {
			rendezvous.ClosedFrame{Mood: rendezvous.Scary},
			"box", 0,
			`{"seq":0,"type":"closed","mailbox":"box","side":"","mood":"scary"}`,
		},
		"a side closed and was lonely": {
			rendezvous.ClosedFrame{Side: "a1", Mood: rendezvous.Lonely},
			"box", 5,
			`{"seq":5,"type":"closed","mailbox":"box","side":"a1","mood":"lonely"}`,
		},
		"a side closed and saw an error": {
			rendezvous.ClosedFrame{Side: "a1", Mood: rendezvous.Errory},
			"box", 5,
			`{"seq":5,"type":"closed","mailbox":"box","side":"a1","mood":"errory"}`,
		},
		"retired when all had closed": {
			rendezvous.RetiredFrame{Reason: rendezvous.RetiredClosed, Last: 12},
			"box", 6,
			`{"seq":6,"type":"retired","mailbox":"box","reason":"closed","lastPosition":12}`,
		},
		"pruned": {
			rendezvous.RetiredFrame{Reason: rendezvous.RetiredPruned, Last: 12},
			"box", 6,
			`{"seq":6,"type":"retired","mailbox":"box","reason":"pruned","lastPosition":12}`,
		},
		"retired without a message, as frame 0": {
			rendezvous.RetiredFrame{Reason: rendezvous.RetiredClosed},
			"box", 0,
			`{"seq":0,"type":"retired","mailbox":"box","reason":"closed","lastPosition":0}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := rendezvous.Encode(r.frame, r.of, r.seq)
			if string(got) != r.want {
				t.Errorf("\ngot  %s\nwant %s", got, r.want)
			}
			if err := promised(t, got); err != nil {
				t.Errorf("the contract promises something else: %v", err)
			}
		})
	}
}

// TestThePromiseHasTeeth shows that the test above can fail.
func TestThePromiseHasTeeth(t *testing.T) {
	for name, frame := range map[string]string{
		"no type":                   `{"seq":0,"mailbox":"box","side":"a"}`,
		"a type that is unknown":    `{"seq":0,"type":"unheard-of","mailbox":"box","side":"a"}`,
		"no seq":                    `{"type":"opened","mailbox":"box","side":"a"}`,
		"a negative seq":            `{"seq":-1,"type":"opened","mailbox":"box","side":"a"}`,
		"a seq that is too great":   `{"seq":9007199254740993,"type":"opened","mailbox":"box","side":"a"}`,
		"no mailbox":                `{"seq":0,"type":"opened","side":"a"}`,
		"no side":                   `{"seq":0,"type":"opened","mailbox":"box"}`,
		"a message without a body":  `{"seq":0,"type":"message","mailbox":"box","position":1,"side":"a","phase":"p","serverRx":1}`,
		"a message without a phase": `{"seq":0,"type":"message","mailbox":"box","position":1,"side":"a","body":"b","serverRx":1}`,
		"a message at position 0":   `{"seq":0,"type":"message","mailbox":"box","position":0,"side":"a","phase":"p","body":"b","serverRx":1}`,
		"a message with a null id":  `{"seq":0,"type":"message","mailbox":"box","position":1,"side":"a","phase":"p","body":"b","id":null,"serverRx":1}`,
		"a closing without a mood":  `{"seq":0,"type":"closed","mailbox":"box","side":"a"}`,
		"a mood that is unknown":    `{"seq":0,"type":"closed","mailbox":"box","side":"a","mood":""}`,
		"a reason that is unknown":  `{"seq":0,"type":"retired","mailbox":"box","reason":"","lastPosition":0}`,
		"no last position":          `{"seq":0,"type":"retired","mailbox":"box","reason":"closed"}`,
	} {
		t.Run(name, func(t *testing.T) {
			if promised(t, []byte(frame)) == nil {
				t.Errorf("the contract allows %s", frame)
			}
		})
	}
}

// Whatever text a message has, its frame is one line of JSON that says exactly that.
func TestEncodeSaysWhatTheMessageSays(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[\x00-\x1f"\\<>&a]*`))
	rapid.Check(t, func(t *rapid.T) {
		type wire struct {
			Seq      int64
			Type     string
			Mailbox  string
			Position int64
			Side     string
			Phase    string
			Body     string
			ID       *string
			ServerRx int64
		}
		want := wire{
			Seq: rapid.Int64Range(0, int64(session.Seq(1<<53-1))).Draw(t, "seq"), Type: "message", Mailbox: text.Draw(t, "mailbox"),
			Position: rapid.Int64Range(1, int64(session.Seq(1<<53-1))).Draw(t, "position"),
			Side:     text.Draw(t, "side"), Phase: text.Draw(t, "phase"), Body: text.Draw(t, "body"),
			ID: rapid.Ptr(text, true).Draw(t, "id"), ServerRx: 1_700_000_000_123,
		}
		frame := message(rendezvous.Position(want.Position), rendezvous.Side(want.Side), want.Phase, want.Body, want.ID)
		encoded := rendezvous.Encode(frame, rendezvous.MailboxID(want.Mailbox), session.Seq(want.Seq))
		var got wire
		if err := json.Unmarshal(encoded, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
		if bytes.ContainsAny(encoded, "\r\n\x00") {
			t.Fatalf("%q is more than a line", encoded)
		}
	})
}
