package source

import (
	"fmt"
	"slices"
)

// Set is the sources that a process knows, in the order in which people see
// them. The zero Set has none. It is made once and read by everyone.
type Set struct{ sources []Source }

// NewSet makes a set. An error names a source that is there twice.
func NewSet(sources ...Source) (Set, error) {
	var set Set
	for _, s := range sources {
		if _, there := set.Find(s.Name()); there {
			return Set{}, fmt.Errorf("two sources are named %q", s.Name())
		}
		set.sources = append(set.sources, s)
	}
	return set, nil
}

// Sources gives every source.
func (s Set) Sources() []Source { return slices.Clone(s.sources) }

// Names gives the name of every source.
func (s Set) Names() []string {
	names := make([]string, len(s.sources))
	for i, src := range s.sources {
		names[i] = src.Name()
	}
	return names
}

// Find gives the source of this name.
func (s Set) Find(name string) (Source, bool) {
	for _, src := range s.sources {
		if src.Name() == name {
			return src, true
		}
	}
	return nil, false
}

// Kinds gives the kinds of reference of the source of this name, or nil.
func (s Set) Kinds(name string) []Kind {
	if src, ok := s.Find(name); ok {
		return src.Profile().Kinds
	}
	return nil
}
