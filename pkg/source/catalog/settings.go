package catalog

import (
	"errors"
	"fmt"
	"strings"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/looker"
	"github.com/throughline-dev/throughline/pkg/source/salesforce"
	"github.com/throughline-dev/throughline/pkg/source/segment"
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
		settings.WithOwnSetting("segment", groups, "trusted|ignored", "Whether a groupId of Segment names an account. trusted: only your own servers have the write keys of the connected sources. ignored, as without it: visitors have one too. The same for every service."),
		settings.WithOwnSetting("salesforce", organizations, "ID,...", "Ids of the Salesforce organizations (00D…) whose outbound messages are taken; none: of every one that knows the secret. The same for every service."),
	)...)
}

// The settings that one source alone has.
const (
	accountColumn = "ACCOUNT_COLUMN"
	timeColumn    = "TIME_COLUMN"
	groups        = "GROUPS"
	organizations = "ORGANIZATIONS"
)

// FromSettings gives the vendors' sources and the named ones, after Parse. The error is
// With's.
func FromSettings(s *settings.SourceSettings) (source.Set, error) {
	var named []Named
	for _, n := range s.Named() {
		named = append(named, Named{Name: n.Name, Format: n.Format, Mapping: s.Get(n.Name).Mapping})
	}
	own := s.Get("looker").Own
	keys, groupsErr := groupsTrusted(s.Get("segment").Own[groups])
	senders, sendersErr := salesforce.NewOptions(s.Get("salesforce").Own[organizations])
	if sendersErr != nil {
		sendersErr = fmt.Errorf("--salesforce-organizations (%s): %w", settings.SourceVariable("salesforce", organizations), sendersErr)
	}
	set, other := with(options{
		looker:     looker.Columns{Account: own[accountColumn], Time: own[timeColumn]},
		segment:    segment.Options{TrustGroups: keys},
		salesforce: senders,
	}, named)
	if err := errors.Join(groupsErr, sendersErr, other); err != nil {
		return source.Set{}, err
	}
	return set, nil
}

func groupsTrusted(words []string) (bool, error) {
	switch strings.Join(words, ",") {
	case "", "ignored":
		return false, nil
	case "trusted":
		return true, nil
	}
	return false, fmt.Errorf("--segment-groups (%s) should be trusted or ignored", settings.SourceVariable("segment", groups))
}
