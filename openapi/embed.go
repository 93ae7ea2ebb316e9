// Package openapi holds openapi.yaml, the contract: what we promise, written by hand. The same bytes are
// generated from, tested against and served.
package openapi

import (
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

// JSON returns the same document as JSON. It is computed once; do not change it.
func JSON() ([]byte, error) { return asJSON() }

// The YAML library is the maintained one that goose brings along anyway. It decodes mappings into map[string]any as long as all keys are
// strings, which the quoted statuses ("200") see to, so no converter is needed.
var asJSON = sync.OnceValues(func() ([]byte, error) {
	var doc map[string]any
	if err := yaml.Unmarshal(YAML, &doc); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	return json.Marshal(doc)
})
