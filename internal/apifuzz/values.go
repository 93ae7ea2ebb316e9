package apifuzz

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"pgregory.net/rapid"
)

// number returns an integer as JSON has it.
func number(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }

// samples are strings that match a pattern, by the pattern.
var samples = map[string][]string{}

// addSamples finds strings for the patterns of a rule and of everything in it.
func addSamples(r *rule, seen map[*rule]bool) {
	if r == nil || seen[r] {
		return
	}
	seen[r] = true
	if r.pattern != nil && samples[r.pattern.String()] == nil {
		g := rapid.StringMatching(r.pattern.String())
		for i := range 200 {
			if s := g.Example(i); r.breach(s, "") == "" {
				samples[r.pattern.String()] = append(samples[r.pattern.String()], s)
			}
		}
	}
	for _, m := range r.members {
		addSamples(m, seen)
	}
	for _, one := range r.oneOf {
		addSamples(one, seen)
	}
	addSamples(r.items, seen)
}

// words are strings for where any will do.
var words = []string{
	"", "x", "pake", "0", "7b22b1e4", "Tea at four?", "é\u202e", "\u0434\u0430", "\u2028", "\"\\/", "<script>", "%00", "../..", "\ufeff", "🫖", "\ufffd", " ", "null",
	strings.Repeat("y", 64), strings.Repeat("z", 128), strings.Repeat("é", 255),
}

// value draws a value that a rule takes. name is that of the member or the parameter.
func (w *world) value(r *rule, name string) any {
	if drawn, has := w.hint(name); has && r.breach(drawn, "") == "" {
		return drawn
	}
	if len(r.oneOf) > 0 {
		return w.value(r.oneOf[w.draw(len(r.oneOf))], name)
	}
	if r.constant != nil {
		return r.constant
	}
	if len(r.enum) > 0 {
		return r.enum[w.draw(len(r.enum))]
	}
	kind := "object"
	if len(r.kinds) > 0 {
		kind = r.kinds[0]
	}
	switch kind {
	case "boolean":
		return w.draw(2) == 0
	case "integer", "number":
		return number(w.integer(r))
	case "string":
		return w.text(r)
	case "array":
		n := r.least + w.draw(min(r.most-r.least, 3)+1)
		if w.draw(200) == 0 {
			n = min(r.most, 101)
		}
		list := make([]any, n)
		for i := range list {
			list[i] = w.value(r.items, name)
		}
		return list
	}
	object := map[string]any{}
	for _, member := range r.names {
		if slices.Contains(r.required, member) || w.draw(5) < 2 {
			object[member] = w.value(r.members[member], member)
		}
	}
	if !r.closed && len(r.names) == 0 && w.draw(2) == 0 { // anything
		object["x"] = w.evil(2)
	}
	return object
}

func (w *world) integer(r *rule) int64 {
	least, most := int64(0), int64(1<<53-1)
	if r.bounded {
		least, most = r.min, r.max
	}
	switch w.draw(8) {
	case 0:
		return least
	case 1:
		return most
	case 2:
		return least + w.rng.Int64N(most-least+1)
	default:
		return min(most, least+int64(w.draw(20)))
	}
}

func (w *world) text(r *rule) string {
	if r.pattern != nil {
		for list := samples[r.pattern.String()]; ; { // of which other rules with the same pattern may be longer or shorter
			if s := list[w.draw(len(list))]; r.breach(s, "") == "" {
				return s
			}
		}
	}
	for range 5 {
		if s := words[w.draw(len(words))]; r.breach(s, "") == "" {
			return s
		}
	}
	return strings.Repeat("w", max(r.least, 1))
}

// wrong are values of which one at least breaks any rule of the contract.
var wrong = []any{
	nil, true, false, json.Number("-1"), json.Number("1.5"), json.Number("9007199254740992"), json.Number("1e300"), "", "\x00", "a\nb", "no mood",
	strings.Repeat("q", 600), strings.Repeat("q", 70_000),
	[]any{},
	[]any{nil, nil, nil},
	map[string]any{},
	map[string]any{"": "x"},
}

// spoil returns a value that breaks the rule in one place, and false if it found none.
func (w *world) spoil(r *rule, v any) (any, bool) {
	for range 6 {
		if spoiled := w.change(r, v); r.breach(spoiled, "") != "" {
			return spoiled, true
		}
	}
	return v, false
}

func (w *world) change(r *rule, v any) any {
	object, is := v.(map[string]any)
	if list, many := v.([]any); many && len(list) > 0 && r.items != nil && w.draw(3) > 0 {
		list = slices.Clone(list)
		i := w.draw(len(list))
		list[i] = w.change(r.items, list[i])
		return list
	}
	if !is || w.draw(12) == 0 {
		if len(r.oneOf) > 0 && is {
			return w.change(r.oneOf[0], v)
		}
		return w.wrongValue()
	}
	if len(r.oneOf) > 0 {
		r = r.oneOf[0] // those of requests begin with the object
	}
	object = maps.Clone(object)
	switch n := w.draw(10); {
	case n < 3 && len(r.required) > 0:
		delete(object, r.required[w.draw(len(r.required))])
	case n < 5 && r.closed:
		object[[]string{"x", "", "Body", "é\n", "sessionID"}[w.draw(5)]] = w.wrongValue()
	case len(r.names) > 0:
		member := r.names[w.draw(len(r.names))]
		if had, has := object[member]; has && w.draw(3) > 0 {
			object[member] = w.change(r.members[member], had)
			break
		}
		object[member] = w.wrongValue()
	}
	return object
}

// wrongValue draws a value that is not what it should be. The large one is rare.
func (w *world) wrongValue() any {
	v := wrong[w.draw(len(wrong))]
	if s, is := v.(string); is && len(s) > 1000 && w.draw(20) > 0 {
		return "q"
	}
	return v
}

// evil draws any value.
func (w *world) evil(depth int) any {
	switch n := w.draw(10); {
	case n < 2:
		return words[w.draw(len(words))]
	case n < 4:
		return number(w.rng.Int64() >> w.draw(64))
	case n < 5 && depth > 0:
		return []any{w.evil(depth - 1), w.evil(depth - 1)}
	case n < 6 && depth > 0:
		return map[string]any{words[w.draw(len(words))]: w.evil(depth - 1), "body": w.evil(depth - 1)}
	default:
		return w.wrongValue()
	}
}
