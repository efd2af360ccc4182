package stage

import (
	"github.com/alecthomas/kong"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

// Sources are the settings of sources that a service which describes events
// needs: their tenants, and the named ones with their mappings. A service's
// configuration embeds what NewSources makes; Deps.Sources is then of it. The
// zero value is for the vendors alone, without settings.
type Sources struct {
	Vendors kong.Plugins `embed:""`

	settings *settings.SourceSettings
}

// NewSources reads the names of named sources ahead, as args and the environment
// have them. opts are settings beside (settings.WithAPIs).
func NewSources(args []string, lookup func(string) (string, bool), opts ...settings.SourceOption) Sources {
	s := catalog.NewSettings(args, lookup, append(opts, settings.TenantsOnly())...)
	return Sources{Vendors: s.Plugins(), settings: s}
}

// Validate tells every problem of the mappings.
func (s *Sources) Validate() error {
	_, err := s.SourceSet()
	return err
}

// SourceSet gives the sources, after Parse.
func (s *Sources) SourceSet() (source.Set, error) {
	if s.settings == nil {
		return catalog.Set(), nil
	}
	return catalog.FromSettings(s.settings)
}

// Get gives what is set for a source, after Parse.
func (s *Sources) Get(name string) settings.SourceSetting {
	if s.settings == nil {
		return settings.SourceSetting{}
	}
	return s.settings.Get(name)
}

// Tenants gives the tenants that are set, by source, after Parse.
func (s *Sources) Tenants() map[string]string {
	if s.settings == nil {
		return nil
	}
	return s.settings.Tenants()
}

// TestData gives the sources whose test data is accepted, after Parse.
func (s *Sources) TestData() map[string]bool {
	if s.settings == nil {
		return nil
	}
	return s.settings.TestData()
}
