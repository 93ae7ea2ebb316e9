package testclient

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// Message is a message of a wormhole server.
type Message struct {
	testing.TB
	Kind    string // its type
	Raw     []byte
	Members map[string]json.RawMessage
}

// members are the types that a server may send on /v1, with their members: an unknown type ends deployed clients.
var members = map[string][]string{
	"welcome": {"welcome"}, "ack": {"id"}, "pong": {"pong"}, "error": {"error", "orig"},
	"nameplates": {"nameplates"}, "allocated": {"nameplate", "mailbox"}, "claimed": {"mailbox"}, "released": {},
	"message": {"side", "phase", "body", "id", "server_rx"}, "closed": {},
}

// fraction matches a number that no client takes for an integer.
var fraction = regexp.MustCompile(`^\d+\.\d+$`)

// MaxFrame is how many bytes deployed Go clients read.
const MaxFrame = 32 << 10

// parseMessage checks a frame against what deployed clients depend on.
func parseMessage(kind int, data []byte) (Message, error) {
	s := Message{Raw: data}
	if kind != websocket.TextMessage {
		return s, errors.New("it is no text frame")
	}
	if err := json.Unmarshal(data, &s.Members); err != nil {
		return s, err
	}
	if err := json.Unmarshal(s.Members["type"], &s.Kind); err != nil {
		return s, fmt.Errorf("type: %w", err)
	}
	names, known := members[s.Kind]
	if !known {
		return s, errors.New("no client knows this")
	}
	if got, want := slices.Sorted(maps.Keys(s.Members)), slices.Sorted(slices.Values(append([]string{"type", "server_tx"}, names...))); !slices.Equal(got, want) {
		return s, fmt.Errorf("it has the members %q, want %q", got, want)
	}
	for _, name := range []string{"server_tx", "server_rx"} {
		if raw, has := s.Members[name]; has && !fraction.Match(raw) {
			return s, fmt.Errorf("%s is %s", name, raw)
		}
	}
	if s.Kind != "message" && len(data) > MaxFrame {
		return s, fmt.Errorf("it has %d bytes", len(data))
	}
	if orig := s.Members["orig"]; s.Kind == "error" && (orig[0] != '{' || s.Members["error"][0] != '"') {
		return s, errors.New("an error has a text and an orig")
	}
	return s, nil
}

// Text returns a member that must be a string.
func (s Message) Text(name string) string {
	s.Helper()
	var text string
	if err := json.Unmarshal(s.Members[name], &text); err != nil {
		s.Fatalf("%s is no string: %.500s", name, s.Raw)
	}
	return text
}

// At returns what is at a path of names and indices, such as welcome/motd. It is nil if there is nothing.
func (s Message) At(path string) any {
	s.Helper()
	at, err := At(s.Raw, path)
	if err != nil {
		s.Fatalf("%v: %s", err, s.Raw)
	}
	return at
}

// At returns what is at a path of names and indices in a JSON text, such as sides/0/mood. It is nil if there is nothing.
// Numbers are as they were written.
func At(text []byte, path string) (any, error) {
	var at any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&at); err != nil {
		return nil, err
	}
	for step := range strings.SplitSeq(path, "/") {
		switch in := at.(type) {
		case map[string]any:
			at = in[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(in) {
				return nil, nil //nolint:nilnil // there is nothing
			}
			at = in[i]
		default:
			return nil, nil //nolint:nilnil // there is nothing
		}
	}
	return at, nil
}

// SameJSON reports whether two JSON texts have the same value.
func SameJSON(a, b []byte) bool {
	var x, y any
	for raw, into := range map[*any][]byte{&x: a, &y: b} {
		d := json.NewDecoder(bytes.NewReader(into))
		d.UseNumber()
		if d.Decode(raw) != nil {
			return false
		}
	}
	return reflect.DeepEqual(x, y)
}

// origOf returns the member orig of an error: the whole command, or the members by which a large one is known.
func origOf(command string) []byte {
	if len(command) <= 16<<10 {
		return []byte(command)
	}
	var all map[string]json.RawMessage
	_ = json.Unmarshal([]byte(command), &all) // or it is no object
	known := map[string]json.RawMessage{}
	for _, name := range []string{"type", "id", "appid", "side", "nameplate", "mailbox", "mood", "phase", "body", "ping"} {
		value := all[name]
		switch {
		case value == nil:
			continue
		case len(value) > 256 && value[0] == '"':
			value = []byte(`""`)
		case len(value) > 256:
			value = []byte("null")
		}
		known[name] = value
	}
	short, _ := json.Marshal(known)
	return short
}
