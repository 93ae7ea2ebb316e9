package apifuzz

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
)

// rule is a schema of the contract, compiled.
type rule struct {
	kinds       []string // of JSON; none: any
	enum        []any
	constant    any // nil: none
	min, max    int64
	bounded     bool // by min and max
	least, most int  // characters of a string, or items of a list
	pattern     *regexp.Regexp
	members     map[string]*rule
	names       []string // of members, sorted
	required    []string
	closed      bool // it has no other members
	items       *rule
	oneOf       []*rule
}

// compiler compiles schemas, each once.
type compiler map[*openapi3.Schema]*rule

// unlimited stands for no limit on a length.
const unlimited = 1 << 30

func (c compiler) compile(ref *openapi3.SchemaRef) *rule {
	if ref == nil || ref.Value == nil {
		return &rule{most: unlimited}
	}
	s := ref.Value
	if r := c[s]; r != nil {
		return r
	}
	r := &rule{enum: s.Enum, constant: s.Const, most: unlimited, required: s.Required, members: map[string]*rule{}}
	c[s] = r
	if s.Type != nil {
		r.kinds = s.Type.Slice()
	}
	if s.Min != nil || s.Max != nil {
		r.bounded, r.min, r.max = true, -1<<53, 1<<53
		if s.Min != nil {
			r.min = int64(*s.Min)
		}
		if s.Max != nil {
			r.max = int64(*s.Max)
		}
	}
	r.least = int(s.MinLength + s.MinItems) // #nosec G115 -- the contract has small ones
	for _, most := range []*uint64{s.MaxLength, s.MaxItems} {
		if most != nil {
			r.most = int(*most) // #nosec G115 -- the contract has small ones
		}
	}
	if s.Pattern != "" {
		r.pattern = regexp.MustCompile(s.Pattern)
	}
	r.closed = s.AdditionalProperties.Has != nil && !*s.AdditionalProperties.Has
	for name, member := range s.Properties {
		r.members[name] = c.compile(member)
	}
	r.names = slices.Sorted(maps.Keys(r.members))
	if s.Items != nil {
		r.items = c.compile(s.Items)
	}
	for _, one := range s.OneOf {
		r.oneOf = append(r.oneOf, c.compile(one))
	}
	return r
}

// takes reports whether values may be of a kind.
func (r *rule) takes(kind string) bool { return len(r.kinds) == 0 || slices.Contains(r.kinds, kind) }

// breach tells how a value breaks the rule; "" if it does not. at is where the value stands. Numbers are json.Number.
func (r *rule) breach(v any, at string) string {
	if len(r.oneOf) > 0 {
		return r.breachOfOne(v, at)
	}
	if r.constant != nil && fmt.Sprint(v) != fmt.Sprint(r.constant) {
		return fmt.Sprintf("%s is %v, not %v", at, v, r.constant)
	}
	if len(r.enum) > 0 && !slices.ContainsFunc(r.enum, func(e any) bool { return e == v }) {
		return fmt.Sprintf("%s is %v, none of %v", at, v, r.enum)
	}
	if kind := kindOf(v); !r.takes(kind) && (kind != "integer" || !r.takes("number")) {
		return fmt.Sprintf("%s is of kind %s, not %v", at, kind, r.kinds)
	}
	switch v := v.(type) {
	case json.Number:
		n, err := v.Int64()
		if r.bounded && (err != nil || n < r.min || n > r.max) {
			return fmt.Sprintf("%s is %v, not from %d to %d", at, v, r.min, r.max)
		}
	case string:
		if n := utf8.RuneCountInString(v); n < r.least || n > r.most {
			return fmt.Sprintf("%s has %d characters, not %d to %d", at, n, r.least, r.most)
		}
		if r.pattern != nil && !r.pattern.MatchString(v) {
			return fmt.Sprintf("%s is %.80q, which does not match %v", at, v, r.pattern)
		}
	case []any:
		if len(v) < r.least || len(v) > r.most {
			return fmt.Sprintf("%s has %d items, not %d to %d", at, len(v), r.least, r.most)
		}
		for i, item := range v {
			if r.items == nil {
				break
			}
			if why := r.items.breach(item, at+"/item"); why != "" {
				return fmt.Sprintf("%s (%d)", why, i)
			}
		}
	case map[string]any:
		return r.breachOfObject(v, at)
	}
	return ""
}

func (r *rule) breachOfOne(v any, at string) string {
	fits, why := 0, ""
	for _, one := range r.oneOf {
		if w := one.breach(v, at); w != "" {
			why = w
			continue
		}
		fits++
	}
	if fits != 1 {
		return fmt.Sprintf("%s fits %d of %d schemas: %s", at, fits, len(r.oneOf), why)
	}
	return ""
}

func (r *rule) breachOfObject(v map[string]any, at string) string {
	for _, name := range r.required {
		if _, has := v[name]; !has {
			return fmt.Sprintf("%s has no %s", at, name)
		}
	}
	for name, member := range v {
		if of := r.members[name]; of != nil {
			if why := of.breach(member, at+"/"+name); why != "" {
				return why
			}
			continue
		}
		if r.closed {
			return fmt.Sprintf("%s has a member %.80q", at, name)
		}
	}
	return ""
}

func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case json.Number:
		if _, err := v.Int64(); err == nil {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	default:
		return "object"
	}
}
