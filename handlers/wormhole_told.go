package handlers

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"
)

// fields are what a message to the client says, beside its type and the time.
type fields map[string]any

// told is a message to the client.
func told(kind string, says fields) []byte {
	message := append([]byte(`{"type":"`), kind...)
	message = append(message, `","server_tx":`...)
	message = seconds(time.Now()).append(message)
	for _, name := range slices.Sorted(maps.Keys(says)) {
		message = append(message, `,"`...)
		message = append(message, name...)
		message = append(message, `":`...)
		message = appendJSON(message, says[name])
	}
	return append(message, '}')
}

// appendJSON appends a value's JSON.
func appendJSON(to []byte, value any) []byte {
	if raw, is := value.(json.RawMessage); is && len(raw) > 0 {
		return append(to, bytes.TrimSpace(raw)...)
	}
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false) // what is repeated must not grow
	if err := encoder.Encode(value); err != nil {
		panic("unreachable: what is told is made of strings, numbers and JSON that was read: " + err.Error())
	}
	return append(to, bytes.TrimSuffix(encoded.Bytes(), []byte("\n"))...)
}

// seconds is a time in seconds since the epoch, always with a fraction: some
// clients read a number without one as another type.
type fraction time.Time

func seconds(t time.Time) fraction { return fraction(t) }

// MarshalJSON implements json.Marshaler.
func (f fraction) MarshalJSON() ([]byte, error) { return f.append(nil), nil }

func (f fraction) append(to []byte) []byte {
	return strconv.AppendFloat(to, float64(time.Time(f).UnixMicro())/1e6, 'f', 6, 64)
}
