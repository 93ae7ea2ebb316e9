package openapi_test

import (
	"cmp"
	"encoding/json"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v3"

	"restante/openapi"
)

// private matches the extensions that only a server needs. They belong in overlay.yaml.
var private = regexp.MustCompile(`\bx-(go|oapi|enum|omitempty|omitzero|order)[a-z-]*:`)

func TestContractIsPublic(t *testing.T) {
	for i, line := range strings.Split(string(openapi.YAML), "\n") {
		if found := private.FindString(line); found != "" {
			t.Errorf("openapi.yaml:%d: %s belongs in overlay.yaml", i+1, found)
		}
	}
}

// overlaid returns the contract from which api/ is generated: openapi.yaml with overlay.yaml applied.
func overlaid(t *testing.T) *openapi3.T {
	t.Helper()
	var tree any
	if err := yaml.Unmarshal(openapi.YAML, &tree); err != nil {
		t.Fatal(err)
	}
	var overlay struct {
		Actions []struct {
			Target string
			Update map[string]any
		}
	}
	decodeFile(t, "overlay.yaml", &overlay)
	if len(overlay.Actions) == 0 {
		t.Fatal("overlay.yaml has no actions")
	}
	for _, action := range overlay.Actions {
		target := find(t, tree, action.Target)
		for name, value := range action.Update {
			if _, written := target[name]; written {
				t.Errorf("%s: the overlay replaces %s, which the contract says", action.Target, name)
			}
			target[name] = value
		}
	}
	text, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// step matches one step of the JSONPath expressions that overlay.yaml uses: .name, ['name'], or the list item of a name.
var step = regexp.MustCompile(`^(?:\.(\w+)|\['([^']+)'\]|\[\?\(@\.name == '([^']+)'\)\])`)

// find returns the object at a JSONPath.
func find(t *testing.T, tree any, path string) map[string]any {
	t.Helper()
	rest, isPath := strings.CutPrefix(path, "$")
	for rest != "" && isPath {
		match := step.FindStringSubmatch(rest)
		if match == nil {
			break
		}
		rest = rest[len(match[0]):]
		if item := match[3]; item != "" {
			list, _ := tree.([]any)
			at := slices.IndexFunc(list, func(v any) bool { m, _ := v.(map[string]any); return m["name"] == item })
			if at < 0 {
				t.Fatalf("%s: there is no %s", path, item)
			}
			tree = list[at]
			continue
		}
		object, _ := tree.(map[string]any)
		tree = object[match[1]+match[2]]
	}
	target, isObject := tree.(map[string]any)
	if rest != "" || !isPath || !isObject {
		t.Fatalf("%s is not the path of an object of openapi.yaml", path)
	}
	return target
}

// excluded returns the operations for which api/config.yaml generates nothing.
func excluded(t *testing.T) []string {
	t.Helper()
	var config struct {
		Output struct {
			Excluded []string `yaml:"exclude-operation-ids"` //nolint:tagliatelle // the name that oapi-codegen gives it
		} `yaml:"output-options"` //nolint:tagliatelle // the same
	}
	decodeFile(t, "../api/config.yaml", &config)
	if len(config.Output.Excluded) == 0 {
		t.Fatal("api/config.yaml excludes nothing")
	}
	return config.Output.Excluded
}

func decodeFile(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

// The generated server enforces validator tags and not schemas, so they must say the same.
func TestValidatorTagsRestateTheSchemas(t *testing.T) {
	doc := overlaid(t)
	unserved := excluded(t)
	seen := map[*openapi3.Schema]bool{}
	var object func(t *testing.T, where string, s *openapi3.Schema)
	object = func(t *testing.T, where string, s *openapi3.Schema) {
		t.Helper()
		if seen[s] {
			return
		}
		seen[s] = true
		for _, variant := range s.OneOf { // an object, or a list of objects, which the handler decodes
			if variant = cmp.Or(variant.Value.Items, variant); len(variant.Value.OneOf) > 0 {
				t.Errorf("%s: a choice within a choice", where)
			}
			object(t, where, variant.Value)
		}
		if len(s.OneOf) > 0 {
			return
		}
		if s.AdditionalProperties.Has == nil || *s.AdditionalProperties.Has {
			t.Errorf("%s: additionalProperties is not false", where)
		}
		for name, property := range s.Properties {
			restates(t, where+"."+name, tag(property.Extensions, property.Value.Extensions), slices.Contains(s.Required, name), property.Value)
			if property.Value.Type.Is("object") && property.Value.AdditionalProperties.Has == nil {
				t.Errorf("%s.%s: additionalProperties is not said", where, name)
			} else if len(property.Value.Properties) > 0 {
				object(t, where+"."+name, property.Value)
			}
		}
	}
	for _, item := range doc.Paths.Map() {
		for _, p := range item.Parameters {
			restates(t, p.Value.Name, tag(p.Value.Extensions), p.Value.Required, p.Value.Schema.Value)
		}
	}
	operations(t, doc, func(t *testing.T, op *openapi3.Operation) {
		if slices.Contains(unserved, op.OperationID) {
			return
		}
		for _, p := range op.Parameters {
			restates(t, p.Value.Name, tag(p.Value.Extensions), p.Value.Required, p.Value.Schema.Value)
		}
		if op.RequestBody == nil {
			return
		}
		body := op.RequestBody.Value.Content["application/json"].Schema.Value
		if body.Extensions["x-go-type"] != "json.RawMessage" { // which the handler checks, as it keeps it as it comes
			object(t, "body", body)
		}
	})
}

// tag returns the validator tag that stands in the first of the extensions that has one.
func tag(extensions ...map[string]any) string {
	for _, e := range extensions {
		if tags, ok := e["x-oapi-codegen-extra-tags"].(map[string]any); ok {
			return tags["validate"].(string)
		}
	}
	return ""
}

func restates(t *testing.T, where, tag string, required bool, s *openapi3.Schema) {
	t.Helper()
	want := []string{"omitempty"}
	if required {
		want = []string{"required"}
	}
	want = append(want, rules(s)...)
	if got := strings.Split(tag, ","); !slices.Equal(got, want) {
		t.Errorf("%s: the tag is %q, but the schema says %q", where, tag, strings.Join(want, ","))
	}
}

// rules writes a schema's constraints as validator tags.
func rules(s *openapi3.Schema) (list []string) {
	// Patterns that are a rule of their own. Lengths are part of them, except plain's.
	named := map[string]string{
		`^[A-Za-z0-9_-]{22,64}$`: "sessionid",
		`^[0-9a-f]{64}$`:         "sessionkey",
		`^(k|k[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,62}|[A-Za-jl-z0-9._~-][A-Za-z0-9._~-]{0,63})$`: "side",
		`^[0-9]{1,40}$`: "nameplate",
		`^([A-Za-z0-9_~-][A-Za-z0-9._~-]{0,127}|\.[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,126}|\.\.[A-Za-z0-9._~-]{1,126})$`: "mailbox",
		`^[^\x00-\x1F\x7F-\x9F]*$`: "plain",
	}
	number := func(f float64) string { return strconv.FormatInt(int64(f), 10) }
	if s.Min != nil {
		list = append(list, "min="+number(*s.Min))
	}
	if s.Max != nil {
		list = append(list, "max="+number(*s.Max))
	}
	if s.MinLength > 0 {
		list = append(list, "min="+strconv.FormatUint(s.MinLength, 10))
	}
	switch {
	case s.MaxLength == nil:
	case *s.MaxLength == math.MaxUint16+1: // a message's body is counted in bytes
		list = append(list, "maxbytes=65536")
	default:
		list = append(list, "max="+strconv.FormatUint(*s.MaxLength, 10))
	}
	if s.Pattern != "" {
		list = append(list, named[s.Pattern])
	}
	if len(s.Enum) > 0 {
		var values []string
		for _, v := range s.Enum {
			values = append(values, v.(string))
		}
		list = append(list, "oneof="+strings.Join(values, " "))
	}
	if s.Items != nil && s.MaxItems != nil && s.MinItems == *s.MaxItems {
		list = append(list, "len="+strconv.FormatUint(s.MinItems, 10), "dive")
		list = append(list, rules(s.Items.Value)...)
	}
	return list
}
