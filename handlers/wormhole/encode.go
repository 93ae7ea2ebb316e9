package wormhole

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// member is a member of a message to the client, besides its type and the time.
type member struct {
	name  string
	value any
}

// encodeMessage encodes a message to the client.
func encodeMessage(kind string, members ...member) []byte {
	size := 64
	for _, m := range members {
		size += len(m.name) + sizeOf(m.value)
	}
	message := append(make([]byte, 0, size), `{"type":"`...)
	message = append(message, kind...)
	message = append(message, `","server_tx":`...)
	message = seconds(time.Now()).append(message)
	for _, m := range members {
		message = append(message, `,"`...)
		message = append(message, m.name...)
		message = append(message, `":`...)
		message = appendJSON(message, m.value)
	}
	return append(message, '}')
}

// sizeOf returns about how many bytes the JSON of a value takes.
func sizeOf(value any) int {
	switch value := value.(type) {
	case json.RawMessage:
		return len(value) + 4
	case string:
		return len(value) + 6
	default:
		return 32
	}
}

// appendJSON appends the JSON of a value.
func appendJSON(to []byte, value any) []byte {
	switch value := value.(type) {
	case json.RawMessage:
		if len(value) > 0 {
			return append(to, bytes.TrimSpace(value)...)
		}
	case *string:
		if value == nil {
			return append(to, "null"...)
		}
		return appendJSON(to, *value)
	case string:
		to, _ = jsontext.AppendQuote(to, value) // what is no UTF-8 is replaced
		return to
	case seconds:
		return value.append(to)
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

func (s seconds) append(to []byte) []byte {
	return strconv.AppendFloat(to, float64(time.Time(s).UnixMicro())/1e6, 'f', 6, 64)
}
