package vendors

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/mapping"
)

// mapped is a source whose events have what its mapping says, and nothing else
// that is known.
type mapped interface {
	source.Source
	Mapping() mapping.Mapping
}

// constant is a format whose events have members that no mapping names, by their
// JSON pointers.
type constant interface{ Constants() map[string]string }

// namedType is the type of a named source's events where none is given.
const namedType = "example.created"

// namedVendor is the sender of a named source. Its events are of the types that
// the mapping renames, or of any other.
func namedVendor(src mapped) *vendor {
	m := src.Mapping()
	v := &vendor{name: src.Name(), tenant: "example", kinds: map[string]string{}, open: true}
	if c, ok := src.(constant); ok {
		v.constants = c.Constants()
	}
	for _, ref := range m.References {
		prefix := ref.Prefix
		if prefix == "" || strings.ContainsAny(prefix, " \t\r\n") {
			prefix = ref.Kind + "_"
		}
		if v.kinds[ref.Kind] == "" {
			v.kinds[ref.Kind] = "id " + prefix + " 14"
		}
	}
	v.forms = []*form{{vendor: namedType, build: func(s *Simulator) (*template, error) { return s.compileMapping(v, m, `"type `+namedType) }}}
	for _, t := range src.Profile().Types {
		v.forms = append(v.forms, &form{vendor: t.Vendor, build: func(s *Simulator) (*template, error) { return s.compileMapping(v, m, "="+t.Vendor) }})
	}
	return v
}

// compileMapping makes the template of an event that has a value wherever the
// mapping looks for one, and an id where it looks for none: such events are told
// apart by all that they say. vendorType is a member's value.
func (s *Simulator) compileMapping(v *vendor, m mapping.Mapping, vendorType string) (*template, error) {
	var event member
	for _, place := range append(referencePlaces(m), []place{
		{m.Livemode, "live"}, {m.Tenant, `"tenant`}, {m.Subject, `"subject An example`},
		{cmp.Or(m.ID, "/example_id"), `"id evt_ 22`}, {m.Time, `"milli3339`}, {m.Type, vendorType},
	}...) {
		event.set(place.pointer, place.value)
	}
	for _, pointer := range slices.Sorted(maps.Keys(v.constants)) {
		event.set(pointer, "="+v.constants[pointer])
	}
	t := &template{}
	err := event.compile(s, v, t)
	return t, err
}

// place is where a member's value lies in an event.
type place struct{ pointer, value string }

func referencePlaces(m mapping.Mapping) []place {
	var places []place
	for _, pointer := range m.Volatile {
		places = append(places, place{pointer, "attempt 1"})
	}
	for _, ref := range m.References {
		value := `"ref ` + ref.Kind
		switch ref.Kind {
		case source.KindAccountUUID:
			value = "account"
		case source.KindEmail, source.KindDomain:
			value = `"` + ref.Kind
		}
		places = append(places, place{ref.ID, value})
	}
	return places
}

// member is a value of an event, or an object or an array of others. The value is
// a word (Simulator.writer), after " one that is written as a JSON text, after =
// a text.
type member struct {
	value    string
	names    []string // of the object's members, or an array's indexes
	children map[string]*member
}

// unescape reads a token of a JSON pointer.
var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// set puts a value where a JSON pointer leads; "" leads nowhere. What is set later
// wins over what is there.
func (m *member) set(pointer, value string) {
	if pointer == "" {
		return
	}
	for token := range strings.SplitSeq(pointer[1:], "/") {
		token = unescape.Replace(token)
		if m.children[token] == nil {
			if m.children == nil {
				m.children = map[string]*member{}
			}
			m.children[token] = &member{}
			m.names = append(m.names, token)
		}
		m = m.children[token]
	}
	*m = member{value: value}
}

// maxIndex is the last element of an array that is made: one that a pointer to
// a later one needs is an object.
const maxIndex = 100

// length is how many elements the array has that m is; false: it is an object.
func (m *member) length() (n int, ok bool) {
	for _, name := range m.names {
		i, err := strconv.Atoi(name)
		if err != nil || i < 0 || i > maxIndex || strconv.Itoa(i) != name {
			return 0, false
		}
		n = max(n, i+1)
	}
	return n, n > 0
}

func (m *member) compile(s *Simulator, v *vendor, t *template) error {
	if m.children == nil {
		return m.compileValue(s, v, t)
	}
	names, before, after := slices.Clone(m.names), "{", "}"
	n, array := m.length()
	if array {
		names, before, after = nil, "[", "]"
		for i := range n {
			names = append(names, strconv.Itoa(i))
		}
	}
	for i, name := range names {
		if i > 0 {
			before = ","
		}
		if !array {
			before += string(appendText([]byte{'"'}, name)) + `":`
		}
		t.add(piece{text: before})
		child := m.children[name]
		if child == nil {
			t.add(piece{text: "null"})
			continue
		}
		if err := child.compile(s, v, t); err != nil {
			return err
		}
	}
	t.add(piece{text: after})
	return nil
}

func (m *member) compileValue(s *Simulator, v *vendor, t *template) error {
	if text, ok := strings.CutPrefix(m.value, "="); ok {
		t.add(piece{text: string(append(appendText([]byte{'"'}, text), '"'))})
		return nil
	}
	word, quoted := strings.CutPrefix(m.value, `"`)
	write, err := s.writer(v, t, word)
	if !quoted {
		t.add(piece{write: write})
		return err
	}
	t.add(piece{text: `"`})
	t.add(piece{write: write})
	t.add(piece{text: `"`})
	return err
}
