// Package mapping reads what a person writes of a sender's events: where in them
// lies what a timeline needs. Every format of named sources has it.
package mapping

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Mapping says where in an event of this sender lies what a timeline needs. All
// but Types and References' kinds are JSON pointers (RFC 6901) into the body. As
// a file it is YAML or JSON:
//
//	type: /type
//	time: /timestamp
//	id: /data/event_id
//	subject: /data/object/title
//	tenant: /data/workspace
//	livemode: /data/livemode
//	volatile: [/data/attempt]
//	references:
//	  - {kind: customer, id: /data/customer/id, prefix: cus_}
//	  - {kind: email, id: /data/customer/email}
//	types:
//	  order.done: order.completed
type Mapping struct {
	Type     string   // the sender's type
	Time     string   // when it happened: RFC 3339 or seconds since 1970
	ID       string   // the event's own id; "": the format's, or a hash of the body
	Subject  string   // the line that a person would read
	Tenant   string   // the account at the sender
	Livemode string   // false is test data
	Volatile []string // members that differ between two deliveries of one event
	// References, the most telling first.
	References []Reference
	// Types renames the sender's types; others are kept, in lower case with dots.
	Types map[string]string
}

// Reference is where an id of a customer lies.
type Reference struct {
	Kind   string // a word of one's own, or account_uuid, email or domain
	ID     string // JSON pointer to text or a number
	Prefix string // of ids that can only be of this kind, or ""
}

// The bounds of a mapping, which a person writes.
const (
	maxMappingBytes = 64 << 10
	maxList         = source.MaxReferences
	maxTypes        = 1000
)

const defaultKind = "customer"

var kindForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// Parse reads a mapping's file. defaults hold what it need not say; empty text is
// they. fixed are the settings that the format itself decides, so that the file
// must not. The error holds every problem, one a line, each with its path
// ("references[1].id").
func Parse(text []byte, defaults Mapping, fixed ...string) (Mapping, error) {
	m := defaults
	if len(text) > maxMappingBytes {
		return m, fmt.Errorf("the mapping has %d bytes, the bound is %d", len(text), maxMappingBytes)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return m, fmt.Errorf("reading the mapping: %w", err)
	}
	r := reader{fixed: fixed}
	if len(document.Content) > 0 {
		r.mapping(&m, document.Content[0])
	}
	return m, errors.Join(r.problems...)
}

// Kinds are the references' own kinds, in their order.
func (m *Mapping) Kinds() []source.Kind {
	var kinds []source.Kind
	for _, ref := range m.References {
		switch ref.Kind {
		case source.KindAccountUUID, source.KindEmail, source.KindDomain:
		default:
			kind := source.Kind{Name: ref.Kind, Prefix: ref.Prefix}
			if !slices.ContainsFunc(kinds, func(k source.Kind) bool { return k.Name == kind.Name }) {
				kinds = append(kinds, kind)
			}
		}
	}
	if kinds == nil {
		kinds = []source.Kind{{Name: defaultKind}}
	}
	return kinds
}

// EventTypes are the types that it renames.
func (m *Mapping) EventTypes() []source.EventType {
	var types []source.EventType
	for _, vendor := range slices.Sorted(maps.Keys(m.Types)) {
		types = append(types, source.EventType{Vendor: vendor, Type: m.Types[vendor]})
	}
	return types
}

// reader walks a file and keeps every problem.
type reader struct {
	fixed    []string
	problems []error
}

func (r *reader) problem(path, format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf("%s: "+format, append([]any{path}, args...)...))
}

func (r *reader) mapping(m *Mapping, n *yaml.Node) {
	r.members("", n, func(path, key string, value *yaml.Node) bool {
		if slices.Contains(r.fixed, key) {
			r.problem(path, "the format says where it is: leave it out")
			return true
		}
		switch key {
		case "type":
			m.Type = r.pointer(path, value)
		case "time":
			m.Time = r.pointer(path, value)
		case "id":
			m.ID = r.pointer(path, value)
		case "subject":
			m.Subject = r.pointer(path, value)
		case "tenant":
			m.Tenant = r.pointer(path, value)
		case "livemode":
			m.Livemode = r.pointer(path, value)
		case "volatile":
			r.list(path, value, func(path string, value *yaml.Node) {
				m.Volatile = append(m.Volatile, r.pointer(path, value))
			})
		case "references":
			r.list(path, value, func(path string, value *yaml.Node) {
				m.References = append(m.References, r.reference(path, value))
			})
		case "types":
			m.Types = r.types(path, value)
		default:
			return false
		}
		return true
	})
}

func (r *reader) reference(path string, n *yaml.Node) (ref Reference) {
	r.members(path, n, func(path, key string, value *yaml.Node) bool {
		switch key {
		case "kind":
			if ref.Kind = r.text(path, value); ref.Kind != "" && !kindForm.MatchString(ref.Kind) {
				r.problem(path, "%q is not a kind: it is of lower case letters, digits and _, and begins with a letter", ref.Kind)
			}
		case "id":
			ref.ID = r.pointer(path, value)
		case "prefix":
			ref.Prefix = r.text(path, value)
		default:
			return false
		}
		return true
	})
	if n.Kind == yaml.MappingNode && (ref.Kind == "" || ref.ID == "") {
		r.problem(path, "it should have a kind and an id")
	}
	return ref
}

func (r *reader) types(path string, n *yaml.Node) map[string]string {
	types := map[string]string{}
	r.members(path, n, func(path, key string, value *yaml.Node) bool {
		name := r.text(path, value)
		if name != "" && source.TypeName(name) != name {
			r.problem(path, "%q is not an event type: it should be like %s", name, source.TypeName(name))
		}
		types[key] = name
		return true
	})
	if len(types) > maxTypes {
		r.problem(path, "it has %d types, the bound is %d", len(types), maxTypes)
	}
	return types
}

// members calls each with an object's members; false is an unknown one.
func (r *reader) members(path string, n *yaml.Node, each func(path, key string, value *yaml.Node) bool) {
	if n.Kind != yaml.MappingNode {
		r.problem(orTop(path), "it should be a list of name: value")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		at := key
		if path != "" {
			at = path + "." + key
		}
		switch {
		case seen[key]:
			r.problem(at, "it is there twice")
		case !each(at, key, n.Content[i+1]):
			r.problem(at, "a mapping has no such setting")
		}
		seen[key] = true
	}
}

func (r *reader) list(path string, n *yaml.Node, each func(path string, value *yaml.Node)) {
	switch {
	case n.Kind != yaml.SequenceNode:
		r.problem(path, "it should be a list")
	case len(n.Content) > maxList:
		r.problem(path, "it has %d elements, the bound is %d", len(n.Content), maxList)
	default:
		for i, element := range n.Content {
			each(fmt.Sprintf("%s[%d]", path, i), element)
		}
	}
}

// pointer reads a JSON pointer to a member: "" would be the whole event.
func (r *reader) pointer(path string, n *yaml.Node) string {
	text := r.text(path, n)
	if err := rawjson.ValidPointer(text); text != "" && err != nil {
		r.problem(path, "%w", err)
	}
	return text
}

func (r *reader) text(path string, n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || n.Value == "" || !source.IsText(n.Value) {
		r.problem(path, "it should be a text")
		return ""
	}
	return n.Value
}

func orTop(path string) string {
	if path == "" {
		return "the mapping"
	}
	return path
}
