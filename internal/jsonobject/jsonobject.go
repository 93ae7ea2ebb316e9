// Package jsonobject reads JSON objects of which some members are looked at and the others are not. Both WebSocket
// protocols use it for their messages, whose members they check one by one.
package jsonobject

import (
	"encoding/json"
	"unicode/utf8"
)

// Object is a JSON object whose members have not been decoded.
type Object map[string]json.RawMessage

// Parse parses a JSON object. It returns false for anything else.
func Parse(raw []byte) (Object, bool) {
	var o Object
	if !utf8.Valid(raw) || json.Unmarshal(raw, &o) != nil || o == nil {
		return nil, false
	}
	return o, true
}

// String returns a member that is a string. It returns false if there is none.
func (o Object) String(name string) (value string, ok bool) {
	raw, there := o[name]
	if !there || len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	return value, json.Unmarshal(raw, &value) == nil
}

// Has reports whether there is such a member.
func (o Object) Has(name string) bool {
	_, there := o[name]
	return there
}
