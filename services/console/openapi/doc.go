// Package openapi is the HTTP API's contract: openapi.yaml, written by hand, and the server that oapi-codegen makes of
// it (openapi.gen.go, by make generate). What pkg/api has a type for is that type.
package openapi

import _ "embed"

// YAML is the description, as GET /api/v1/openapi.yaml answers it. Don't change it.
//
//go:embed openapi.yaml
var YAML []byte
