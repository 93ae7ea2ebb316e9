// Package api is the promise in Go: types and routing generated from openapi/openapi.yaml, and nothing by hand.
// Package handlers keeps the promise by implementing StrictServerInterface.
package api

// The tool and its version are pinned in .ci/tools.mod. Paths in config.yaml are from the root of the repository.
//go:generate go -C .. tool -modfile=.ci/tools.mod oapi-codegen -config api/config.yaml openapi/openapi.yaml
