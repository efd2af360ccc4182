package catalog

import (
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
)

// NewSettings makes the settings of every source, and of the named ones, whose
// names are read from args and the environment before they are parsed.
func NewSettings(args []string, lookup func(string) (string, bool), opts ...settings.SourceOption) *settings.SourceSettings {
	var formats []string
	for _, f := range Formats() {
		formats = append(formats, f.Name)
	}
	return settings.NewSourceSettings(Set().Names(), append(opts, settings.WithNamedSources(formats, args, lookup))...)
}

// FromSettings gives the vendors' sources and the named ones, after Parse. The error is
// With's.
func FromSettings(s *settings.SourceSettings) (source.Set, error) {
	var named []Named
	for _, n := range s.Named() {
		named = append(named, Named{Name: n.Name, Format: n.Format, Mapping: s.Get(n.Name).Mapping})
	}
	return With(named)
}
