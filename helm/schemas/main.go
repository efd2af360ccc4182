// Command schemas writes the JSON schemas that kubeconform checks manifests with:
// from Kubernetes' own OpenAPI document and from CustomResourceDefinitions, all of
// which lie in Go modules. kubeconform's usual schemas are on the network.
//
//	schemas OUT swagger.json CRD.yaml…
//	kubeconform -strict -schema-location 'OUT/{{.ResourceKind}}{{.KindSuffix}}.json'
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: schemas OUT swagger.json CRD.yaml…")
		os.Exit(2)
	}
	count, err := write(os.Args[1], os.Args[2], os.Args[3:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "schemas: "+err.Error())
		os.Exit(1)
	}
	fmt.Fprintf(os.Stdout, "%d schemas in %s\n", count, os.Args[1])
}

// schema is a JSON schema, or a part of one.
type schema = map[string]any

// definitions is the file that core schemas refer to.
const definitions = "_definitions.json"

// write fills out with a schema for each kind and gives their number.
func write(out, openAPI string, crds []string) (int, error) {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return 0, fmt.Errorf("making the folder: %w", err)
	}
	count, err := writeCore(out, openAPI)
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", openAPI, err)
	}
	for _, path := range crds {
		n, err := writeCRDs(out, path)
		if err != nil {
			return 0, fmt.Errorf("reading %s: %w", path, err)
		}
		count += n
	}
	return count, nil
}

type kind struct {
	Group   string `json:"group"`
	Version string `json:"version"`
	Kind    string `json:"kind"`
}

// file is kubeconform's {{.ResourceKind}}{{.KindSuffix}}.json.
func (k kind) file() string {
	parts := []string{k.Kind}
	if group, _, _ := strings.Cut(k.Group, "."); group != "" {
		parts = append(parts, group)
	}
	return strings.ToLower(strings.Join(append(parts, k.Version), "-")) + ".json"
}

// maxFile bounds a document; Kubernetes' has 4.5 MB.
const maxFile = 64 << 20

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile))
}

func writeCore(out, path string) (int, error) {
	text, err := readFile(path)
	if err != nil {
		return 0, err
	}
	var document struct {
		Definitions map[string]schema `json:"definitions"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return 0, err
	}
	count := 0
	for name, s := range document.Definitions {
		for _, k := range kindsOf(s) {
			if err := writeJSON(filepath.Join(out, k.file()), schema{"$ref": definitions + "#/definitions/" + name}); err != nil {
				return 0, err
			}
			count++
		}
		strict(s)
	}
	document.Definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = schema{"type": []string{"string", "number"}}
	return count, writeJSON(filepath.Join(out, definitions), document)
}

// kindsOf gives the kinds that a definition is the schema of.
func kindsOf(s schema) []kind {
	text, err := json.Marshal(s["x-kubernetes-group-version-kind"])
	if err != nil {
		return nil
	}
	var all, kinds []kind
	if json.Unmarshal(text, &all) != nil {
		return nil
	}
	for _, k := range all {
		if k.Kind != "DeleteOptions" && k.Kind != "WatchEvent" { // these are of every group
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// strict closes objects against unknown members, and takes what the API server
// takes besides: numbers as text where either is allowed, and null for absent.
func strict(s schema) {
	for _, key := range []string{"properties", "patternProperties"} {
		members, _ := s[key].(schema)
		for _, m := range members {
			if member, ok := m.(schema); ok {
				strict(member)
				if text, ok := member["type"].(string); ok {
					member["type"] = []string{text, "null"}
				}
			}
		}
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if inner, ok := s[key].(schema); ok {
			strict(inner)
		}
	}
	if s["format"] == "int-or-string" || s["x-kubernetes-int-or-string"] == true {
		delete(s, "anyOf")
		s["type"] = []string{"string", "integer"}
	}
	delete(s, "format")
	_, has := s["properties"]
	if _, says := s["additionalProperties"]; has && !says && s["x-kubernetes-preserve-unknown-fields"] != true {
		s["additionalProperties"] = false
	}
}

func writeCRDs(out, path string) (count int, err error) {
	text, err := readFile(path)
	if err != nil {
		return 0, err
	}
	for decoder := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var crd struct {
			Kind string `yaml:"kind"`
			Spec struct {
				Group string `yaml:"group"`
				Names struct {
					Kind string `yaml:"kind"`
				} `yaml:"names"`
				Versions []struct {
					Name   string `yaml:"name"`
					Schema struct {
						Root schema `yaml:"openAPIV3Schema"`
					} `yaml:"schema"`
				} `yaml:"versions"`
			} `yaml:"spec"`
		}
		if err := decoder.Decode(&crd); errors.Is(err, io.EOF) {
			return count, nil
		} else if err != nil {
			return count, err
		}
		if crd.Kind != "CustomResourceDefinition" {
			continue
		}
		for _, v := range crd.Spec.Versions {
			root := v.Schema.Root
			strict(root)
			if members, ok := root["properties"].(schema); ok {
				members["metadata"] = schema{"type": "object"}
			}
			if err := writeJSON(filepath.Join(out, kind{crd.Spec.Group, v.Name, crd.Spec.Names.Kind}.file()), root); err != nil {
				return count, err
			}
			count++
		}
	}
}

func writeJSON(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}
