package catalog

import (
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/looker"
)

// NewSettings makes the settings of every source, and of the named ones, whose
// names are read from args and the environment before they are parsed.
func NewSettings(args []string, lookup func(string) (string, bool), opts ...settings.SourceOption) *settings.SourceSettings {
	var formats []string
	for _, f := range Formats() {
		formats = append(formats, f.Name)
	}
	const same = "Identities rest on it: the same for every service, set before the first event."
	return settings.NewSourceSettings(Set().Names(), append(opts, settings.WithNamedSources(formats, args, lookup),
		settings.WithOwnSetting("looker", accountColumn, "NAME,...", "Columns that name a report's account, where their names do not tell (README of the source); the first that a row has decides. The same for every service."),
		settings.WithOwnSetting("looker", timeColumn, "NAME,...", "Columns that say when a report's row happened, likewise. "+same),
	)...)
}

// The settings that Looker's source alone has.
const (
	accountColumn = "ACCOUNT_COLUMN"
	timeColumn    = "TIME_COLUMN"
)

// FromSettings gives the vendors' sources and the named ones, after Parse. The error is
// With's.
func FromSettings(s *settings.SourceSettings) (source.Set, error) {
	var named []Named
	for _, n := range s.Named() {
		named = append(named, Named{Name: n.Name, Format: n.Format, Mapping: s.Get(n.Name).Mapping})
	}
	own := s.Get("looker").Own
	return with(looker.Columns{Account: own[accountColumn], Time: own[timeColumn]}, named)
}
