package wormhole

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"
)

// fields are the members of a message to the client, besides its type and the time.
type fields map[string]any

// encodeMessage encodes a message to the client.
func encodeMessage(kind string, members fields) []byte {
	message := append([]byte(`{"type":"`), kind...)
	message = append(message, `","server_tx":`...)
	message = seconds(time.Now()).append(message)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		message = append(message, `,"`...)
		message = append(message, name...)
		message = append(message, `":`...)
		message = appendJSON(message, members[name])
	}
	return append(message, '}')
}

// appendJSON appends the JSON of a value.
func appendJSON(to []byte, value any) []byte {
	if raw, is := value.(json.RawMessage); is && len(raw) > 0 {
		return append(to, bytes.TrimSpace(raw)...)
	}
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false) // what an error repeats must not grow
	if err := encoder.Encode(value); err != nil {
		panic("unreachable: a message is made of strings, numbers and JSON that was read: " + err.Error())
	}
	return append(to, bytes.TrimSuffix(encoded.Bytes(), []byte("\n"))...)
}

// seconds is a time in seconds since the epoch. Its JSON always has a fraction: some clients read a number without
// one as another type.
type seconds time.Time

// MarshalJSON implements [json.Marshaler].
func (s seconds) MarshalJSON() ([]byte, error) { return s.append(nil), nil }

func (s seconds) append(to []byte) []byte {
	return strconv.AppendFloat(to, float64(time.Time(s).UnixMicro())/1e6, 'f', 6, 64)
}
