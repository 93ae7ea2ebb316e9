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
	} {
		if _, ok := jsonobject.Parse([]byte(text)); ok != want {
			t.Errorf("Parse(%q) is %t, want %t", text, ok, want)
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
