package wormhole

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What a client decodes is what was encoded, whatever is in it.
func TestMessagesAreEncodedWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		body, id := rapid.String().Draw(t, "body"), rapid.Ptr(rapid.String(), true).Draw(t, "id")
		received := time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "received"))
		encoded := encodeMessage("message", member{"body", body}, member{"id", id}, member{"server_rx", seconds(received)}, member{"orig", json.RawMessage(" [1] ")})
		var got map[string]any
		decoder := json.NewDecoder(bytes.NewReader(encoded))
		decoder.UseNumber()
		if err := decoder.Decode(&got); err != nil {
			t.Fatalf("%s: %v", encoded, err)
		}
		if gotID, _ := got["id"].(string); got["type"] != "message" || got["body"] != body || (got["id"] == nil) != (id == nil) || id != nil && gotID != *id {
			t.Fatalf("%v is not what was encoded", got)
		}
		if !strings.Contains(string(encoded), `"orig":[1]`) {
			t.Fatalf("%s does not repeat what was asked", encoded)
		}
		if text := string(got["server_rx"].(json.Number)); text != fmt.Sprintf("%d.%06d", received.UnixMicro()/1e6, received.UnixMicro()%1e6) {
			t.Fatalf("%s is not %v", text, received)
		}
	})
}

func BenchmarkEncodeMessage(b *testing.B) {
	body, received := strings.Repeat("5a", 256), time.Now()
	for b.Loop() {
		_ = encodeMessage("message", member{"side", "0123456789"}, member{"phase", "0"}, member{"body", body}, member{"id", (*string)(nil)}, member{"server_rx", seconds(received)})
	}
}
