package jsonobject_test

import (
	"testing"

	"restante/internal/jsonobject"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]bool{
		`{}`:                true,
		` {"a": [1, {}]} `:  true,
		`null`:              false,
		`[]`:                false,
		`"{}"`:              false,
		`{`:                 false,
		`{} {}`:             false,
		"{\"a\": \"\xff\"}": false, // no UTF-8
		``:                  false,

		`{"a": 1, "a": 1}`:                         false,
		`{"a": 1, "\u0061": 1}`:                    false,
		`{"": 1, "b": {"a": 1, "a": [1, 2]}}`:      true, // what is inside a member is looked at by its reader
		`{"a": "}\",{", "b": [{}, "\\"], "c": {}}`: true,
		`{"\ud800": 1, "\ud801": 2}`:               false, // one name, once they are decoded
	} {
		if _, ok := jsonobject.Parse([]byte(text)); ok != want {
			t.Errorf("Parse(%q) is %t, want %t", text, ok, want)
		}
	}
}

// A string with half of a surrogate pair is none: decoding it would make one of two.
func TestHalfPairs(t *testing.T) {
	for text, want := range map[string]bool{
		`"\ud83d\ude00"`: true, `"\\ud83d"`: true, `"\\\\ud83d"`: true, `"\u00e9\n\ud83d\ude00."`: true, `"\ufffd"`: true,
		`"a\ud83d"`: false, `"\ude00b"`: false, `"\ude00\ud83d"`: false, `"\ud83d\ud83d\ude00"`: false, `"\ud83d\n"`: false, `"\ud83du"`: false, `"\\\ud83d"`: false,
	} {
		o, ok := jsonobject.Parse([]byte(`{"text": ` + text + `}`))
		if _, isString := o.String("text"); !ok || isString != want {
			t.Errorf("%s is a string: %t, want %t", text, isString, want)
		}
	}
}

func TestMembers(t *testing.T) {
	o, ok := jsonobject.Parse([]byte(`{"text": "a\u00e9", "empty": "", "number": 1, "null": null, "object": {"text": "b"}}`))
	if !ok {
		t.Fatal("not parsed")
	}
	for name, want := range map[string]struct {
		has      bool
		value    string
		isString bool
	}{
		"text":   {true, "aé", true},
		"empty":  {true, "", true},
		"number": {true, "", false},
		"null":   {true, "", false},
		"object": {true, "", false},
		"absent": {false, "", false},
	} {
		value, isString := o.String(name)
		if has := o.Has(name); has != want.has || value != want.value || isString != want.isString {
			t.Errorf("%s: has %t, %q, a string %t; want %+v", name, has, value, isString, want)
		}
	}
}
