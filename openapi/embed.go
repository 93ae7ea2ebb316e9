// Package openapi holds openapi.yaml, the contract: what the server promises, written by hand. The code in api/ is
// generated from these bytes, the tests check the server against them, and the server serves them.
package openapi

import (
	"bytes"
	_ "embed" // for YAML
	"encoding/json"
	"fmt"
	"sync"

	"go.yaml.in/yaml/v3"
)

// YAML is the contract as it was written.
//
//go:embed openapi.yaml
var YAML []byte

// JSON returns the same document as JSON, with its members in the order in which they were written.
// JSON computes it once. The caller must not change it.
func JSON() ([]byte, error) { return asJSON() }

// The YAML library is the maintained one, which goose needs too.
var asJSON = sync.OnceValues(func() ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(YAML, &doc); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	var text bytes.Buffer
	if err := appendJSON(&text, doc.Content[0]); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	return text.Bytes(), nil
})

// appendJSON appends node to text as JSON. A yaml.Node, unlike a map, keeps the order of its members.
// The contract uses no aliases, so appendJSON does not follow them.
func appendJSON(text *bytes.Buffer, node *yaml.Node) error {
	separate := func(i int) {
		if i > 0 {
			text.WriteByte(',')
		}
	}
	switch node.Kind {
	case yaml.MappingNode:
		text.WriteByte('{')
		for i := 0; i < len(node.Content); i += 2 {
			separate(i)
			if err := appendValue(text, node.Content[i].Value); err != nil {
				return err
			}
			text.WriteByte(':')
			if err := appendJSON(text, node.Content[i+1]); err != nil {
				return err
			}
		}
		text.WriteByte('}')
		return nil
	case yaml.SequenceNode:
		text.WriteByte('[')
		for i, item := range node.Content {
			separate(i)
			if err := appendJSON(text, item); err != nil {
				return err
			}
		}
		text.WriteByte(']')
		return nil
	case yaml.ScalarNode:
		var value any
		if err := node.Decode(&value); err != nil {
			return fmt.Errorf("line %d: %w", node.Line, err)
		}
		return appendValue(text, value)
	default:
		return fmt.Errorf("line %d: a node of kind %d has no JSON", node.Line, node.Kind)
	}
}

// appendValue appends a string, a number, a boolean or null to text as JSON.
func appendValue(text *bytes.Buffer, value any) error {
	encoder := json.NewEncoder(text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	text.Truncate(text.Len() - 1) // Encode ends with a newline
	return nil
}
