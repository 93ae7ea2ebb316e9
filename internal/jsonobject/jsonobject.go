// Package jsonobject reads JSON objects of which some members are looked at and the others are not. Both WebSocket
// protocols use it for their messages, whose members they check one by one.
package jsonobject

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Object is a JSON object whose members have not been decoded.
type Object map[string]json.RawMessage

// Parse parses a JSON object. It returns false for anything else, and for an object that has a member twice: one reader
// would take the first, and another the last.
func Parse(raw []byte) (Object, bool) {
	var o Object
	if !utf8.Valid(raw) || json.Unmarshal(raw, &o) != nil || o == nil || countMembers(raw) != len(o) {
		return nil, false
	}
	return o, true
}

// countMembers returns how many members a JSON object has, which is valid JSON.
func countMembers(raw []byte) (n int) {
	depth, empty := 0, true
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			for i++; raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
				}
			}
			empty = false
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			if depth == 1 {
				n++
			}
		}
	}
	if !empty {
		n++
	}
	return n
}

// String returns a member that is a string. It returns false if there is none, and for a string with half of a
// surrogate pair: it is no text, and decoding it would change it.
func (o Object) String(name string) (value string, ok bool) {
	raw, there := o[name]
	if !there || len(raw) == 0 || raw[0] != '"' || hasHalfPair(raw) {
		return "", false
	}
	return value, json.Unmarshal(raw, &value) == nil
}

// Composed reports whether a member is a list or an object.
func (o Object) Composed(name string) bool {
	raw := o[name]
	return len(raw) > 0 && (raw[0] == '[' || raw[0] == '{')
}

// hasHalfPair reports whether a JSON string escapes half of a surrogate pair without the other half.
func hasHalfPair(raw []byte) bool {
	for i := bytes.IndexByte(raw, '\\'); i >= 0 && i+1 < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if raw[i+1] != 'u' {
			i++
			continue
		}
		unit := escapedUnit(raw[i:])
		i += 5
		if !utf16.IsSurrogate(unit) {
			continue
		}
		if utf16.DecodeRune(unit, escapedUnit(raw[i+1:])) == utf8.RuneError {
			return true
		}
		i += 6
	}
	return false
}

// escapedUnit returns the UTF-16 unit that text begins with, as \uXXXX, or 0.
func escapedUnit(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0
	}
	unit, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return 0
	}
	return rune(unit)
}

// Has reports whether there is such a member.
func (o Object) Has(name string) bool {
	_, there := o[name]
	return there
}
