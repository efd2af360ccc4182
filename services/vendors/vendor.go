package vendors

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/source"
)

// vendor is what one vendor sends.
type vendor struct {
	name          string
	tenant        string // when an event names none
	numericTenant bool
	// kinds are the kinds of reference, each with the id that is made for a
	// customer who has none (Simulator.generator).
	kinds map[string]string
	// forms, the usual type first.
	forms  []*form
	byName map[string]*form
	open   bool // other types than the forms' are made like the usual one
	// constants are texts of a named source's events, by their JSON pointers.
	constants map[string]string

	ids       map[string]writer // by kind
	envelopes map[string]*template
}

// form is how events of one type look.
type form struct {
	vendor string                              // the type in the vendor's words, as docs/event-types.md has it
	file   string                              // the template
	vars   map[string]string                   // its parts
	batch  string                              // the envelope's template; "" when events come one by one
	build  func(*Simulator) (*template, error) // makes the template, where no file has it

	eventType string
	event     *template
	envelope  *template
}

func (f *form) describe() Type {
	return Type{Vendor: f.vendor, Type: f.eventType, Kinds: slices.Clone(f.event.kinds), Batch: f.batch != ""}
}

// room is about how large an event becomes.
func (f *form) room(e *Event) int {
	const values = 60 // per piece that is no text
	return f.event.size + len(f.event.pieces)*values/2 + len(e.Members) + len(e.Text)
}

// prepare compiles a vendor's templates. types are those that its source lists.
func (s *Simulator) prepare(v *vendor, types []source.EventType) error {
	v.byName, v.envelopes, v.ids = map[string]*form{}, map[string]*template{}, map[string]writer{}
	for kind := range v.kinds {
		var err error
		if v.ids[kind], err = s.referenceWriter(v, "ref", kind); err != nil {
			return err
		}
	}
	for _, t := range types {
		for _, f := range v.forms {
			if f.vendor == t.Vendor {
				f.eventType = t.Type
			}
		}
	}
	for _, f := range v.forms {
		build := f.build
		if build == nil {
			build = func(s *Simulator) (*template, error) { return s.compile(v, f.file, f.vars) }
		}
		var err error
		if f.event, err = build(s); err != nil {
			return fmt.Errorf("%s: %w", f.vendor, err)
		}
		if f.batch != "" && v.envelopes[f.batch] == nil {
			if v.envelopes[f.batch], err = s.compile(v, f.batch, nil); err != nil {
				return err
			}
		}
		f.envelope = v.envelopes[f.batch]
		v.byName[f.vendor] = f
		if _, bare, ok := strings.Cut(f.vendor, "zen:event-type:"); ok {
			v.byName[bare] = f
		}
	}
	// A vendor's own name goes before an event_type that is spelt alike, and the
	// first type of an event_type before the others.
	for _, f := range v.forms {
		if _, taken := v.byName[f.eventType]; !taken {
			v.byName[f.eventType] = f
		}
	}
	return nil
}

func (v *vendor) eventTypes() []string {
	names := map[string]bool{}
	for _, f := range v.forms {
		names[f.eventType] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// parts makes a form's vars of names and values in turn.
func parts(pairs ...string) map[string]string {
	vars := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		vars[pairs[i]] = pairs[i+1]
	}
	return vars
}

// with gives vars and more, which win.
func with(vars map[string]string, pairs ...string) map[string]string {
	all := maps.Clone(vars)
	maps.Copy(all, parts(pairs...))
	return all
}
