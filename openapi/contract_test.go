package openapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"restante/openapi"
)

func load(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(openapi.YAML)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// operations calls f for each operation, as a subtest of its name.
func operations(t *testing.T, doc *openapi3.T, f func(t *testing.T, op *openapi3.Operation)) {
	t.Helper()
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.OperationID == "" {
				t.Errorf("%s %s has no operationId", method, path)
				continue
			}
			t.Run(op.OperationID, func(t *testing.T) { f(t, op) })
		}
	}
}

func TestContractIsValid(t *testing.T) {
	doc := load(t)
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("openapi: %s", doc.OpenAPI)
	}
}

func TestJSONIsTheSameDocument(t *testing.T) {
	asJSON, err := openapi.JSON()
	if err != nil {
		t.Fatal(err)
	}
	fromJSON, err := openapi3.NewLoader().LoadFromData(asJSON)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plain(t, load(t)), plain(t, fromJSON)); diff != "" {
		t.Errorf("JSON differs from YAML (-yaml +json):\n%s", diff)
	}
}

func TestJSONIsInTheOrderOfTheYAML(t *testing.T) {
	asJSON, err := openapi.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var inYAML []string
	var walk func(node *yaml.Node)
	walk = func(node *yaml.Node) {
		for i, child := range node.Content {
			if node.Kind == yaml.MappingNode && i%2 == 0 {
				inYAML = append(inYAML, child.Value)
			}
			walk(child)
		}
	}
	var root yaml.Node
	if err := yaml.Unmarshal(openapi.YAML, &root); err != nil {
		t.Fatal(err)
	}
	walk(&root)
	var inJSON []string
	for d := jsontext.NewDecoder(bytes.NewReader(asJSON)); ; {
		token, err := d.ReadToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if kind, n := d.StackIndex(d.StackDepth()); kind == '{' && n%2 == 1 {
			inJSON = append(inJSON, token.String())
		}
	}
	if diff := cmp.Diff(inYAML, inJSON); diff != "" {
		t.Errorf("the names of members differ (-yaml +json):\n%s", diff)
	}
}

// plain returns v as the maps and slices that its JSON stands for.
func plain(t *testing.T, v any) (tree any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestOperationsExplainThemselves(t *testing.T) {
	doc := load(t)
	operations(t, doc, func(t *testing.T, op *openapi3.Operation) {
		if op.Summary == "" || op.Description == "" {
			t.Error("no summary or no description")
		}
		if len(op.Tags) != 1 || doc.Tags.Get(op.Tags[0]) == nil {
			t.Errorf("tags %v are not one declared tag", op.Tags)
		}
		if samples, _ := op.Extensions["x-codeSamples"].([]any); len(samples) == 0 {
			t.Error("no x-codeSamples")
		}
		if op.RequestBody != nil {
			for media, content := range op.RequestBody.Value.Content {
				if len(examples(content)) == 0 {
					t.Errorf("request %s has no example", media)
				}
			}
		}
		for status, response := range op.Responses.Map() {
			if response.Value.Description == nil || *response.Value.Description == "" {
				t.Errorf("%s has no description", status)
			}
			for media, content := range response.Value.Content {
				if len(examples(content)) == 0 {
					t.Errorf("%s %s has no example", status, media)
				}
			}
		}
	})
}

func TestExamplesAreValid(t *testing.T) {
	doc := load(t)
	check := func(t *testing.T, where string, schema *openapi3.SchemaRef, values ...any) {
		t.Helper()
		for _, value := range values {
			if err := doc.ValidateSchemaJSON(schema.Value, plain(t, value)); err != nil {
				t.Errorf("%s: %v", where, err)
			}
		}
	}
	headers := func(t *testing.T, where string, headers openapi3.Headers) {
		t.Helper()
		for name, header := range headers {
			if header.Value.Example == nil {
				t.Errorf("%s: header %s has no example", where, name)
			}
			check(t, where+" "+name, header.Value.Schema, header.Value.Example)
		}
	}
	operations(t, doc, func(t *testing.T, op *openapi3.Operation) {
		for _, p := range op.Parameters {
			if p.Value.Example != nil {
				check(t, p.Value.Name, p.Value.Schema, p.Value.Example)
			}
		}
		if op.RequestBody != nil {
			for media, content := range op.RequestBody.Value.Content {
				check(t, "request "+media, content.Schema, examples(content)...)
			}
		}
		for status, response := range op.Responses.Map() {
			headers(t, status, response.Value.Headers)
			for media, content := range response.Value.Content {
				check(t, status+" "+media, content.Schema, examples(content)...)
			}
		}
	})
	for name, response := range doc.Components.Responses { // the router's, too
		headers(t, name, response.Value.Headers)
	}
	for name, schema := range doc.Components.Schemas {
		check(t, name, schema, schema.Value.Examples...)
	}
}

func examples(content *openapi3.MediaType) (values []any) {
	if content.Example != nil {
		values = append(values, content.Example)
	}
	for _, example := range content.Examples {
		values = append(values, example.Value.Value)
	}
	return values
}

// codes returns what a failure's x-codes lists.
func codes(t *testing.T, response *openapi3.Response) (list []string) {
	t.Helper()
	values, _ := response.Extensions["x-codes"].([]any)
	for _, v := range values {
		list = append(list, v.(string))
	}
	return list
}

func TestEveryFailureIsAProblemWithCodes(t *testing.T) {
	doc := load(t)
	known := map[string]bool{} // code -> answered somewhere
	for _, code := range doc.Components.Schemas["Code"].Value.Enum {
		known[code.(string)] = false
	}
	failure := func(t *testing.T, status string, response *openapi3.Response) {
		t.Helper()
		list := codes(t, response)
		if len(list) == 0 {
			t.Errorf("%s has no x-codes", status)
		}
		for _, code := range list {
			if _, ok := known[code]; !ok {
				t.Errorf("%s: %s is not in the enum of Code", status, code)
			}
			known[code] = true
			if !strings.Contains(*response.Description, "`"+code+"`") {
				t.Errorf("%s: the description does not mention %s", status, code)
			}
			if row := "| `" + code + "` | " + status + " |"; !strings.Contains(doc.Info.Description, row) {
				t.Errorf("the table in info.description has no row %q", row)
			}
		}
		media := response.Content["application/problem+json"]
		if len(response.Content) != 1 || media == nil || media.Schema.Ref != "#/components/schemas/Problem" {
			t.Fatalf("%s is not answered with a Problem alone", status)
		}
		example := plain(t, media.Example).(map[string]any)
		code := example["code"].(string)
		if strconv.Itoa(int(example["status"].(float64))) != status || !slices.Contains(list, code) {
			t.Errorf("%s: the example is a %v %s", status, example["status"], code)
		}
		if want := "urn:restante:problem:" + strings.ReplaceAll(strings.ToLower(code), "_", "-"); example["type"] != want {
			t.Errorf("%s: the example's type is %v, want %s", status, example["type"], want)
		}
		if row := "| `" + code + "` | " + status + " | " + example["action"].(string) + " |"; !strings.Contains(doc.Info.Description, row) {
			t.Errorf("the table in info.description has no row %q", row)
		}
		if header := response.Headers["Retry-After"]; (status == "429" || status == "503") && (header == nil || !header.Value.Required) {
			t.Errorf("%s does not promise Retry-After", status)
		}
	}
	operations(t, doc, func(t *testing.T, op *openapi3.Operation) {
		for status, response := range op.Responses.Map() {
			if status[0] <= '3' {
				if len(codes(t, response.Value)) != 0 {
					t.Errorf("%s has x-codes, but is no failure", status)
				}
				continue
			}
			failure(t, status, response.Value)
		}
	})
	router, _ := doc.Extensions["x-router-responses"].(map[string]any)
	for status, ref := range router {
		if status[0] <= '3' {
			continue // which is no failure
		}
		name := strings.TrimPrefix(ref.(map[string]any)["$ref"].(string), "#/components/responses/")
		response := doc.Components.Responses[name]
		if response == nil {
			t.Fatalf("x-router-responses: %s: no component %s", status, name)
		}
		failure(t, status, response.Value)
	}
	for _, code := range slices.Sorted(maps.Keys(known)) {
		if !known[code] {
			t.Errorf("%s is in the enum of Code, but nothing answers it", code)
		}
	}
}

// What needs a session promises what is promised everywhere.
func TestBoundOperationsAreAlike(t *testing.T) {
	doc := load(t)
	operations(t, doc, func(t *testing.T, op *openapi3.Operation) {
		if !takesSession(op) {
			return
		}
		// receive has the parameter ack, and names the header only in words: see overlay.yaml.
		if op.Parameters.GetByInAndName("header", "Ack") == nil && op.Parameters.GetByInAndName("query", "ack") == nil {
			t.Error("no parameter Ack")
		}
		if op.RequestBody != nil {
			for _, status := range []int{http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType} {
				if op.Responses.Status(status) == nil {
					t.Errorf("no %d, but a body", status)
				}
			}
		}
		for _, status := range []int{400, 401, 403, 409, 410, 429, 500, 503} {
			if op.Responses.Status(status) == nil {
				t.Errorf("no %d", status)
			}
		}
		conflicts := codes(t, op.Responses.Status(409).Value)
		if !slices.Contains(conflicts, "SESSION_STATE_MISMATCH") {
			t.Error("409 is without SESSION_STATE_MISMATCH")
		}
		numbered := op.Parameters.GetByInAndName("header", "Seq") != nil
		for _, code := range []string{"SEQ_GAP", "SEQ_REUSED", "REPLY_FORGOTTEN"} {
			if slices.Contains(conflicts, code) != numbered {
				t.Errorf("takes Seq: %v; answers %s: %v", numbered, code, !numbered)
			}
		}
		if slices.Contains(codes(t, op.Responses.Status(503).Value), "OUTCOME_UNKNOWN") != numbered {
			t.Error("OUTCOME_UNKNOWN goes with Seq")
		}
		for status, response := range op.Responses.Map() {
			if cache := response.Value.Headers["Cache-Control"]; cache == nil || !cache.Value.Required {
				t.Errorf("%s does not promise Cache-Control", status)
			}
			_, replayed := response.Value.Headers["Replayed"]
			if status[0] == '2' && (response.Value.Headers["Ack"] == nil || replayed != numbered) {
				t.Errorf("%s has the wrong headers", status)
			}
		}
	})
}

// takesSession reports whether an operation asks for a session, or also takes another credential.
func takesSession(op *openapi3.Operation) bool {
	return op.Security == nil || slices.ContainsFunc(*op.Security, func(r openapi3.SecurityRequirement) bool {
		_, session := r["session"]
		return session
	})
}
